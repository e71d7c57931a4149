"""Ask every node of a model the rules of acceptance.

::

    model --copy--> inlined functions --> types and shapes --> known numbers --> rules, per node

The verdict needs what the graph computes from constants alone: a Resize whose scales come out of
Shape, Mul and Concat is read as well as one with an initializer. Nothing is removed on the way,
since NVIDIA's parser reads every node, used or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Finding, Rule, Verdict
from edgeup.export.capability.known import is_weights, note_known_numbers
from edgeup.export.capability.rules import RULES
from edgeup.export.passes.facts import constant, is_onnx
from edgeup.export.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


def check_model(model: ir.Model, aim: Aim, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """The faults of a model on a target, in the order of its nodes; it is left unchanged.

    A node has one finding at most per verdict: the first rule of the table that speaks. Nodes in
    subgraphs and in the model's own functions are asked too.

    Args:
        model: any ONNX model.
        aim: the target; ONNX Runtime's has no rules.
        rules: the table to ask; a test may name one of its own.
    """
    if not aim.is_tensorrt:
        return []
    work = prepared(model)
    return [
        finding for node in _read_nodes(work.graph) for finding in _findings_of(node, aim, rules)
    ]


def is_accepted(findings: Sequence[Finding]) -> bool:
    """Whether an engine is built that computes what ONNX says: warnings alone do no harm."""
    return all(finding.verdict is Verdict.WARNING for finding in findings)


def is_refused(findings: Sequence[Finding]) -> bool:
    """Whether no engine is built; one that computes something else is built."""
    return any(finding.verdict is Verdict.REFUSED for finding in findings)


def prepared(model: ir.Model) -> ir.Model:
    """A copy with the model's own functions inlined, types and shapes inferred, numbers known."""
    from onnx_ir.passes.common import InlinePass

    work = model.clone()
    if work.functions:
        work = InlinePass()(work).model
    infer_shapes(work)
    note_known_numbers(work)
    return work


def _read_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes that NVIDIA's parser reads: all but a branch that a constant rules out."""
    import onnx_ir as ir

    for node in graph:
        yield node
        skipped = _skipped_branch(node)
        for attribute in node.attributes.values():
            if attribute.name == skipped:
                continue
            if attribute.type is ir.AttributeType.GRAPH:
                yield from _read_nodes(attribute.as_graph())
            elif attribute.type is ir.AttributeType.GRAPHS:
                for inner in attribute.as_graphs():
                    yield from _read_nodes(inner)


def _skipped_branch(node: ir.Node) -> str:
    """The attribute of an If whose condition is an initializer ("run: TensorRT for RTX 1.7.1")."""
    if not is_onnx(node, "If") or not is_weights(node.inputs[0]):
        return ""
    condition = constant(node.inputs[0])
    if condition is None:
        return ""
    return "else_branch" if condition.all() else "then_branch"


def _findings_of(node: ir.Node, aim: Aim, rules: Sequence[Rule]) -> Iterator[Finding]:
    spoken: set[Verdict] = set()
    for rule in rules:
        if rule.operators and not is_onnx(node, *rule.operators):
            continue
        fault = rule.check(node, aim)
        if fault is None or fault.verdict in spoken:
            continue
        spoken.add(fault.verdict)
        yield Finding(
            _name(node),
            node.op_type,
            fault.verdict,
            rule.name,
            fault.evidence,
            fault.reason,
            fault.remedy,
        )


def _name(node: ir.Node) -> str:
    """The node's name; one without is called after its first output."""
    return node.name or next((value.name for value in node.outputs if value.name), "")

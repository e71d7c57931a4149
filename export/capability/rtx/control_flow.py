"""If and Loop: both branches must fit together, and what a loop collects must have a length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.capability.rtx.constness import depends_on_inputs
from edgeup.export.passes.facts import constant, input_of, rank, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_LOOP_INPUTS = 2
"""Trip count and condition, before what is carried."""


def _branches(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    branches = [node.attributes[name].as_graph() for name in ("then_branch", "else_branch")]
    for one, other in zip(*(branch.outputs for branch in branches), strict=True):
        if one.name == other.name:
            return refused(
                f"both branches call an output {one.name}",
                "onnx-tensorrt docs/operators.md, 11.1: branches must have different names",
                "rename one of them",
            )
        if None not in (one.dtype, other.dtype) and one.dtype != other.dtype:
            return refused(
                f"one branch gives {one.dtype}, the other {other.dtype}",
                "IConditionalOutputLayer must have inputs of same type",
                "cast in one of them",
            )
        ranks = rank(one), rank(other)
        if constant(node.inputs[0]) is None and None not in ranks and len(set(ranks)) > 1:
            return refused(
                f"one branch gives {ranks[0]} dimensions, the other {ranks[1]}",
                "Must have inputs with equal ranks when condition is not a build-time constant",
                "give both the same rank (Unsqueeze)",
            )
    return None


def _loop(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    body, carried = node.attributes["body"].as_graph(), len(node.inputs) - _LOOP_INPUTS
    count = input_of(node, 0)
    if len(node.outputs) > carried:
        if count is None:
            return refused(
                "it collects outputs and has no trip count",
                "cannot infer the shape of scan output since no trip limit was set",
                "give it a trip count",
            )
        if depends_on_inputs(count, floats=True):
            return refused(
                "it collects outputs, and its trip count is computed from floating-point numbers",
                "Network input is a shape tensor and must have type Int32 or Int64",
                "compute it from shapes or from integers",
            )
    for before, after in zip(node.inputs[_LOOP_INPUTS:], body.outputs[1:], strict=False):
        shapes = static_shape(before), static_shape(after)
        if None not in shapes and len(set(shapes)) > 1:
            return refused(
                f"it carries a tensor of shape {shapes[0]} that becomes {shapes[1]}",
                "IRecurrenceLayer must have inputs with same shape",
                "keep the shape, and the part in use beside it",
            )
    return None


RULES = (
    Rule("rtx-if", ("If",), _branches),
    Rule("rtx-loop", ("Loop",), _loop),
)

"""Move a model to another opset and IR version, or refuse and name the nodes.

torch's exporter keeps opset 18 when asked for less, without a word; JetPack 4.6 reads 13. One
mechanism serves almost every operator: between two opsets most versions of an operator differ
only in attributes that have neutral defaults and in types, so a node may move when the schema
of the wanted opset accepts it (`edgeup.export.opset_schema`). What a schema does not show, and
what can be said otherwise in the wanted opset, stands in a table of steps
(`edgeup.export.opset_steps`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.export.ir_version import check_ir_version, least_ir_version
from edgeup.export.opset_schema import fit_to_schema
from edgeup.export.opset_steps import STEPS, CannotMove

if TYPE_CHECKING:
    import onnx_ir as ir

OLDEST, NEWEST = 13, 25
"""The opsets whose differences were reviewed, operator by operator."""

_DEFAULT_DOMAIN = ("", "ai.onnx")


@dataclass(frozen=True)
class OpsetRefusal:
    """Why one node cannot move to the wanted opset."""

    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} {self.node!r}: {self.reason}"


class OpsetError(EdgeupError):
    """The model cannot be written at the wanted opset; ``refusals`` says why, node by node."""

    def __init__(self, opset: int, refusals: tuple[OpsetRefusal, ...]) -> None:
        more = f"; and {len(refusals) - 1} more nodes" if len(refusals) > 1 else ""
        super().__init__(f"cannot write the model at opset {opset}: {refusals[0]}{more}")
        self.refusals = refusals


def convert_opset(model: ir.Model, opset: int, ir_version: int | None = None) -> ir.Model:
    """A copy of ``model`` at ``opset`` and ``ir_version``; weights are shared, not copied.

    Nodes of other domains stay as they are. Local functions are inlined.

    Args:
        model: at opset 13 to 25. It is not changed.
        opset: the wanted opset of the default domain, 13 to 25.
        ir_version: the wanted IR version; by default the one that was current when the opset
            came out, which every reader of that opset knows.

    Raises:
        OpsetError: some nodes have no equal in the wanted opset.
        EdgeupError: the opset is out of range, or the IR version lacks something.
    """
    from onnx_ir.passes.common import InlinePass

    source = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if source is None:
        raise EdgeupError("the model imports no opset of the default domain")
    for which, version in (("the model's", source), ("the wanted", opset)):
        if not OLDEST <= version <= NEWEST:
            raise EdgeupError(f"{which} opset {version} is not between {OLDEST} and {NEWEST}")
    ir_version = least_ir_version(opset) if ir_version is None else ir_version
    moved = model.clone()
    if moved.functions:
        moved = InlinePass()(moved).model
    if source != opset:
        _know_types(moved)
        refusals = _take_steps(moved.graph, source, opset) or _fit(moved.graph, source, opset)
        if refusals:
            raise OpsetError(opset, tuple(refusals))
        _drop_unread(moved)
    moved.opset_imports.pop("ai.onnx", None)
    moved.opset_imports[""] = opset
    check_ir_version(moved, ir_version)
    moved.ir_version = ir_version
    return moved


def _know_types(model: ir.Model) -> None:
    from onnx_ir.passes.common import ShapeInferencePass

    if any(v.dtype is None or v.shape is None for n in model.graph.all_nodes() for v in n.outputs):
        ShapeInferencePass()(model)


def _drop_unread(model: ir.Model) -> None:
    """Remove the constants that a step replaced."""
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del graph.initializers[name]


def _standard_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Nodes of the default domain, those of subgraphs too; safe while nodes are replaced."""
    for node in list(graph.all_nodes()):
        if node.domain in _DEFAULT_DOMAIN:
            yield node


def _take_steps(graph: ir.Graph, source: int, opset: int) -> list[OpsetRefusal]:
    refusals = []
    for node in _standard_nodes(graph):
        name, op = node.name or "", node.op_type
        crossed = range(source + 1, opset + 1) if opset > source else range(source, opset, -1)
        for version in crossed:
            step = STEPS.get((op, version))
            if step is None:
                continue
            try:
                done = step.up(node) if opset > source else step.down(node)
            except CannotMove as refusal:
                refusals.append(OpsetRefusal(name, op, str(refusal)))
                break
            if done:  # the node was replaced by nodes that need no further step
                break
    return refusals


def _fit(graph: ir.Graph, source: int, opset: int) -> list[OpsetRefusal]:
    refusals = []
    for node in _standard_nodes(graph):
        reason = fit_to_schema(node, source, opset)
        if reason is not None:
            refusals.append(OpsetRefusal(node.name or "", node.op_type, reason))
    return refusals

"""What a graph is given: inputs and weights that TensorRT for RTX cannot hold.

Its parser imports all of them before any node, used or not; so they are asked about once, at the
first node of their graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx.asked import asked, is_rtx, refused

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


def _given(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim) or not _is_first(node):
        return None
    for value in _held(node.graph):
        kind = _kind(value)
        if kind is not None and kind not in asked()["types"]:
            return refused(
                f"the model's {value.name} is of {kind}, a type that TensorRT has not",
                "Failed to convert ONNX date type to TensorRT data type",
                "take it out of the model, or cast it before it is given",
            )
    return None


def _is_first(node: ir.Node) -> bool:
    return node.graph is not None and len(node.graph) > 0 and node.graph[0] is node


def _held(graph: ir.Graph | ir.Function | None) -> Iterator[ir.Value]:
    if graph is not None:
        yield from graph.inputs
        yield from getattr(graph, "initializers", {}).values()


def _kind(value: ir.Value) -> str | None:
    """The element type; of a sequence or an optional, its own name."""
    import onnx_ir as ir

    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return type(value.type).__name__.removesuffix("Type").lower()
    return None if value.dtype is None else value.dtype.name


RULES = (Rule("rtx-given", (), _given),)

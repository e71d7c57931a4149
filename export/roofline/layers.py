"""A graph as the layers that a backend would run: pointwise operators join what they follow.

TensorRT computes a convolution, its bias, batch norm, activation and the addition of another map
in one kernel, and neighbouring pointwise operators in one. So does this count:

    Conv -> BatchNormalization -> Relu -> Add -> Relu        one layer, reads the other map too
    Resize -> Add -> Relu                                    two layers: Resize, and Add with Relu

What follows from constants alone is computed when the engine is built and is no layer; reshapes
move nothing. Concat counts as a copy, though TensorRT often avoids it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.export.passes.estimate import kind_of
from edgeup.export.passes.facts import is_onnx, sole_user, static_shape
from edgeup.export.roofline.work import POINTWISE_OPS, Work, conv_shapes, node_work, stored_bytes

if TYPE_CHECKING:
    import onnx_ir as ir

_TAKES_POINTWISE = ("Conv", "ConvTranspose", "MatMul", "Gemm", *POINTWISE_OPS)
_READS_A_PART = ("Slice", "Gather")
"""They read no more than they write, however large their input is."""


@dataclass(frozen=True)
class Layer:
    """Nodes that run as one, in order; the first gives the name and the kind."""

    nodes: tuple[ir.Node, ...]
    work: Work

    @property
    def name(self) -> str:
        """The first node's, or its output's where it has none."""
        return self.nodes[0].name or self.nodes[0].outputs[0].name or self.nodes[0].op_type

    @property
    def operators(self) -> tuple[str, ...]:
        """The nodes' operators."""
        return tuple(node.op_type for node in self.nodes)


def layers_of(model: ir.Model, precision: str) -> list[Layer]:
    """The layers in the graph's order; the model's shapes are inferred already.

    Args:
        model: not changed.
        precision: a key of `work.ITEM_BYTES`: how large a floating-point number is.

    Raises:
        EdgeupError: a shape is not known, or a node runs in a branch or loop.
    """
    groups: list[list[ir.Node]] = []
    ends: dict[ir.Value, int] = {}  # what a further node could still join: the group's number
    folded = set(_constants(model))
    for node in model.graph:
        if _has_body(node):
            raise EdgeupError(
                f"{node.op_type} {node.name!r} holds a branch or loop, whose time is not known "
                f"before it runs; estimate a model without it"
            )
        if _is_folded(node, folded):
            folded.update(node.outputs)
            continue
        if is_onnx(node, "Conv", "ConvTranspose"):
            conv_shapes(node)  # refuses what the following could not read
        if kind_of(node) is None:
            continue
        number = _joined(node, ends)
        if number is None:
            number = len(groups)
            groups.append([])
        groups[number].append(node)
        if is_onnx(node, *_TAKES_POINTWISE):
            ends[node.outputs[0]] = number
    return [Layer(tuple(group), node_work(group[0], moved(group, precision))) for group in groups]


def _constants(model: ir.Model) -> Iterable[ir.Value]:
    return (v for v in model.graph.initializers.values() if not v.is_graph_input())


def _has_body(node: ir.Node) -> bool:
    return any(a.type.name in ("GRAPH", "GRAPHS") for a in node.attributes.values())


def _is_folded(node: ir.Node, folded: set[ir.Value]) -> bool:
    """A builder computes it once: from constants, or from a shape that is known."""
    if is_onnx(node, "Shape", "Size"):
        return static_shape(node.inputs[0]) is not None
    given = [value for value in node.inputs if value is not None]
    return not node.op_type.startswith("Random") and all(value in folded for value in given)


def _joined(node: ir.Node, ends: Mapping[ir.Value, int]) -> int | None:
    """The group that the node joins: of its inputs' groups the last one, if it is read here alone.

    The output has the input's shape, so each element is computed where the one before was.
    """
    if not is_onnx(node, *POINTWISE_OPS):
        return None
    wanted = static_shape(node.outputs[0])
    fitting = (
        ends[value]
        for value in node.inputs
        if value is not None
        and value in ends
        and sole_user(value) is node
        and static_shape(value) == wanted
    )
    return max(fitting, default=None)


def moved(group: list[ir.Node], precision: str) -> int:
    """Bytes in and out of the group; what only its own nodes pass on stays in registers.

    Raises:
        EdgeupError: a shape is not known.
    """
    inside = set(group)
    made = {value for node in group for value in node.outputs}
    total = 0
    counted: set[ir.Value] = set()
    for node in group:
        wrote = sum(
            stored_bytes(node, value, precision)
            for value in node.outputs
            if value.is_graph_output() or any(usage.node not in inside for usage in value.uses())
        )
        total += wrote
        for value in node.inputs:
            if value is None or value in made or value in counted:
                continue
            counted.add(value)
            size = stored_bytes(node, value, precision)
            total += min(size, wrote) if is_onnx(node, *_READS_A_PART) else size
    return total

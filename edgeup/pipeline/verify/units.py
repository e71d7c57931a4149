"""A graph's nodes as what they do, so that those of two graphs can be told to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.spec import Array

if TYPE_CHECKING:
    import onnx_ir as ir

_CLASSES = {"Relu": "activation", "Clip": "activation", "DepthToSpace": "shuffle"}
"""Operators that stand for each other in other exports, or by mistake."""

_UNORDERED = {"Add", "Mul", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Equal"}

_FOLDABLE = {"BatchNormalization", "Mul", "Div", "Add", "Sub"}
"""With constants: what exporters and simplifiers put into the weights of the node before."""

_NEARLY = 1e-2
"""Of a weight's peak: what bfloat16 rounds by is less than half of it."""


@dataclass(frozen=True, eq=False)
class Unit:
    """One node; or Reshape, Transpose and Reshape, which read channels as blocks of pixels.

    Attributes:
        sort: the class of the operator, and its domain.
        node: the node; of three, the first.
        reads: values that are no constants, in order.
        makes: its outputs.
        single: whether it is one node.
    """

    sort: str
    node: ir.Node
    reads: tuple[ir.Value, ...]
    makes: tuple[ir.Value, ...]
    single: bool = True

    @property
    def unordered(self) -> bool:
        """Whether the order of what it reads does not matter."""
        return self.single and self.node.op_type in _UNORDERED


def units_of(graph: ir.Graph) -> Iterator[Unit]:
    """In the graph's order; a shuffle of three nodes stands behind its third, which is there too.

    Nodes that hold graphs are left out: what they read cannot be seen from outside.
    """
    import onnx_ir as ir

    graphs = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
    for node in graph:
        if any(attribute.type in graphs for attribute in node.attributes.values()):
            continue
        yield Unit(_sort(node), node, _reads(node), tuple(node.outputs))
        if (first := _shuffle_that_ends_at(node)) is not None:
            yield Unit("shuffle", first, _reads(first), tuple(node.outputs), single=False)


def foldable_behind(unit: Unit) -> Iterator[Unit]:
    """Scales and offsets that follow, each the only reader of what is before it."""
    while len(unit.makes) == 1 and not unit.makes[0].is_graph_output():
        uses = list(unit.makes[0].uses())
        if len(uses) != 1:
            return
        node = uses[0].node
        if node.op_type not in _FOLDABLE or node.domain or len(_reads(node)) != 1:
            return
        unit = Unit(_sort(node), node, _reads(node), tuple(node.outputs[:1]))
        yield unit


def is_constant(value: ir.Value) -> bool:
    """Whether the file holds it."""
    return value.const_value is not None or value.is_initializer()


def root_of(value: ir.Value) -> ir.Value:
    """What it is a copy of, through Identity and casts between floating types."""
    while (node := value.producer()) is not None and node.op_type in ("Identity", "Cast"):
        source = node.inputs[0]
        if source is None or source.dtype is None or value.dtype is None:
            break
        floats = source.dtype.is_floating_point() and value.dtype.is_floating_point()
        if not (floats or node.op_type == "Identity"):
            break
        value = source
    return value


def readers(unit: Unit) -> list[str]:
    """What is done with what it makes, and with how many values together, sorted."""
    sorts = []
    for value in unit.makes:
        sorts += ["output"] if value.is_graph_output() else []
        for node, _ in value.uses():
            starts = node.op_type == "Reshape" and _shuffle_that_starts_at(node)
            sorts.append(f"{'shuffle' if starts else _sort(node)} {len(_reads(node))}")
    return sorted(sorts)


def identical(unit: Unit, other: Unit) -> bool:
    """Whether both do the same: operator, attributes, weights but for their rounding."""
    a, b = unit.node, other.node
    if (a.op_type, a.domain) != (b.op_type, b.domain) or unit.single != other.single:
        return False
    if not unit.single or len(a.inputs) != len(b.inputs) or len(a.outputs) != len(b.outputs):
        return False
    if {k: str(v.value) for k, v in a.attributes.items()} != {
        k: str(v.value) for k, v in b.attributes.items()
    }:
        return False
    return all(_alike(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))


def _alike(value: ir.Value | None, other: ir.Value | None) -> bool:
    if value is None or other is None or not (is_constant(value) and is_constant(other)):
        return (value is None) == (other is None) and (
            value is None or other is None or is_constant(value) == is_constant(other)
        )
    a, b = _numbers(value), _numbers(other)
    if a is None or b is None or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fV" or b.dtype.kind not in "fV":
        return np.array_equal(a, b)
    a, b = a.astype(np.float32), b.astype(np.float32)
    peak = float(np.abs(a).max(initial=0.0))
    with np.errstate(invalid="ignore"):  # of infinite weights
        return bool(np.abs(a - b).max(initial=0.0) <= _NEARLY * peak)


def _numbers(value: ir.Value) -> Array | None:
    return None if value.const_value is None else value.const_value.numpy()


def _sort(node: ir.Node) -> str:
    if node.domain:
        return f"{node.domain}:{node.op_type}"
    return _CLASSES.get(node.op_type, node.op_type)


def _reads(node: ir.Node) -> tuple[ir.Value, ...]:
    return tuple(v for v in node.inputs if v is not None and not is_constant(v))


def _shuffle_that_ends_at(node: ir.Node) -> ir.Node | None:
    """The first of Reshape, Transpose, Reshape, from and to four axes, read by nothing else."""
    before = _only_maker(node, "Reshape")
    first = None if before is None else _only_maker(before, "Transpose")
    if first is None or first.op_type != "Reshape" or first.inputs[0] is None:
        return None
    ends = (first.inputs[0].shape, node.outputs[0].shape)
    return first if all(shape is not None and len(shape) == 4 for shape in ends) else None


def _only_maker(node: ir.Node, op: str) -> ir.Node | None:
    """What makes the input of a node of this operator, for it alone."""
    source = node.inputs[0] if node.op_type == op else None
    if source is None or source.is_graph_output() or len(source.uses()) != 1:
        return None
    return source.producer()


def _shuffle_that_starts_at(node: ir.Node) -> bool:
    for _ in range(2):
        uses = list(node.outputs[0].uses())
        if len(uses) != 1:
            return False
        node = uses[0].node
    return _shuffle_that_ends_at(node) is not None

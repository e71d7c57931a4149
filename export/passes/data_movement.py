"""Where each element of a tensor comes from, whatever the nodes that moved it.

Chains of Reshape, Transpose, Concat, Slice, DepthToSpace and the like are not matched as patterns:
they are run on labels instead of numbers. A source's elements are numbered, the nodes move the
numbers, and what arrives tells what the chain does, in all its spellings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.facts import Array, attribute, constant, input_of, is_onnx, static_shape
from edgeup.export.passes.index_paths import is_zero

if TYPE_CHECKING:
    import onnx_ir as ir

ZERO = -1
"""The label of an element that is 0 and comes from no source."""

_MOST = 2**24  # elements; beyond, labels take longer than the look at them is worth


@dataclass(frozen=True, eq=False)
class Moved:
    """A tensor as labels: element ``i`` of source ``k`` is ``starts[k] + i``.

    Attributes:
        sources: the values that the chain reads.
        starts: the first label of each.
        labels: of the result's shape.
        nodes: what moves the elements, in an order in which they can run.
    """

    sources: tuple[ir.Value, ...]
    starts: tuple[int, ...]
    labels: Array
    nodes: tuple[ir.Node, ...]

    @property
    def is_private(self) -> bool:
        """Whether nothing but the chain reads what its nodes hand on to each other."""
        last = self.nodes[-1]
        return all(
            all(usage.node in self.nodes for usage in value.uses()) and not value.is_graph_output()
            for node in self.nodes
            if node is not last
            for value in node.outputs
        )


def moves(node: ir.Node | None) -> bool:
    """Whether the node only moves elements, as far as its operator tells."""
    return is_onnx(node, *_MOVES)


def sources_of(value: ir.Value) -> tuple[ir.Value, ...]:
    """What a chain of moving nodes starts from, constants left out, first read first."""
    found: dict[ir.Value, None] = {}
    todo = [value]
    seen: set[ir.Value] = set()
    while todo:
        at = todo.pop()
        if at in seen or _is_fixed(at):
            continue
        seen.add(at)
        node = at.producer()
        if node is not None and moves(node) and _same_graph(node, value):
            todo += reversed(_data_inputs(node))
        else:
            found[at] = None
    return tuple(found)


def on_the_way(value: ir.Value) -> tuple[ir.Value, ...]:
    """Every value between a chain's result and its sources, these included, nearest first."""
    found: dict[ir.Value, None] = {}
    todo = [value]
    while todo:
        at = todo.pop(0)
        node = at.producer()
        if node is None or not moves(node) or not _same_graph(node, value):
            continue
        for read in _data_inputs(node):
            if read not in found and not _is_fixed(read):
                found[read] = None
                todo.append(read)
    return tuple(found)


def trace(value: ir.Value, sources: Sequence[ir.Value]) -> Moved | None:
    """Run the chain from ``sources`` to ``value`` on labels.

    None where another tensor takes part, a shape or a parameter is not known, or a node does
    something else than move.
    """
    shapes = [static_shape(source) for source in sources]
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes) or sum(math.prod(shape) for shape in known) > _MOST:
        return None
    labels: dict[ir.Value, Array] = {}
    starts, start = [], 0
    for source, shape in zip(sources, known, strict=True):
        starts.append(start)
        size = math.prod(shape)
        labels[source] = np.arange(start, start + size, dtype=np.int32).reshape(shape)
        start += size
    nodes: dict[ir.Node, None] = {}
    try:
        result = _labels(value, labels, nodes)
    except (_NotMoved, ValueError, IndexError):  # NumPy: a shape in the file does not fit
        return None
    return Moved(tuple(sources), tuple(starts), result, tuple(nodes)) if nodes else None


class _NotMoved(Exception):  # noqa: N818 (carries nothing to its one catcher)
    """Something on the way is no movement."""


def _labels(value: ir.Value, known: dict[ir.Value, Array], nodes: dict[ir.Node, None]) -> Array:
    if value in known:
        return known[value]
    if _is_fixed(value):
        shape = static_shape(value)
        if shape is None or not is_zero(value) or math.prod(shape) > _MOST:
            raise _NotMoved
        known[value] = np.full(shape, ZERO, np.int32)
        if (filler := value.producer()) is not None and constant(value) is None:
            nodes[filler] = None
        return known[value]
    node = value.producer()
    if node is None or not moves(node):
        raise _NotMoved
    inputs = {read: _labels(read, known, nodes) for read in _data_inputs(node)}
    nodes[node] = None
    results = _MOVES[node.op_type](node, inputs)
    for output, result in zip(node.outputs, results, strict=True):
        if result.size > _MOST:
            raise _NotMoved
        known[output] = result
    return known[value]


def _is_fixed(value: ir.Value) -> bool:
    """Whether no source is in it: a constant, or what fills a constant shape."""
    node = value.producer()
    if node is not None and is_onnx(node, "ConstantOfShape"):
        return constant(node.inputs[0]) is not None
    return constant(value) is not None


def _data_inputs(node: ir.Node) -> list[ir.Value]:
    if is_onnx(node, "Concat"):
        return [value for value in node.inputs if value is not None]
    if is_onnx(node, "ScatterND"):
        return [value for value in (node.inputs[0], node.inputs[2]) if value is not None]
    return [value for value in node.inputs[:1] if value is not None]


def _same_graph(node: ir.Node, value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and node.graph is producer.graph


Labelled = Mapping["ir.Value", Array]


def _given(node: ir.Node, name: str, index: int) -> list[int] | None:
    """A parameter that was an attribute before it became an input; None where it is absent."""
    if name in node.attributes:
        return [int(n) for n in attribute(node, name, ())]
    value = input_of(node, index)
    if value is None:
        return None
    held = constant(value)
    if held is None:
        raise _NotMoved
    return [int(n) for n in np.ravel(held)]


def _first(node: ir.Node, inputs: Labelled) -> Array:
    value = node.inputs[0]
    if value is None:
        raise _NotMoved
    return inputs[value]


def _same(node: ir.Node, inputs: Labelled) -> list[Array]:
    return [_first(node, inputs)]


def _reshape(node: ir.Node, inputs: Labelled) -> list[Array]:
    """Reshape, Flatten, Squeeze, Unsqueeze: inference has mostly said what results.

    Not where the file declares a graph output with dimensions that it does not know.
    """
    array, shape = _first(node, inputs), static_shape(node.outputs[0])
    if shape is None and is_onnx(node, "Reshape"):
        given = _given(node, "shape", 1) or []
        copies = not attribute(node, "allowzero", 0)
        shape = tuple(
            array.shape[axis] if size == 0 and copies else size for axis, size in enumerate(given)
        )
    if shape is None:
        raise _NotMoved
    return [array.reshape(shape)]


def _expand(node: ir.Node, inputs: Labelled) -> list[Array]:
    shape = static_shape(node.outputs[0])
    if shape is None:
        raise _NotMoved
    return [np.broadcast_to(_first(node, inputs), shape)]


def _tile(node: ir.Node, inputs: Labelled) -> list[Array]:
    return [np.tile(_first(node, inputs), _given(node, "repeats", 1) or [1])]


def _transpose(node: ir.Node, inputs: Labelled) -> list[Array]:
    return [_first(node, inputs).transpose(attribute(node, "perm", None))]


def _concat(node: ir.Node, inputs: Labelled) -> list[Array]:
    parts = [inputs[value] for value in node.inputs if value is not None]
    return [np.concatenate(parts, int(attribute(node, "axis", 1)))]


def _split(node: ir.Node, inputs: Labelled) -> list[Array]:
    array = _first(node, inputs)
    axis = int(attribute(node, "axis", 0))
    sizes = [(static_shape(output) or ())[axis] for output in node.outputs]
    if sum(sizes) != array.shape[axis]:
        raise _NotMoved
    return np.split(array, np.cumsum(sizes)[:-1], axis)


def _slice(node: ir.Node, inputs: Labelled) -> list[Array]:
    array = _first(node, inputs)
    starts, ends = _given(node, "starts", 1), _given(node, "ends", 2)
    if starts is None or ends is None:
        raise _NotMoved
    axes = _given(node, "axes", 3) or list(range(len(starts)))
    steps = _given(node, "steps", 4) or [1] * len(starts)
    places: list[slice] = [slice(None)] * array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise _NotMoved
        places[axis] = slice(start, end, step)
    return [array[tuple(places)]]


def _pad(node: ir.Node, inputs: Labelled) -> list[Array]:
    array = _first(node, inputs)
    pads, filled = _given(node, "pads", 1), constant(input_of(node, 2))
    value = attribute(node, "value", 0.0) if filled is None else filled
    if input_of(node, 2) is not None and filled is None:
        raise _NotMoved
    if pads is None or min(pads) < 0 or attribute(node, "mode", "constant") != "constant":
        raise _NotMoved
    if np.any(value):
        raise _NotMoved
    width = [(0, 0)] * array.ndim
    axes = _given(node, "axes", 3) or list(range(array.ndim))
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        width[axis] = (before, after)
    return [np.pad(array, width, constant_values=ZERO)]


def _depth_to_space(node: ir.Node, inputs: Labelled) -> list[Array]:
    batch, channels, height, width = _first(node, inputs).shape
    block = int(attribute(node, "blocksize", 0))
    rest = channels // block**2
    if attribute(node, "mode", "DCR") == "DCR":
        split, perm = (batch, block, block, rest, height, width), (0, 3, 4, 1, 5, 2)
    else:
        split, perm = (batch, rest, block, block, height, width), (0, 1, 4, 2, 5, 3)
    woven = _first(node, inputs).reshape(split).transpose(perm)
    return [woven.reshape(batch, rest, height * block, width * block)]


def _gather(node: ir.Node, inputs: Labelled) -> list[Array]:
    places = constant(node.inputs[1])
    if places is None:
        raise _NotMoved
    return [np.take(_first(node, inputs), places, int(attribute(node, "axis", 0)))]


def _scatter(node: ir.Node, inputs: Labelled) -> list[Array]:
    data, updates = node.inputs[0], node.inputs[2]
    places = constant(node.inputs[1])
    if data is None or updates is None or places is None:
        raise _NotMoved
    if attribute(node, "reduction", "none") != "none":
        raise _NotMoved
    result = inputs[data].copy()
    result[tuple(np.moveaxis(places, -1, 0))] = inputs[updates]
    return [result]


_MOVES: Mapping[str, Callable[[ir.Node, Labelled], list[Array]]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "ScatterND": _scatter,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}

"""Whether a value is an upsampled map, and of what.

1. Resize and Upsample, nearest by whole factors, under every rule of coordinates and rounding
   that makes it a repetition (`resampling`).
2. A grouped ConvTranspose whose kernel has a single 1 per channel: zero-insertion unpooling.
3. Nodes that only move elements, among zeros or not: Reshape, Pad, Concat with zeros, Expand,
   Gather, ScatterND. They are run on labels (`data_movement`), so every spelling is one case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.conv_nodes import SPATIAL, read_conv_transpose
from edgeup.export.passes.data_movement import ZERO, Moved, moves, on_the_way, trace
from edgeup.export.passes.facts import Array, is_onnx, static_shape
from edgeup.export.passes.resampling import is_resize, read_resampling
from edgeup.polyphase import ConvTranspose

if TYPE_CHECKING:
    import onnx_ir as ir

_MOST_SOURCES = 16


@dataclass(frozen=True, eq=False)
class Upsampled:
    """Where a map comes from.

    Attributes:
        source: the low-resolution map.
        kind: ``nearest``: output ``q`` is input ``q // factor``. ``zeros``: input ``i`` is at
            output ``factor i + place``, and the rest is 0.
        factors: per spatial axis.
        places: per spatial axis; may exceed the factor, and is 0 for ``nearest``.
        extra: output extent less ``factor * input extent``, per spatial axis.
        nodes: what makes the map, in the order of the graph.
    """

    source: ir.Value
    kind: Literal["nearest", "zeros"]
    factors: tuple[int, ...]
    places: tuple[int, ...]
    extra: tuple[int, ...]
    nodes: tuple[ir.Node, ...]

    @property
    def words(self) -> str:
        """As a reader would call it."""
        name = "nearest resize" if self.kind == "nearest" else "zero-insertion unpooling"
        return f"{name} by {'x'.join(str(f) for f in self.factors)}"


def upsampled_source(value: ir.Value) -> Upsampled | Refusal | None:
    """The map that ``value`` is an upsampling of; None where it is nothing of this kind."""
    node = value.producer()
    if node is None or value is not node.outputs[0]:
        return None
    if is_resize(node):
        return _from_resize(node)
    if is_onnx(node, "ConvTranspose"):
        return _from_one_hot(node)
    return _from_movement(value) if moves(node) else None


def _from_resize(node: ir.Node) -> Upsampled | Refusal | None:
    found = read_resampling(node)
    if isinstance(found, Refusal):
        return found
    if found.mode != "nearest" or not found.enlarges:
        return None
    factors = found.whole_factors
    if factors is None:
        by = "x".join(str(float(f)) for f in found.factors)
        return Refusal(
            node.name or "", f"nearest by {by} under its rounding repeats no pixel equally often"
        )
    if set(factors) == {1}:
        return None
    nothing = (0,) * len(factors)
    return Upsampled(found.source, "nearest", factors, nothing, nothing, (node,))


def _from_one_hot(node: ir.Node) -> Upsampled | Refusal | None:
    form = read_conv_transpose(node)
    source = node.inputs[0]
    if isinstance(form, Refusal) or source is None or not _is_depthwise(form):
        return None  # an ordinary transposed convolution
    kernels = form.weight[:, 0]
    if np.any(kernels != kernels[:1]):
        return None
    taps = np.argwhere(kernels[0])
    if len(taps) != 1 or kernels[0][tuple(taps[0])] != 1:
        return None
    if form.bias is not None and np.any(form.bias):
        return Refusal(node.name or "", "zero insertion with a bias fills the zeros")
    axes = len(form.strides)
    places = tuple(
        int(tap) * d - begin
        for tap, d, begin in zip(taps[0], form.dilations, form.pads[:axes], strict=True)
    )
    for place, stride, extra in zip(places, form.strides, form.extra, strict=True):
        if place < 0 or place - stride >= extra:
            return Refusal(node.name or "", f"its pads {list(form.pads)} crop the unpooled map")
    return Upsampled(source, "zeros", form.strides, places, form.extra, (node,))


def _is_depthwise(form: ConvTranspose) -> bool:
    return form.weight.shape[:2] == (form.group, 1) and set(form.strides) != {1}


def _from_movement(value: ir.Value) -> Upsampled | None:
    """Rule 3; of several values that it could start from, the one furthest away."""
    wanted = static_shape(value)
    if wanted is None:
        return None
    found = None
    for source in on_the_way(value)[:_MOST_SOURCES]:
        shape = static_shape(source)
        if shape is None or len(shape) != len(wanted) or shape[:SPATIAL] != wanted[:SPATIAL]:
            continue
        if np.prod(shape) >= np.prod(wanted):
            continue
        moved = trace(value, [source])
        if moved is not None and moved.is_private:
            found = _read_labels(moved) or found
    return found


def _read_labels(moved: Moved) -> Upsampled | None:
    source = moved.sources[0]
    shape = static_shape(source) or ()
    numbers = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    reads = [_read_axis(moved.labels, axis) for axis in range(SPATIAL, len(shape))]
    factors = tuple(step for step, _ in reads)
    places = tuple(place for _, place in reads)
    extra = tuple(
        size - f * n
        for size, f, n in zip(moved.labels.shape[SPATIAL:], factors, shape[SPATIAL:], strict=True)
    )
    nothing = (0,) * len(factors)
    if set(factors) == {1}:
        return None
    if np.array_equal(moved.labels, _repeated(numbers, factors)):
        return Upsampled(source, "nearest", factors, nothing, nothing, moved.nodes)
    spread = np.full(moved.labels.shape, ZERO, np.int32)
    places_of = [slice(p, None, f) for p, f in zip(places, factors, strict=True)]
    kept = (slice(None), slice(None), *places_of)
    if spread[kept].shape != shape:
        return None
    spread[kept] = numbers
    if np.array_equal(moved.labels, spread):
        return Upsampled(source, "zeros", factors, places, extra, moved.nodes)
    return None


def _read_axis(labels: Array, axis: int) -> tuple[int, int]:
    """The distance between one pixel and the next, and the place of the first: a guess."""
    others = tuple(a for a in range(labels.ndim) if a != axis)
    along = np.where(labels == ZERO, -1, labels).max(axis=others)
    changes = np.flatnonzero(np.diff(along, prepend=-1) * (along >= 0))
    first = int(changes[0]) if len(changes) else 0
    step = int(changes[1]) - first if len(changes) > 1 else labels.shape[axis]
    return step, first


def _repeated(numbers: Array, factors: Sequence[int]) -> Array:
    for axis, factor in enumerate(factors, SPATIAL):
        numbers = np.repeat(numbers, factor, axis)
    return numbers

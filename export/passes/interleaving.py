"""Whether a value is an interleave of other values' channels, and which goes where.

However it is written (Stack, Unsqueeze, Concat, Reshape, Transpose, DepthToSpace, a crop at the
end): the nodes are run on labels, and the labels are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.conv_nodes import SPATIAL
from edgeup.export.passes.data_movement import ZERO, Moved, sources_of, trace
from edgeup.export.passes.facts import Array, static_shape
from edgeup.polyphase import taps

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Interleaved:
    """How sources are interleaved.

    Attributes:
        sources: maps of the same extents and batch.
        strides: block extent per spatial axis; 1 where nothing is interleaved.
        crops: what is cut off the interleaved map, ``(begins..., ends...)``.
        channels: ``co *s``: which channel of the concatenated sources is there.
        nodes: what interleaves, in an order in which they can run.
    """

    sources: tuple[ir.Value, ...]
    strides: tuple[int, ...]
    crops: tuple[int, ...]
    channels: Array
    nodes: tuple[ir.Node, ...]


def interleaved_sources(value: ir.Value) -> Interleaved | None:
    """Read an interleave; None where the value is none, or its shapes are not known."""
    sources = sources_of(value)
    shapes = {static_shape(source) for source in sources}
    if not sources or None in shapes:
        return None
    extents = {shape[:1] + shape[SPATIAL:] for shape in shapes if shape is not None}
    if len(extents) != 1 or len(next(iter(extents))) < SPATIAL:
        return None
    moved = trace(value, sources)
    if moved is None or not moved.is_private or (moved.labels == ZERO).any():
        return None
    batch, *spatial = next(iter(extents))
    return _read(moved, batch, spatial)


def _read(moved: Moved, batch: int, spatial: Sequence[int]) -> Interleaved | None:
    labels = moved.labels
    if labels.ndim != len(spatial) + SPATIAL or labels.shape[0] != batch:
        return None
    channel, places = _channels_and_places(moved, spatial)
    strides, begins, ends = [], [], []
    for axis, extent in enumerate(spatial):
        line = np.moveaxis(places[axis], SPATIAL + axis, 0).reshape(
            labels.shape[SPATIAL + axis], -1
        )
        stride, begin = _stride(line[:, 0], extent)
        strides.append(stride)
        begins.append(begin)
        ends.append(stride * extent - begin - len(line))
    if min(begins + ends) < 0:
        return None
    found = _first_block(channel[0], strides, begins)
    if found is None or not _is_it(moved, found, strides, begins, batch, spatial):
        return None
    return Interleaved(moved.sources, tuple(strides), (*begins, *ends), found, moved.nodes)


def _channels_and_places(moved: Moved, spatial: Sequence[int]) -> tuple[Array, list[Array]]:
    """Of each label: its channel among all sources' channels, its place along each axis."""
    plane = math.prod(spatial)
    widths = [(static_shape(source) or ())[1] for source in moved.sources]
    source = np.searchsorted(moved.starts, moved.labels, side="right") - 1
    within = moved.labels - np.asarray(moved.starts)[source]
    first = np.concatenate([[0], np.cumsum(widths)[:-1]])
    channel = first[source] + within // plane % np.asarray(widths)[source]
    return channel, list(np.unravel_index(within % plane, tuple(spatial)))


def _stride(line: Array, extent: int) -> tuple[int, int]:
    """How many outputs in a row read the same input place, and how many of the first are cut."""
    counts = np.bincount(line, minlength=extent)
    stride = int(counts.max())
    return stride, stride - int(counts[0]) if extent > 1 else 0


def _first_block(channel: Array, strides: Sequence[int], begins: Sequence[int]) -> Array | None:
    """Channels by phase: of the first outputs at each phase."""
    result = channel
    for axis, (stride, begin) in enumerate(zip(strides, begins, strict=True), 1):
        if result.shape[axis] < stride:
            return None
        places = [(phase - begin) % stride for phase in range(stride)]
        result = np.take(result, places, axis)
    return result


def _is_it(
    moved: Moved,
    channels: Array,
    strides: Sequence[int],
    begins: Sequence[int],
    batch: int,
    spatial: Sequence[int],
) -> bool:
    """Whether this interleave gives these very labels."""
    parts = []
    for source, start in zip(moved.sources, moved.starts, strict=True):
        shape = static_shape(source) or ()
        parts.append(start + np.arange(math.prod(shape), dtype=np.int64).reshape(shape))
    woven = np.concatenate(parts, 1)[:, channels.reshape(-1)].reshape(
        batch, *channels.shape, *spatial
    )
    axes = len(spatial)
    pairs = [a for i in range(axes) for a in (SPATIAL + axes + i, SPATIAL + i)]
    whole = woven.transpose(0, 1, *pairs).reshape(
        batch, len(channels), *(s * n for s, n in zip(strides, spatial, strict=True))
    )
    ends = zip(begins, moved.labels.shape[SPATIAL:], strict=True)
    window = taps.at(slice(begin, begin + extent) for begin, extent in ends)
    return np.array_equal(whole[window], moved.labels)

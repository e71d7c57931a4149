"""Which pixels a constant grid reads, and with which weights (ONNX, GridSample-20).

The numbers follow ONNX Runtime's float32 (core/providers/cpu/tensor/grid_sample.cc), as a place on
the border falls inside or outside by its rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from edgeup.export.passes.facts import Array

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_CUBIC = -0.75


@dataclass(frozen=True, eq=False)
class GridTaps:
    """For each of p places, k flat pixels and their weights: two arrays ``n k p``."""

    pixels: Indices
    weights: Floats


def grid_taps(
    grid: Array, extents: Sequence[int], mode: str, padding: str, *, aligned: bool
) -> GridTaps:
    """The taps of a grid ``n *places axes``, whose last axis names the innermost extent first."""
    flat = grid.reshape(len(grid), -1, grid.shape[-1])
    axes = [
        _axis_taps(flat[..., -1 - number], extent, mode, padding, aligned)
        for number, extent in enumerate(extents)
    ]
    pixels: list[Indices] = []
    weights: list[Floats] = []
    strides = [math.prod(extents[number + 1 :]) for number in range(len(extents))]
    for corner in itertools.product(*axes):
        pixels.append(
            reduce(np.add, [index * s for (index, _), s in zip(corner, strides, strict=True)])
        )
        weights.append(reduce(np.multiply, [weight for _, weight in corner]))
    return GridTaps(np.stack(pixels, axis=1), np.stack(weights, axis=1))


def _axis_taps(
    numbers: Array, extent: int, mode: str, padding: str, aligned: bool
) -> list[tuple[Indices, Floats]]:
    """The neighbours along one axis, each with its weight: arrays ``n p``."""
    given = numbers.astype(np.float32)
    half, one = np.float32(0.5), np.float32(1)
    last = np.float32(extent - 1)
    place = (
        (given + one) * half * last
        if aligned
        else ((given + one) * np.float32(extent) - one) * half
    )
    low, high = (np.float32(0), last) if aligned else (-half, last + half)
    cubic = mode in ("cubic", "bicubic")
    if mode == "nearest":
        place = np.rint(place)
    if not cubic:
        place = _moved(place, extent, padding, low, high)
    first = np.floor(place)
    part = (place - first).astype(np.float64)
    if mode == "nearest":
        places, parts = [first], [np.ones_like(part)]
    elif cubic:
        places = [first + np.float32(shift) for shift in (-1, 0, 1, 2)]
        parts = [_keys(part + 1), _keys(part), _keys(1 - part), _keys(2 - part)]
    else:
        places, parts = [first, first + one], [1 - part, part]
    return [
        _placed(_moved(p, extent, padding, low, high), w, extent)  # a neighbour may lie beyond
        for p, w in zip(places, parts, strict=True)
    ]


def _placed(place: Array, weight: Floats, extent: int) -> tuple[Indices, Floats]:
    """A pixel that is on the map; beyond it (padding zeros), any pixel with the weight 0."""
    inside = (place >= 0) & (place <= extent - 1)
    pixels = np.clip(place, 0, extent - 1).astype(np.int64)
    return pixels, np.where(inside, weight, 0.0)


def _moved(place: Array, extent: int, padding: str, low: np.float32, high: np.float32) -> Array:
    """``place`` by the padding mode; zeros leaves it where it is."""
    if padding == "border":
        return np.clip(place, 0, np.float32(extent - 1))
    if padding == "reflection":
        return _reflected(place, low, high)
    return place


def _reflected(place: Array, low: np.float32, high: np.float32) -> Array:
    span = high - low
    if span == 0:
        return np.zeros_like(place)
    beyond = np.where(place < low, low - place, np.where(place > high, place - high, 0))
    turns = np.floor(beyond / span)
    rest = beyond - turns * span
    even = turns % 2 == 0
    below = np.where(even, low + rest, high - rest)
    above = np.where(even, high - rest, low + rest)
    return np.where(place < low, below, np.where(place > high, above, place)).astype(np.float32)


def _keys(distance: Floats) -> Floats:
    """Keys' cubic convolution (1981) with a = -0.75."""
    x = np.abs(distance)
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _CUBIC
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

"""Resize along one axis as what it is: a choice of pixels, or a matrix.

This is ONNX's definition (Resize-19) in NumPy. Coordinates are computed in float32 and in ONNX
Runtime's order of operations, since a place halfway between two pixels goes to one or the other
by its rounding; weights are float64. Every mode but nearest is one kernel: triangle or cubic, with
antialias stretched by the shrinking factor. Taps beyond the border fall on the border pixel, or
with exclude_outside are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeup.export.passes.resize_axes import Axis, Sampling

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_HALF = np.float32(0.5)
_HALFWAY = 1e-6
"""How near to the middle ONNX Runtime takes for the middle (measured on 1.32)."""


def coordinates(axis: Axis, rule: str) -> Singles:
    """Where each output position lies on the input, in pixels; float32."""
    return np.asarray(_coordinates(axis, rule), np.float32)


def _coordinates(axis: Axis, rule: str) -> Any:
    place = np.arange(axis.size, dtype=np.float32)
    if axis.scale == 1 and axis.region == (0.0, 1.0):
        return place
    scale, length, size = axis.scale, np.float32(axis.length), np.float32(axis.size)
    begin, end = (np.float32(edge) for edge in axis.region)
    one = np.float32(1)
    if rule == "asymmetric":
        return place / scale
    if rule == "half_pixel" or (rule == "pytorch_half_pixel" and axis.size > 1):
        return (place + _HALF) / scale - _HALF
    if rule == "tf_half_pixel_for_nn":
        return (place + _HALF) / scale
    if rule == "half_pixel_symmetric":
        adjustment = size / (scale * length)
        offset = length / np.float32(2) * (one - adjustment)
        exact = float(offset) + (place.astype(np.float64) + 0.5) / float(scale) - 0.5
        return exact
    if rule == "align_corners" and axis.size > 1:
        return place * (length - one) / (size - one)
    if rule == "tf_crop_and_resize":
        if axis.size == 1:
            return np.full(1, _HALF * (begin + end) * (length - one))
        return begin * (length - one) + place * (end - begin) * (length - one) / (size - one)
    return np.zeros_like(place)  # align_corners and pytorch_half_pixel to one pixel


def outside(axis: Axis, sampling: Sampling) -> Bools:
    """Output positions that lie beyond the input, where a crop gives its extrapolation value."""
    place = coordinates(axis, sampling.coordinates)
    return sampling.crops & ((place < 0) | (place > axis.length - 1))


def picks(axis: Axis, sampling: Sampling) -> Indices:
    """Nearest: the pixel that each output position copies."""
    return _nearest(coordinates(axis, sampling.coordinates), axis, sampling.rounding)


def picks_robustly(axis: Axis, sampling: Sampling) -> bool:
    """Whether another order of operations picks the same pixels: none lies at a boundary."""
    place = coordinates(axis, sampling.coordinates)
    # float32 keeps 24 bits; a handful of operations loses two or three of them.
    slack = np.float32(1e-6) * np.maximum(np.abs(place), 1)
    low, high = (_nearest(place + s, axis, sampling.rounding) for s in (-slack, slack))
    return bool((low == high).all())


def _nearest(place: Singles, axis: Axis, rounding: str) -> Indices:
    rounds: dict[str, Callable[[Singles], npt.NDArray[Any]]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x.astype(np.float64) - 0.5 - _HALFWAY),
        "round_prefer_ceil": lambda x: np.floor(x.astype(np.float64) + 0.5 + _HALFWAY),
        # ONNX Runtime's rule for the opsets without nearest_mode.
        "simple": np.ceil if axis.scale < 1 else np.floor,
    }
    return np.asarray(np.clip(rounds[rounding](place), 0, axis.length - 1), np.int64)


def matrix(axis: Axis, sampling: Sampling) -> Floats:
    """The operator along an axis, ``size length``; rows beyond the input of a crop are zeros."""
    if sampling.mode == "nearest":
        rows = np.eye(axis.length)[picks(axis, sampling)]
    else:
        rows = _weights(axis, sampling)
    rows[outside(axis, sampling)] = 0
    return rows


def _weights(axis: Axis, sampling: Sampling) -> Floats:
    kernel, reach = _kernel(sampling)
    stretch = 1.0
    if sampling.antialias and axis.scale < 1:
        stretch = 1.0 / float(axis.scale)
    place = coordinates(axis, sampling.coordinates).astype(np.float64)
    if not sampling.antialias:
        # A place beyond the border is not blended: linear clamps it, cubic folds its taps.
        place = np.clip(place, 0, axis.length - 1) if sampling.mode == "linear" else place
    first = np.floor(place - reach * stretch).astype(np.int64)
    taps = first[:, None] + np.arange(2 * int(np.ceil(reach * stretch)) + 2)
    weights = kernel((taps - place[:, None]) / stretch)
    if sampling.exclude_outside and (sampling.antialias or sampling.mode == "cubic"):
        weights = np.where((taps >= 0) & (taps < axis.length), weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    rows = np.zeros((axis.size, axis.length))
    positions = np.broadcast_to(np.arange(axis.size)[:, None], taps.shape)
    np.add.at(rows, (positions, np.clip(taps, 0, axis.length - 1)), weights)
    return rows


def _kernel(sampling: Sampling) -> tuple[Callable[[Floats], Floats], float]:
    """The kernel and how far it reaches; cubic: Keys 1981."""
    if sampling.mode == "linear":
        return lambda x: np.maximum(1.0 - np.abs(x), 0.0), 1.0
    a = sampling.cubic

    def cubic(x: Floats) -> Floats:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    return cubic, 2.0

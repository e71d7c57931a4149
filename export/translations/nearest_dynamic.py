"""Nearest resampling of a dynamic shape.

By a factor, output pixel x is input pixel floor(x * t) with t = 1 / factor in float32 (nearest) or
floor((x + 0.5) * t) (nearest-exact) whatever the length, so the map of a long axis begins with
that of a short one. A Resize that has the long map serves all lengths up to it; where none has,
the pixels are computed in the graph as PyTorch does, and gathered:

    Shape -> Cast -> Mul -> Cast -> Range -> Cast (-> Add) -> Mul -> Cast -> Min -> Gather

upsample_nearest2d takes t = 1 where the length comes out the same, and t = 0.5 where it doubles
(4 pixels by 2.2), which only short axes do.

To a size that is read off another tensor the ratio is unknown, and a Resize divides the lengths
itself: it has PyTorch's pixels for every integer ratio, and for most others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgeup.export.translations.axes import Axis, float32_at_least
from edgeup.export.translations.emit import constant, op
from edgeup.export.translations.index_map import (
    FORMS,
    TIES,
    IndexMap,
    NearestForm,
    resize_map,
)

LONGEST = 8192
"""Output pixels up to which a Resize is compared."""


def sizes_form(exact: bool) -> NearestForm:
    """The form by definition: PyTorch's formula in exact arithmetic."""
    if exact:
        return NearestForm("half_pixel", "round_prefer_ceil")
    return NearestForm("asymmetric", "floor")


def find_factor_form(
    factors: Sequence[float], maps: Sequence[IndexMap]
) -> tuple[NearestForm, tuple[float, ...]] | None:
    """A Resize that has the maps (of axes as long as can be) and output lengths at any length."""
    for form in FORMS:
        scales = [_scale(form, *axis) for axis in zip(factors, maps, strict=True)]
        if all(s is not None for s in scales):
            return form, tuple(s for s in scales if s is not None)
    return None


def longest(factor: float) -> Axis:
    """The axis whose map has those of all shorter ones."""
    length = max(1, int(LONGEST / factor))
    return Axis(length, int(length * factor), factor)


def _scale(form: NearestForm, factor: float, wanted: IndexMap) -> float | None:
    length = longest(factor).static[0]
    lengths = np.arange(1, length + 1)
    sizes = (lengths * factor).astype(np.int64)
    for scale in (float(np.float32(factor)), float32_at_least(factor)):
        computed = np.floor(lengths.astype(np.float32) * np.float32(scale)).astype(np.int64)
        same = all(
            np.array_equal(resize_map(form, length, len(wanted), scale, tie), wanted)
            for tie in TIES
        )
        if same and np.array_equal(computed, sizes):
            return scale
    return None


def has_copies(factors: Sequence[float], maps: Sequence[IndexMap]) -> bool:
    """Whether some short axis is copied or doubled where the long map begins otherwise."""
    for factor, long_map in zip(factors, maps, strict=True):
        for times in (1, 2):
            beyond = factor - times
            # int(length * factor) = length * times, while length * beyond < 1
            last = min(1 / beyond, LONGEST / factor) if 0 < beyond < 1 else 0
            for length in range(1, int(last) + 1):
                repeated = np.arange(length * times) // times
                same_size = int(length * factor) == repeated.size
                if same_size and not np.array_equal(repeated, long_map[: repeated.size]):
                    return True
    return False


def gather_by_formula(x: ir.Value, axis: int, factor: float, exact: bool, copies: bool) -> ir.Value:
    """``x`` resampled along one axis of any length, by PyTorch's float32 formula."""
    length = op.Shape(x, start=axis, end=axis + 1)
    scalar = op.Squeeze(length, constant(np.array([0], np.int64)))
    # PyTorch multiplies in double and truncates.
    product = op.Mul(op.Cast(scalar, to=ir.DataType.DOUBLE), constant(np.array(factor, np.float64)))
    size = op.Cast(product, to=ir.DataType.INT64)
    zero, one = constant(np.array(0, np.int64)), constant(np.array(1, np.int64))
    at = op.Cast(op.Range(zero, size, one), to=ir.DataType.FLOAT)
    if exact:
        at = op.Add(at, constant(np.array(0.5, np.float32)))
    step = constant(np.array(1.0 / factor, np.float32))
    if copies:
        half, whole = constant(np.array(0.5, np.float32)), constant(np.array(1.0, np.float32))
        step = op.Where(op.Equal(size, op.Add(scalar, scalar)), half, step)
        step = op.Where(op.Equal(size, scalar), whole, step)
    at = op.Mul(at, step)
    # A cast to an integer truncates, which is floor here.
    pixels = op.Min(op.Cast(at, to=ir.DataType.INT64), op.Sub(length, one))
    gathered: ir.Value = op.Gather(x, pixels, axis=axis)
    return gathered

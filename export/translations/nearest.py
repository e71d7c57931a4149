"""Nearest and nearest-exact resampling: one Resize, or one Gather per axis.

    x -> [index arithmetic] -> GatherND      becomes      x -> Resize(nearest)

The pixels are PyTorch's own: its map of each axis is read off a run on 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import torch

from edgeup.export.translations.axes import (
    Axis,
    Size,
    axes_from_aten,
    has_static_batch,
    scales_input,
    shape_input,
)
from edgeup.export.translations.emit import constant, op
from edgeup.export.translations.index_map import IndexMap, NearestForm, find_resize
from edgeup.export.translations.nearest_dynamic import (
    find_factor_form,
    gather_by_formula,
    has_copies,
    longest,
    sizes_form,
)

Translation = Callable[[ir.Value, Sequence[Size] | None, Sequence[float | None] | None], ir.Value]

# The types that ONNX Runtime's nearest Resize takes; a Gather takes any.
_RESIZE_TYPES = {
    ir.DataType.FLOAT,
    ir.DataType.FLOAT16,
    ir.DataType.UINT8,
    ir.DataType.INT8,
    ir.DataType.INT32,
}


def translate_nearest(
    x: ir.Value, sizes: Sequence[Size] | None, factors: Sequence[float | None] | None
) -> ir.Value:
    """aten::upsample_nearest{1,2,3}d: source pixel floor(dst / scale)."""
    return _translate(x, sizes, factors, exact=False)


def translate_nearest_exact(
    x: ir.Value, sizes: Sequence[Size] | None, factors: Sequence[float | None] | None
) -> ir.Value:
    """aten::_upsample_nearest_exact{1,2,3}d: source pixel floor((dst + 0.5) / scale)."""
    return _translate(x, sizes, factors, exact=True)


def torch_map(axis: Axis, exact: bool, rank: int) -> IndexMap:
    """PyTorch's map of one static axis of a tensor with ``rank`` spatial axes.

    The rank matters: upsample_nearest2d, and it alone, copies where the length stays and repeats
    where it doubles, whatever the factor.
    """
    length, size = axis.static
    name = f"_upsample_nearest_exact{rank}d" if exact else f"upsample_nearest{rank}d"
    others = rank - 1
    ramp = torch.arange(length, dtype=torch.float32).reshape(1, 1, length, *[1] * others)
    resample = getattr(torch.ops.aten, name).default
    pixels: torch.Tensor = resample(ramp, [size] + [1] * others, axis.factor, *[None] * others)
    return pixels.flatten().long().numpy()


def _translate(
    x: ir.Value,
    sizes: Sequence[Size] | None,
    factors: Sequence[float | None] | None,
    exact: bool,
) -> ir.Value:
    axes = axes_from_aten(x, sizes, factors)
    if not all(axis.is_static for axis in axes):
        return _dynamic(x, axes, sizes, exact)
    maps = [torch_map(axis, exact, len(axes)) for axis in axes]
    lengths = [axis.static[0] for axis in axes]
    found = find_resize(maps, lengths) if x.dtype in _RESIZE_TYPES else None
    if found is None:
        return _gather(x, maps, lengths)
    form, scales = found
    if scales is not None:
        return _resize(x, form, scales=scales_input(scales))
    if has_static_batch(x):
        return _resize(x, form, sizes=shape_input(x, [axis.static[1] for axis in axes]))
    return _gather(x, maps, lengths)  # no more nodes than a Resize that reads the batch size


def _gather(x: ir.Value, maps: Sequence[IndexMap], lengths: Sequence[int]) -> ir.Value:
    changed = [
        (len(pixels) / length, 2 + i, pixels)
        for i, (pixels, length) in enumerate(zip(maps, lengths, strict=True))
        if not np.array_equal(pixels, np.arange(length))
    ]
    # The axes that shrink first, so that what lies between is small.
    for _, axis, pixels in sorted(changed, key=lambda c: c[:2]):
        x = op.Gather(x, constant(pixels), axis=axis)
    if not changed:
        x = op.Identity(x)
    return x


def _dynamic(
    x: ir.Value, axes: Sequence[Axis], sizes: Sequence[Size] | None, exact: bool
) -> ir.Value:
    factors = [axis.factor for axis in axes if axis.factor is not None]
    if len(factors) < len(axes):
        return _resize(x, sizes_form(exact), sizes=shape_input(x, sizes or ()))
    maps = [torch_map(longest(factor), exact, len(axes)) for factor in factors]
    copies = len(axes) == 2 and not exact
    found = None if copies and has_copies(factors, maps) else find_factor_form(factors, maps)
    if found is not None:
        form, scales = found
        return _resize(x, form, scales=constant(np.array([1.0, 1.0, *scales], np.float32)))
    for i, factor in enumerate(factors):
        x = gather_by_formula(x, 2 + i, factor, exact, copies)
    return x


def _resize(
    x: ir.Value,
    form: NearestForm,
    scales: ir.Value | None = None,
    sizes: ir.Value | None = None,
) -> ir.Value:
    resized: ir.Value = op.Resize(
        x,
        None,
        scales,
        sizes,
        mode="nearest",
        coordinate_transformation_mode=form.coordinates,
        nearest_mode=form.rounding,
    )
    return resized

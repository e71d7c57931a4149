"""Adaptive average pooling, which is also interpolate's area mode.

Output pixel i is the mean of pixels floor(i * length / size) to ceil((i + 1) * length / size),
so per axis it is

- length = k * size: the mean of k pixels              one AveragePool for all such axes
- size = k * length: every pixel k times               one nearest Resize for all such axes
- otherwise: windows of unequal length that overlap    one MatMul per such axis

and all axes to one pixel are one GlobalAveragePool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir
import torch

from edgeup.errors import EdgeupError
from edgeup.export.translations.axes import Axis, Size, axes_from_aten, scales_input
from edgeup.export.translations.emit import batched, describe, dims, op
from edgeup.export.translations.separable import Matrix, matrix_of, multiply

Pooling = Callable[[ir.Value, Sequence[Size]], ir.Value]


def translate_adaptive_avg_pool(spatial: int) -> Pooling:
    """aten::adaptive_avg_pool{1,2,3}d(Tensor self, SymInt[] output_size) -> Tensor."""

    def pool(x: ir.Value, output_size: Sequence[Size]) -> ir.Value:
        return batched(x, spatial, lambda batch: _pool(batch, output_size))

    return pool


def _pool(x: ir.Value, output_size: Sequence[Size]) -> ir.Value:
    axes = axes_from_aten(x, output_size, None)
    if all(axis.size == 1 for axis in axes) and not all(axis.length == 1 for axis in axes):
        mean: ir.Value = op.GlobalAveragePool(x)
        return mean
    if not all(axis.is_static for axis in axes):
        raise EdgeupError(
            f"adaptive average pooling (interpolate's area) of {x.shape} to {list(output_size)}: "
            f"its windows depend on the shape; export with a fixed spatial shape"
        )
    matrices = _matrices(axes)
    pooled = _shrink(x, axes)
    grown = _grow(multiply(pooled, matrices) if matrices else pooled, axes)
    if grown is x:
        grown = op.Identity(x)
    return grown


def _shrink(x: ir.Value, axes: Sequence[Axis]) -> ir.Value:
    kernel = [length // size if length % size == 0 else 1 for length, size in _static(axes)]
    if all(k == 1 for k in kernel):
        return x
    y = op.AveragePool(x, kernel_shape=kernel, strides=kernel)
    spatial = [length // k for (length, _), k in zip(_static(axes), kernel, strict=True)]
    return describe(y, [*dims(x)[:2], *spatial], x)


def _matrices(axes: Sequence[Axis]) -> dict[int, Matrix]:
    """The matrices of the axes whose windows are not all alike."""
    matrices = {}
    for i, (length, size) in enumerate(_static(axes)):
        if length % size and size % length:
            pool = torch.nn.AdaptiveAvgPool1d(size)
            matrices[2 + i] = matrix_of(pool, length, 1)
    return matrices


def _grow(x: ir.Value, axes: Sequence[Axis]) -> ir.Value:
    repeats = [size // length if size % length == 0 else 1 for length, size in _static(axes)]
    if all(k == 1 for k in repeats):
        return x
    y: ir.Value = op.Resize(
        x,
        None,
        scales_input(repeats),
        None,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return y


def _static(axes: Sequence[Axis]) -> list[tuple[int, int]]:
    return [axis.static for axis in axes]

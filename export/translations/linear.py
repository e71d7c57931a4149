"""Linear and cubic resampling, with and without antialiasing: one Resize, or one MatMul per axis.

Where ONNX Runtime's Resize computes something else than PyTorch (measured, ONNX Runtime 1.32
and PyTorch 2.13), the resampling is written as constant matrices:

- antialias with align_corners: PyTorch keeps half-pixel centres with the ratio
  (length - 1) / (size - 1), ONNX does not;
- cubic with scale factors that change no length (9 pixels by 1.1): PyTorch resamples, ONNX
  Runtime copies;
- Lanczos, which ONNX does not have, and float64, which ONNX Runtime's Resize does not take.

To a width of one pixel with antialias, it is PyTorch 2.13's CPU kernel that is wrong (it repeats
the first row's window), and ONNX agrees with PyTorch in the channels-last layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from edgeup.errors import EdgeupError
from edgeup.export.translations.axes import (
    Axis,
    Size,
    axes_from_aten,
    scales_input,
    shape_input,
)
from edgeup.export.translations.emit import op
from edgeup.export.translations.separable import Matrix, matrix_of, multiply

Translation = Callable[
    [ir.Value, Sequence[Size] | None, bool, Sequence[float | None] | None], ir.Value
]


@dataclass(frozen=True)
class Kernel:
    """A resampling kernel: its name in aten and its attributes in ONNX (None: it has none)."""

    aten: str
    mode: str | None
    antialias: bool = False
    # PyTorch takes OpenCV's -0.75, and Pillow's -0.5 with antialias.
    cubic_coefficient: float = -0.75

    @property
    def rank(self) -> int:
        """How many spatial axes the aten operator has."""
        return int(self.aten.removesuffix("_aa")[-2])


LINEAR = Kernel("upsample_linear1d", "linear")
CUBIC = Kernel("upsample_bicubic2d", "cubic")
LINEAR_ANTIALIAS = Kernel("_upsample_bilinear2d_aa", "linear", antialias=True)
CUBIC_ANTIALIAS = Kernel("_upsample_bicubic2d_aa", "cubic", True, cubic_coefficient=-0.5)
LANCZOS_ANTIALIAS = Kernel("_upsample_lanczos2d_aa", None, antialias=True)

_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}


def translate(kernel: Kernel) -> Translation:
    """The translation of an aten operator (x, sizes, align_corners, factors) with this kernel."""

    def resample(
        x: ir.Value,
        sizes: Sequence[Size] | None,
        align_corners: bool,
        factors: Sequence[float | None] | None,
    ) -> ir.Value:
        if x.dtype is None or not x.dtype.is_floating_point():
            raise EdgeupError(
                f"{kernel.aten} of {x.dtype}: ONNX has no resampling with PyTorch's integer "
                f"rounding; convert to float before interpolate"
            )
        axes = axes_from_aten(x, sizes, factors)
        if not all(axis.is_static for axis in axes):
            return _dynamic(kernel, x, axes, sizes, align_corners)
        if _is_identity(kernel, axes, align_corners):
            same: ir.Value = op.Identity(x)
            return same
        if x.dtype not in _FLOATS or not _resize_agrees(kernel, axes, align_corners):
            return multiply(x, _matrices(kernel, axes, align_corners))
        scales = [_scale(kernel, axis, align_corners) for axis in axes]
        return _resize(kernel, x, align_corners, scales=scales_input(scales))

    return resample


def _scale(kernel: Kernel, axis: Axis, align_corners: bool) -> float:
    """The scale with which PyTorch computes source coordinates."""
    if axis.factor is None or align_corners:
        return axis.ratio
    # Linear kernels copy along an axis whose length stays, whatever the factor; cubic does not.
    if kernel.mode == "linear" and axis.length == axis.size:
        return 1.0
    return axis.factor


def _is_identity(kernel: Kernel, axes: Sequence[Axis], align_corners: bool) -> bool:
    return all(
        axis.length == axis.size and _scale(kernel, axis, align_corners) == 1.0 for axis in axes
    )


def _resize_agrees(kernel: Kernel, axes: Sequence[Axis], align_corners: bool) -> bool:
    """Whether ONNX Runtime's Resize computes what PyTorch does (the module's list)."""
    if kernel.mode is None:
        return False
    if kernel.antialias:
        return not align_corners
    return any(axis.length != axis.size for axis in axes)


def _matrices(kernel: Kernel, axes: Sequence[Axis], align_corners: bool) -> dict[int, Matrix]:
    aten = getattr(torch.ops.aten, kernel.aten).default
    others = kernel.rank - 1

    def matrix(axis: Axis) -> Matrix:
        length, size = axis.static

        def along_first(units: torch.Tensor) -> torch.Tensor:
            sizes = [size] + [2] * others
            resampled: torch.Tensor = aten(
                units, sizes, align_corners, axis.factor, *[None] * others
            )
            return resampled

        return matrix_of(along_first, length, kernel.rank)

    return {2 + i: matrix(axis) for i, axis in enumerate(axes)}


def _dynamic(
    kernel: Kernel,
    x: ir.Value,
    axes: Sequence[Axis],
    sizes: Sequence[Size] | None,
    align_corners: bool,
) -> ir.Value:
    if kernel.mode is None or (kernel.antialias and align_corners):
        raise EdgeupError(
            f"{kernel.aten} (align_corners={align_corners}) of a dynamic shape {x.shape}: no ONNX "
            f"operator computes it; export with a fixed spatial shape"
        )
    factors = [axis.factor for axis in axes]
    scales = [factor for factor in factors if factor is not None]
    if len(scales) == len(factors):
        return _resize(kernel, x, align_corners, scales=scales_input(scales))
    return _resize(kernel, x, align_corners, sizes=shape_input(x, sizes or ()))


def _resize(
    kernel: Kernel,
    x: ir.Value,
    align_corners: bool,
    scales: ir.Value | None = None,
    sizes: ir.Value | None = None,
) -> ir.Value:
    resized: ir.Value = op.Resize(
        x,
        None,
        scales,
        sizes,
        mode=kernel.mode,
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
        cubic_coeff_a=kernel.cubic_coefficient,
        antialias=int(kernel.antialias),
        # PyTorch drops the weights outside the image and scales the others up to one.
        exclude_outside=int(kernel.antialias),
    )
    return resized

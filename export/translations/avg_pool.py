"""Average pooling: one AveragePool, or one depthwise Conv with a divisor of its own.

ONNX's AveragePool has no ``divisor_override``. A window's sum over a given divisor is a
convolution of each channel with the constant 1 / divisor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgeup.errors import EdgeupError
from edgeup.export.translations.emit import batched, constant, dims, op
from edgeup.export.translations.max_pool import end_padding, per_axis

Pooling = Callable[..., ir.Value]


def translate_avg_pool(spatial: int) -> Pooling:
    """aten::avg_pool{2,3}d(Tensor self, int[] kernel_size, ..., int? divisor_override=None)."""

    def pool(
        x: ir.Value,
        kernel_size: Sequence[int],
        stride: Sequence[int] = (),
        padding: Sequence[int] = (0,),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> ir.Value:
        kernel = per_axis(kernel_size, spatial)
        strides = per_axis(stride or kernel, spatial)
        pads = per_axis(padding, spatial)

        def average(batch: ir.Value) -> ir.Value:
            if divisor_override is not None:
                return _sum_over(batch, divisor_override, kernel, strides, pads, ceil_mode)
            y: ir.Value = op.AveragePool(
                batch,
                kernel_shape=kernel,
                strides=strides,
                pads=pads * 2,
                ceil_mode=int(ceil_mode),
                count_include_pad=int(count_include_pad),
            )
            return y

        return batched(x, spatial, average)

    return pool


def _sum_over(
    x: ir.Value,
    divisor: int,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    ceil_mode: bool,
) -> ir.Value:
    shape = dims(x)
    channels, lengths = shape[1], [d for d in shape[2:] if isinstance(d, int)]
    if not isinstance(channels, int) or (ceil_mode and len(lengths) < len(kernel)) or not x.dtype:
        raise EdgeupError(
            f"average pooling of {x.shape} with divisor_override={divisor} needs a fixed number "
            f"of channels, and a fixed shape with ceil_mode"
        )
    ends = list(pads)
    if ceil_mode:
        ends = [end_padding(*axis, 1) for axis in zip(lengths, kernel, strides, pads, strict=True)]
    weight = np.full((channels, 1, *kernel), 1.0 / divisor, x.dtype.numpy())
    y: ir.Value = op.Conv(
        x, constant(weight), strides=list(strides), pads=[*pads, *ends], group=channels
    )
    return y

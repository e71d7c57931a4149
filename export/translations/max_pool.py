"""Max pooling that returns indices.

    x -> MaxPool -> values
                 -> Mod(h * w) -> indices

ONNX counts an index through the whole tensor n c d..., PyTorch within one channel's plane. The
Mod is all that lies between; max unpooling takes the indices from before it, and where nothing
else uses it, it is dead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgeup.export.translations.emit import add_batch, constant, dims, drop_batch, op

Window = Sequence[int]
Pooling = Callable[..., tuple[ir.Value, ir.Value]]


def translate_max_pool(spatial: int) -> Pooling:
    """aten::max_pool{1,2,3}d_with_indices(Tensor self, ...) -> (Tensor, Tensor)."""

    def pool(
        x: ir.Value,
        kernel_size: Window,
        stride: Window = (),
        padding: Window = (0,),
        dilation: Window = (1,),
        ceil_mode: bool = False,
    ) -> tuple[ir.Value, ir.Value]:
        kernel = per_axis(kernel_size, spatial)
        window = (
            kernel,
            per_axis(stride or kernel, spatial),
            per_axis(padding, spatial),
            per_axis(dilation, spatial),
        )
        if len(dims(x)) == spatial + 2:
            return _pool(x, *window, ceil_mode)
        values, indices = _pool(add_batch(x), *window, ceil_mode)
        return drop_batch(values), drop_batch(indices)

    return pool


def _pool(
    x: ir.Value, kernel: Window, stride: Window, padding: Window, dilation: Window, ceil: bool
) -> tuple[ir.Value, ir.Value]:
    lengths = [d for d in dims(x)[2:] if isinstance(d, int)]
    static = len(lengths) == len(kernel)
    ends = list(padding)
    if static and ceil:
        ends = [
            end_padding(*axis)
            for axis in zip(lengths, kernel, stride, padding, dilation, strict=True)
        ]
    values, indices = op.MaxPool(
        x,
        kernel_shape=list(kernel),
        strides=list(stride),
        pads=[*padding, *ends],
        dilations=list(dilation),
        ceil_mode=int(ceil and not static),
    )
    if dims(x)[:2] == [1, 1]:
        return values, indices
    if static:
        plane = constant(np.array(math.prod(lengths), np.int64))
    else:
        plane = op.ReduceProd(op.Shape(x, start=2), keepdims=0)
    return values, op.Mod(indices, plane)


def end_padding(length: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The padding at the end that makes ``ceil_mode``'s windows fit exactly.

    PyTorch drops a last window that would start beyond the image and its leading padding
    (pooling_output_shape in Pool.h); ONNX's own ceil_mode did not until ONNX 1.16.
    """
    reach = dilation * (kernel - 1) + 1
    windows = math.ceil((length + 2 * padding - reach) / stride) + 1
    if (windows - 1) * stride >= length + padding:
        windows -= 1
    return max(padding, (windows - 1) * stride + reach - length - padding)


def per_axis(values: Window, spatial: int) -> list[int]:
    """aten's int[d]: a list of one number stands for all axes."""
    listed = list(values)
    return listed * spatial if len(listed) == 1 else listed

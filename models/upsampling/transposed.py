"""Transposed convolution, learned or with FCN's frozen bilinear kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.axes import Axes, per_axis, spatial_rank, whole_factor

_CONV_TRANSPOSE: Final[Mapping[int, Callable[..., nn.Module]]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


class TransposedConv(nn.Module):
    """Transposed convolution of 1, 2 or 3 spatial axes: the adjoint of a strided convolution.

    ``n c h w`` to ``n o h' w'``, with ``h' = (h - 1)·stride - 2·padding + dilation·(kernel - 1) +
    output_padding + 1``: each input pixel adds its value times the kernel to the output, placed
    ``stride`` apart (Zeiler et al., CVPR 2010; Dumoulin and Visin, arXiv:1603.07285, chapter 4).
    Kernel k with stride 2, ``padding=(k-1)//2`` and ``output_padding=k%2`` doubles exactly
    (FastDepth's DeConv, arXiv:1903.03273).

    Args:
        in_channels: c.
        out_channels: o.
        kernel_size: one number or one per axis, as stride, padding, output padding and dilation.
        stride: the upsampling factor.
        padding: how much is cropped from either side.
        output_padding: how much the far side grows; it settles the output size only.
        groups: as many independent convolutions; ``groups == c`` is the depthwise form.
        dilation: the distance between kernel taps.
        bias: whether each output channel has one.
        rank: the number of spatial axes.

    Raises:
        EdgeupError: groups do not divide the channels, or an output padding reaches the larger
            of stride and dilation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Axes,
        stride: Axes = 2,
        padding: Axes = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        dilation: Axes = 1,
        bias: bool = True,
        rank: int = 2,
    ) -> None:
        super().__init__()
        axes = spatial_rank(rank)
        kernels = per_axis("kernel_size", kernel_size, axes, 1)
        strides = per_axis("stride", stride, axes, 1)
        pads = per_axis("padding", padding, axes, 0)
        extra = per_axis("output_padding", output_padding, axes, 0)
        dilations = per_axis("dilation", dilation, axes, 1)
        for more, step, spread in zip(extra, strides, dilations, strict=True):
            if more >= max(step, spread):
                raise EdgeupError(
                    f"output_padding {more} reaches the larger of stride {step} and dilation "
                    f"{spread}; it must stay below"
                )
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise EdgeupError(
                f"groups {groups} does not divide the channels {in_channels} and {out_channels}"
            )
        self.conv = _CONV_TRANSPOSE[axes](
            in_channels, out_channels, kernels, strides, pads, extra, groups, bias, dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """Upsample ``x``."""
        y: Tensor = self.conv(x)
        return y


def bilinear_kernel(kernel_size: int) -> Tensor:
    """FCN's bilinear upsampling kernel, ``k k``.

    ``f = (k + 1) // 2``; the centre is ``f - 1`` for an odd k and ``f - 0.5`` for an even one;
    ``w[i, j] = (1 - |i - centre| / f) · (1 - |j - centre| / f)`` (FCN's surgery.py).

    Raises:
        EdgeupError: ``kernel_size`` is not a positive integer.
    """
    size = per_axis("kernel_size", kernel_size, 1, 1)[0]
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - (torch.arange(size, dtype=torch.float64) - centre).abs() / factor
    return torch.outer(line, line).float()


class BilinearTransposedConv(nn.Module):
    """Transposed convolution with a frozen bilinear kernel, each channel on its own.

    ``n c h w`` to ``n c (h-1)·stride - 2·padding + kernel …``. Long, Shelhamer and Darrell, CVPR
    2015 (arXiv:1411.4038): kernel ``2·stride``, padding 0, the surplus cropped afterwards. With an
    even stride, kernel ``2·stride`` and padding ``stride / 2`` it equals half-pixel bilinear
    resize by the stride, except in the outermost ``stride / 2`` pixels, where zeros come in.

    ``depthwise=False`` is the published form: a dense weight ``c c k k`` with the kernel on its
    diagonal and zeros elsewhere; ``depthwise=True`` holds ``c 1 k k`` and computes the same with
    c times fewer multiplications. The weight is a buffer: saved, never trained (FCN: lr_mult 0).

    Raises:
        EdgeupError: a number that is not an integer, or too small.
    """

    weight: Tensor

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        stride: int,
        padding: int = 0,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.stride = whole_factor(stride, least=1)
        self.padding = per_axis("padding", padding, 1, 0)[0]
        self.groups = channels if depthwise else 1
        kernel = bilinear_kernel(kernel_size)
        weight = torch.zeros(channels, channels // self.groups, kernel_size, kernel_size)
        each = torch.arange(channels)
        weight[each, 0 if depthwise else each] = kernel
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample ``x``."""
        return F.conv_transpose2d(
            x, self.weight, stride=self.stride, padding=self.padding, groups=self.groups
        )

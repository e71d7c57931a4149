"""Up-convolution: unpool or resize first, then convolve."""

from __future__ import annotations

from torch import nn

from edgeup.models.upsampling.axes import odd_kernel, whole_factor
from edgeup.models.upsampling.interpolation import Interpolation
from edgeup.models.upsampling.zero_insertion import ZeroInsertion


class UpConv(nn.Sequential):
    """Up-convolution: zero-insertion unpooling, a 5x5 convolution, batch norm, ReLU.

    ``n c h w`` to ``n o 2h 2w``; each value stands at the top left of its 2x2 block. Laina et al.,
    3DV 2016 (arXiv:1606.00373). Child names are those of FastDepth's checkpoints (``1`` is the
    convolution, ``2`` the batch norm). `edgeup.models.upsampling.fast_upconv.FastUpConv` computes
    the same with a quarter of the multiplications. Without batch norm it is the block of
    Dosovitskiy et al. (CVPR 2015, arXiv:1411.5928; its layer table is NOT VERIFIED).

    Args:
        in_channels: c.
        out_channels: o.
        kernel: odd, 5 as published.
        bias: whether the convolution has one (FCRN yes, FastDepth no).
        norm: whether batch norm follows.
        relu: whether ReLU ends the block (in up-projection's second branch it does not).
        eps: batch norm's (FCRN: 1e-4).

    Raises:
        EdgeupError: an even kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 5,
        *,
        bias: bool = False,
        norm: bool = True,
        relu: bool = True,
        eps: float = 1e-5,
    ) -> None:
        kernel = odd_kernel(kernel)
        super().__init__(
            ZeroInsertion(stride=2),
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias),
            *([nn.BatchNorm2d(out_channels, eps=eps)] if norm else []),
            *([nn.ReLU()] if relu else []),
        )


class MonodepthUpConv(nn.Sequential):
    """Nearest resize, a zero-padded 3x3 convolution with bias, ELU: monodepth's up-convolution.

    ``n c h w`` to ``n o s·h s·w``. Godard et al., CVPR 2017 (arXiv:1609.03677). The resize comes
    before the convolution; FastDepth's NNConv has it after.

    Raises:
        EdgeupError: an even kernel, or a factor below 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, factor: int = 2
    ) -> None:
        kernel = odd_kernel(kernel)
        super().__init__(
            Interpolation("nearest", scale_factor=whole_factor(factor)),
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
            nn.ELU(),
        )

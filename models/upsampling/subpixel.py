"""Sub-pixel convolution, its inverse, and the initialisation that avoids checkerboards."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.axes import odd_kernel, whole_factor


class SubpixelConv(nn.Sequential):
    """Sub-pixel convolution: a convolution to ``o·r²`` channels, then pixel shuffle.

    ``n c h w`` to ``n o r·h r·w``. Channel ``o·r² + r·a + b`` becomes rows ``r·i + a`` and
    columns ``r·j + b`` of channel o (DepthToSpace, CRD). Shi et al., CVPR 2016 (arXiv:1609.05158).

    Args:
        in_channels: c.
        out_channels: o.
        factor: r, an integer.
        kernel: odd.
        depthwise: a depthwise k x k convolution without bias, then a 1x1 to ``o·r²`` channels.
        bias: whether each of the ``o·r²`` channels has one.
        icnr: start as nearest resize of a convolution, see `icnr_`; biases start at zero.

    Raises:
        EdgeupError: an even kernel, or a factor below 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: int = 2,
        kernel: int = 3,
        *,
        depthwise: bool = False,
        bias: bool = True,
        icnr: bool = False,
    ) -> None:
        phases = whole_factor(factor) ** 2
        convs = _convs(in_channels, out_channels * phases, kernel, depthwise, bias)
        super().__init__(*convs, nn.PixelShuffle(factor))
        if icnr:
            icnr_(convs[-1].weight, factor)
            if convs[-1].bias is not None:
                nn.init.zeros_(convs[-1].bias)


class UnshuffleConv(nn.Sequential):
    """Pixel unshuffle, then a convolution: the inverse arrangement, a learned downsampling.

    ``n c rh rw`` to ``n c·r² h w`` (nothing is lost) to ``n o h w``. PyTorch's pixel_unshuffle;
    Shi et al., CVPR 2016 (arXiv:1609.05158) call the rearrangement's inverse periodic shuffling.
    Height and width must be multiples of r.

    Args:
        in_channels: c.
        out_channels: o.
        factor: r, an integer.
        kernel: odd.
        depthwise: a depthwise k x k convolution on ``c·r²`` channels, then a 1x1.
        bias: whether each output channel has one.

    Raises:
        EdgeupError: an even kernel, or a factor below 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: int = 2,
        kernel: int = 3,
        *,
        depthwise: bool = False,
        bias: bool = True,
    ) -> None:
        phases = whole_factor(factor) ** 2
        convs = _convs(in_channels * phases, out_channels, kernel, depthwise, bias)
        super().__init__(nn.PixelUnshuffle(factor), *convs)


def icnr_(
    weight: Tensor,
    factor: int,
    initialise: Callable[[Tensor], Tensor] = nn.init.kaiming_normal_,
) -> Tensor:
    """Fill a sub-pixel convolution's weight ``o·r² c k k`` so that all r² phases are equal.

    The convolution with pixel shuffle then starts as nearest resize of one convolution, without
    a checkerboard pattern. Aitken et al. 2017, arXiv:1707.02937.

    Args:
        weight: filled in place, and returned.
        factor: r.
        initialise: fills the one kernel ``o c k k`` in place.

    Raises:
        EdgeupError: the weight's outputs are no multiple of r².
    """
    phases = whole_factor(factor) ** 2
    if weight.shape[0] % phases:
        raise EdgeupError(
            f"the weight has {weight.shape[0]} outputs; wanted a multiple of {factor}² = {phases}"
        )
    with torch.no_grad():
        one = initialise(torch.empty_like(weight[::phases]))
        return weight.copy_(one.repeat_interleave(phases, dim=0))


def _convs(
    in_channels: int, out_channels: int, kernel: int, depthwise: bool, bias: bool
) -> list[nn.Conv2d]:
    kernel = odd_kernel(kernel)
    if not depthwise:
        return [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)]
    spatial = nn.Conv2d(
        in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False
    )
    return [spatial, nn.Conv2d(in_channels, out_channels, 1, bias=bias)]

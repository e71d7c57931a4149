"""Zero-insertion unpooling: the upsampling of up-convolution (Laina et al. 2016, FCRN)."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

_CONV_TRANSPOSE: Final = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class ZeroInsertion(nn.Module):
    """Each value goes to one corner of a ``stride`` block of zeros: ``n c h w`` to ``n c sh sw``.

    Written as a depthwise transposed convolution with a one-hot kernel, which every exporter
    and backend knows. The kernel is made in ``forward``: it is no weight, so checkpoints do
    not hold it (as in FastDepth's ``Unpool``), and it follows the input's type and device.

    Args:
        stride: size of the block, the same for every axis.
        corner: where in the block the value stands, one offset per spatial axis; its length
            says whether inputs have one, two or three spatial axes. FastDepth and FCRN use
            the top left corner.

    Raises:
        ValueError: no such number of axes, or a corner outside of the block.
    """

    def __init__(self, stride: int = 2, corner: tuple[int, ...] = (0, 0)) -> None:
        super().__init__()
        if len(corner) not in _CONV_TRANSPOSE:
            raise ValueError(f"corner {corner} has {len(corner)} axes, wanted 1, 2 or 3")
        if not all(0 <= offset < stride for offset in corner):
            raise ValueError(f"corner {corner} is outside of a block of stride {stride}")
        self.stride = stride
        self.corner = corner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Insert the zeros."""
        axes = len(self.corner)
        channels = x.shape[1]
        # F.pad counts from the last axis: (offset, rest) per axis around the single one.
        margins = [m for at in reversed(self.corner) for m in (at, self.stride - 1 - at)]
        kernel = F.pad(x.new_ones(channels, 1, *(1,) * axes), margins)
        return _CONV_TRANSPOSE[axes](x, kernel, stride=self.stride, groups=channels)

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"stride={self.stride}, corner={self.corner}"

"""MobileNet v1 (Howard et al. 2017, arXiv:1704.04861) as FastDepth's encoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from torch import nn

from edgeup.models.catalog import MOBILENET_WIDTHS

_STRIDES: Final = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def mobilenet_blocks(widths: Sequence[int] = MOBILENET_WIDTHS) -> list[nn.Sequential]:
    """The blocks ``conv0`` .. ``conv13`` without pooling and classifier.

    Block 0 is a 3x3 convolution, each other a 3x3 depthwise and a 1x1 convolution; batch norm
    and ReLU6 follow every convolution. ``n 3 h w`` to ``n widths[13] h/32 w/32``.

    Args:
        widths: output channels of the 14 blocks.
    """
    first = nn.Sequential(
        nn.Conv2d(3, widths[0], 3, _STRIDES[0], padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU6(),
    )
    rest = zip(pairwise(widths), _STRIDES[1:], strict=True)
    return [first, *(_separable(ci, co, stride) for (ci, co), stride in rest)]


def _separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU6(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )

"""The chair generator (Dosovitskiy, Springenberg and Brox 2015, arXiv:1411.5928).

``n 825`` to a picture ``n 3 64 64``. The input is three descriptions one after the other: which
chair (one-hot, 809), from where (sine and cosine of azimuth and elevation, 4), and how it is
changed (12). Each has its own two fully connected layers; their results, side by side, go through
two more and a third that makes a map ``256 8 8``; there is a 5x5 convolution, and then three
up-convolutions (zero-insertion unpooling, 5x5 convolution) double the size.

NOT VERIFIED: the layer table, which is not that of the authors. That unpooling puts a value at the
top left of its block, and the 5x5 kernels, are as re-implementations have them. The layers' widths
and ReLU are those of ygtmesci/chairs-generation (``05_chairs_training.ipynb``), which names as its
departures that it learns an embedding instead of the one-hot code and leaves out the paper's second
stream, which draws the mask (left out here too); it also has no third input and resizes by nearest.
The lengths 809 and 12 were not read anywhere. The paper has a larger variant, for 128x128.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import nn

from edgeup.models.upsampling.upconv import UpConv
from edgeup.models.vgg import scaled

DESCRIPTIONS: Final = (809, 4, 12)
"""Numbers for which chair, from where, and how it is changed."""

_OWN: Final = 512
_SHARED: Final = 1024
_MAP: Final = 256
_UP: Final = 92
_SIDE: Final = 8
_KERNEL: Final = 5


def build(*, width: float) -> nn.Module:
    """The generator by its settings; see `ChairGenerator`."""
    return ChairGenerator(width)


class ChairGenerator(nn.Module):
    """The chair generator's RGB stream.

    Args:
        width: factor on every layer's channels but the input's and the picture's.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        own, shared, maps, up = (scaled(full, width) for full in (_OWN, _SHARED, _MAP, _UP))
        self.own = nn.ModuleList(_connected((length, own, own)) for length in DESCRIPTIONS)
        self.shared = _connected((own * len(DESCRIPTIONS), shared, shared, maps * _SIDE * _SIDE))
        self.start = nn.Unflatten(1, (maps, _SIDE, _SIDE))
        self.decoder = nn.Sequential(
            nn.Conv2d(maps, maps, _KERNEL, padding=_KERNEL // 2),
            nn.ReLU(),
            UpConv(maps, up, _KERNEL, bias=True, norm=False),
            UpConv(up, up, _KERNEL, bias=True, norm=False),
            UpConv(up, 3, _KERNEL, bias=True, norm=False, relu=False),
        )

    def forward(self, description: torch.Tensor) -> torch.Tensor:
        """The picture of ``description``."""
        parts = torch.split(description, list(DESCRIPTIONS), dim=1)
        hidden = [layers(part) for layers, part in zip(self.own, parts, strict=True)]
        picture: torch.Tensor = self.decoder(self.start(self.shared(torch.cat(hidden, 1))))
        return picture


def _connected(widths: Sequence[int]) -> nn.Sequential:
    layers = nn.Sequential()
    for ci, co in pairwise(widths):
        layers.extend((nn.Linear(ci, co), nn.ReLU()))
    return layers

"""monodepth (Godard, Mac Aodha and Brostow, CVPR 2017, arXiv:1609.03677).

``n 3 h w`` to four disparities ``n 2 h/2^i w/2^i``, i from 0 to 3: for the left and the right view,
as a share of the width, in 0..0.3. Height and width are multiples of 32, the encoder's stride.

ResNet and a decoder that doubles the size at each level: an up-convolution (nearest resize, 3x3
convolution, ELU), the encoder's map of that size and, from 1/4 on, the resized disparity of the
level below beside it, and a 3x3 convolution with ELU. Written from the wiring alone: the authors'
code has a non-commercial licence, and nothing is taken from it.

NOT VERIFIED: the decoder's channels (16 to 256, those of its successor monodepth2), how disparities
are resized (here nearest), and the authors' own ResNet. Here it is He et al.'s, with batch norm,
ReLU and five halvings, so the published weights do not fit.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from edgeup.models.resnet import STEM_CHANNELS, ResNetTrunk
from edgeup.models.upsampling.interpolation import Interpolation
from edgeup.models.upsampling.upconv import MonodepthUpConv
from edgeup.models.vgg import scaled

LARGEST: Final = 0.3
"""The largest disparity, as a share of the width."""

_CHANNELS: Final = (16, 32, 64, 128, 256)  # of the decoder, level 1 (full size) to level 5
_SCALES: Final = 4
_VIEWS: Final = 2


def build(*, encoder: str, width: float) -> nn.Module:
    """monodepth by its settings; see `Monodepth`."""
    return Monodepth(int(encoder.removeprefix("resnet")), width)


class Monodepth(nn.Module):
    """monodepth.

    Args:
        depth: of the ResNet.
        width: factor on the decoder's channels.
    """

    def __init__(self, depth: int, width: float) -> None:
        super().__init__()
        self.encoder = ResNetTrunk(depth)
        deepest = self.encoder.out_channels
        # The maps at 1/2 ... 1/16, met by levels 2 ... 5; level 1 meets none.
        skips = [0, STEM_CHANNELS, deepest // 8, deepest // 4, deepest // 2]
        self.levels = nn.ModuleList()
        self.predict = nn.ModuleList()
        channels = deepest
        for level in range(len(_CHANNELS), 0, -1):
            out = scaled(_CHANNELS[level - 1], width)
            beside = skips[level - 1] + (_VIEWS if level < _SCALES else 0)
            self.levels.append(_Level(channels, beside, out))
            if level <= _SCALES:
                self.predict.append(nn.Conv2d(out, _VIEWS, 3, padding=1))
            channels = out
        self.resize = Interpolation("nearest", scale_factor=2.0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Disparities at full size, 1/2, 1/4 and 1/8."""
        *skips, x = self.encoder.features(image)
        first = len(self.levels) - _SCALES
        disparities: list[torch.Tensor] = []
        for i, level in enumerate(self.levels):
            beside = [skips.pop()] if skips else []
            if disparities:
                beside.append(self.resize(disparities[0]))
            x = level(x, beside)
            if i >= first:
                disparities.insert(0, LARGEST * torch.sigmoid(self.predict[i - first](x)))
        return tuple(disparities)


class _Level(nn.Module):
    """Up-convolution, what comes from elsewhere beside it, a 3x3 convolution with ELU."""

    def __init__(self, in_channels: int, beside: int, out_channels: int) -> None:
        super().__init__()
        self.up = MonodepthUpConv(in_channels, out_channels)
        self.merge = nn.Sequential(
            nn.Conv2d(out_channels + beside, out_channels, 3, padding=1), nn.ELU()
        )

    def forward(self, x: torch.Tensor, beside: list[torch.Tensor]) -> torch.Tensor:
        merged: torch.Tensor = self.merge(torch.cat([self.up(x), *beside], 1))
        return merged

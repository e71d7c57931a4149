"""DeconvNet (Noh, Hong and Han 2015, arXiv:1505.04366).

``n 3 h w`` to scores ``n classes h w``: VGG-16 with batch norm down to a vector (fc6 is 7x7 without
padding, so 224x224 becomes 1x1), a 7x7 transposed convolution back to the last pooling's size, and
VGG-16's mirror of max unpooling and 3x3 transposed convolutions of stride 1. As in
HyeonwooNoh/DeconvNet ``DeconvNet_inference_deploy.prototxt``, whose layer names these are; there
``unpool_size`` gives each unpooling the size that its pooling met, here it is taken from there.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from edgeup.models.upsampling.unpooling import MaxPoolWithIndices, MaxUnpool
from edgeup.models.vgg import (
    CHANNELS,
    append_layer,
    mirrored_channels,
    scaled,
    spatial,
    vgg16_stages,
)

_HIDDEN: Final = 4096


def build(*, classes: int, width: float) -> nn.Module:
    """DeconvNet by its settings; see `DeconvNet`."""
    return DeconvNet(classes, width)


class DeconvNet(nn.Module):
    """DeconvNet; height and width are at least 193, so that fc6 has its 7x7.

    Args:
        classes: channels of the output (PASCAL VOC: 21).
        width: factor on every layer's channels but the classes.
    """

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        self.encoder = vgg16_stages(width, norm=True)
        self.pool = MaxPoolWithIndices(2, ceil_mode=True)
        self.unpool = MaxUnpool(2)
        self.bottom = _bottom(scaled(CHANNELS[-1], width), scaled(_HIDDEN, width))
        self.decoder = _decoder(width)
        self.score = nn.Conv2d(scaled(CHANNELS[0], width), classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        pooled: list[tuple[torch.Tensor, tuple[int, int]]] = []
        for stage in self.encoder:
            x = stage(x)
            size = spatial(x)
            x, indices = self.pool(x)
            pooled.append((indices, size))
        x = self.bottom(x)
        for stage, (indices, size) in zip(self.decoder, reversed(pooled), strict=True):
            x = stage(self.unpool(x, indices, size))
        score: torch.Tensor = self.score(x)
        return score


def _bottom(channels: int, hidden: int) -> nn.Sequential:
    bottom = nn.Sequential()
    append_layer(bottom, "fc6", nn.Conv2d(channels, hidden, 7), hidden)
    append_layer(bottom, "fc7", nn.Conv2d(hidden, hidden, 1), hidden)
    append_layer(bottom, "fc6-deconv", nn.ConvTranspose2d(hidden, channels, 7), channels)
    return bottom


def _decoder(width: float) -> nn.ModuleList:
    stages = nn.ModuleList()
    all_channels = mirrored_channels(width, scaled(CHANNELS[0], width))
    for i, channels in zip(range(5, 0, -1), all_channels, strict=True):
        stage = nn.Sequential()
        for j in range(1, len(channels)):
            ci, co = channels[j - 1], channels[j]
            append_layer(stage, f"deconv{i}_{j}", nn.ConvTranspose2d(ci, co, 3, padding=1), co)
        stages.append(stage)
    return stages

"""SegNet (Badrinarayanan, Kendall and Cipolla 2015, arXiv:1511.00561).

``n 3 h w`` to class probabilities ``n classes h w``, any size: VGG-16's 13 convolutions with batch
norm, and their mirror, where max unpooling puts values back to where the encoder's poolings found
their maxima. As in alexgkendall/SegNet-Tutorial ``segnet_inference.prototxt``: poolings round up
(360x480 has 12x15 at 1/32), so that each unpooling is told its size. Layer names are that file's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from edgeup.models.upsampling.unpooling import MaxPoolWithIndices, MaxUnpool
from edgeup.models.vgg import append_layer, mirrored_channels, spatial, vgg16_stages


def build(*, classes: int, width: float) -> nn.Module:
    """SegNet by its settings; see `SegNet`."""
    return SegNet(classes, width)


class SegNet(nn.Module):
    """SegNet.

    Args:
        classes: channels of the output (CamVid: 11).
        width: factor on every layer's channels but the classes.
    """

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        self.encoder = vgg16_stages(width, norm=True)
        self.pool = MaxPoolWithIndices(2, ceil_mode=True)
        self.unpool = MaxUnpool(2)
        self.decoder = _decoder(classes, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes."""
        pooled: list[tuple[torch.Tensor, tuple[int, int]]] = []
        for stage in self.encoder:
            x = stage(x)
            size = spatial(x)
            x, indices = self.pool(x)
            pooled.append((indices, size))
        for stage, (indices, size) in zip(self.decoder, reversed(pooled), strict=True):
            x = stage(self.unpool(x, indices, size))
        return F.softmax(x, 1)


def _decoder(classes: int, width: float) -> nn.ModuleList:
    stages = nn.ModuleList()
    for i, channels in zip(range(5, 0, -1), mirrored_channels(width, classes), strict=True):
        stage = nn.Sequential()
        for j in range(len(channels) - 1, 0, -1):
            ci, co = channels[-j - 1], channels[-j]
            scores = (i, j) == (1, 1)
            conv = nn.Conv2d(ci, co, 3, padding=1)
            append_layer(stage, f"conv{i}_{j}_D", conv, None if scores else co, relu=not scores)
        stages.append(stage)
    return stages

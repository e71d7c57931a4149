"""FCN (Long, Shelhamer and Darrell, CVPR 2015, arXiv:1411.4038): VGG-16, fully convolutional.

``n 3 h w`` to scores ``n classes h w``, any size; BGR in 0..255 minus the channels' means
(104.00699, 116.66877, 122.67892). As in shelhamer/fcn.berkeleyvision.org ``voc-fcn8s/net.py``:
the first convolution pads by 100 so that the 7x7 of fc6, which has no padding, leaves something
of small pictures; transposed convolutions with a frozen bilinear kernel bring scores up, and
crops undo the offset that the padding leaves. Layer names are those of the Caffe models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from edgeup.models.upsampling.transposed import BilinearTransposedConv
from edgeup.models.vgg import CHANNELS, scaled, spatial, vgg16_stages

_PADDING: Final = 100
_HIDDEN: Final = 4096


@dataclass(frozen=True)
class _Fusion:
    """The score of an earlier map that joins: bring up by 2, crop the map's score, add."""

    up: str
    stage: int
    offset: int


@dataclass(frozen=True)
class _Wiring:
    fusions: tuple[_Fusion, ...]
    last: str
    stride: int
    offset: int


_WIRINGS: Final = {
    32: _Wiring((), "upscore", 32, 19),
    16: _Wiring((_Fusion("upscore2", 4, 5),), "upscore16", 16, 27),
    8: _Wiring((_Fusion("upscore2", 4, 5), _Fusion("upscore_pool4", 3, 9)), "upscore8", 8, 31),
}


def fcn32s(*, classes: int, width: float) -> nn.Module:
    """FCN-32s: scores from the map at 1/32, brought up at once."""
    return Fcn(32, classes, width)


def fcn16s(*, classes: int, width: float) -> nn.Module:
    """FCN-16s: the scores at 1/32 and 1/16 added, then brought up."""
    return Fcn(16, classes, width)


def fcn8s(*, classes: int, width: float) -> nn.Module:
    """FCN-8s: the scores at 1/32, 1/16 and 1/8 added, then brought up."""
    return Fcn(8, classes, width)


class Fcn(nn.Module):
    """FCN with a last upsampling by ``stride``, 32, 16 or 8.

    Args:
        stride: see above.
        classes: channels of the output (PASCAL VOC: 21).
        width: factor on every layer's channels but the classes.
    """

    def __init__(self, stride: int, classes: int, width: float) -> None:
        super().__init__()
        self.wiring = _WIRINGS[stride]
        self.stages = vgg16_stages(width, norm=False, first_padding=_PADDING)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        hidden = scaled(_HIDDEN, width)
        self.fc6 = nn.Conv2d(scaled(CHANNELS[-1], width), hidden, 7)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout()
        self.score_fr = nn.Conv2d(hidden, classes, 1)
        for fusion in self.wiring.fusions:
            self.add_module(fusion.up, BilinearTransposedConv(classes, 4, 2))
            channels = scaled(CHANNELS[fusion.stage - 1], width)
            self.add_module(f"score_pool{fusion.stage}", nn.Conv2d(channels, classes, 1))
        self.add_module(self.wiring.last, BilinearTransposedConv(classes, 2 * stride, stride))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, at the picture's size."""
        x = image
        maps = []
        for stage in self.stages:
            x = self.pool(stage(x))
            maps.append(x)
        for layer in (self.fc6, self.fc7):
            x = self.dropout(self.relu(layer(x)))
        score: torch.Tensor = self.score_fr(x)
        for fusion in self.wiring.fusions:
            score = self.get_submodule(fusion.up)(score)
            lateral = self.get_submodule(f"score_pool{fusion.stage}")(maps[fusion.stage - 1])
            score = score + _crop(lateral, score, fusion.offset)
        return _crop(self.get_submodule(self.wiring.last)(score), image, self.wiring.offset)


def _crop(x: torch.Tensor, like: torch.Tensor, offset: int) -> torch.Tensor:
    height, width = spatial(like)
    return x[:, :, offset : offset + height, offset : offset + width]

"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597).

``n 1 h w`` to scores ``n classes h' w'``. Four times two 3x3 convolutions with ReLU and a 2x2 max
pooling, channels doubling from 64; then four times an up-convolution that halves them, the
encoder's map of the same size in front, and two 3x3 convolutions with ReLU; a 1x1 convolution at
the end: 23 convolutions, no batch norm. Without padding, as published, encoder maps are cropped
to the middle and 572x572 gives 388x388.

NOT VERIFIED: the authors' own model file; the facts are those of the paper's text as others quote
it. The paper's up-convolution is "upsampling, then a 2x2 convolution"; in practice it is a 2x2
transposed convolution of stride 2, the default here.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from edgeup.models.network_sizes import UNET_LEVELS
from edgeup.models.upsampling.interpolation import Interpolation
from edgeup.models.upsampling.transposed import TransposedConv
from edgeup.models.vgg import scaled

_CHANNELS: Final = 64


def build(*, decoder: str, padding: str, classes: int, width: float) -> nn.Module:
    """U-Net by its settings; see `UNet`."""
    return UNet(decoder, padding == "valid", classes, width)


class UNet(nn.Module):
    """U-Net.

    Args:
        decoder: the up-convolution: ``transposed``, or ``nearest`` or ``bilinear`` (half-pixel)
            resize with a 2x2 convolution, which gets a zero row and column at the far side to
            keep the size (as Keras' ``same``).
        valid: whether 3x3 convolutions have no padding. Padded ones keep the size, which then
            is a multiple of 16.
        classes: channels of the output.
        width: factor on every layer's channels but the classes.
    """

    def __init__(self, decoder: str, valid: bool, classes: int, width: float) -> None:
        super().__init__()
        padding = 0 if valid else 1
        widths = [scaled(_CHANNELS << level, width) for level in range(UNET_LEVELS + 1)]
        self.down = nn.ModuleList(
            _pair(ci, co, padding) for ci, co in zip([1, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2, 2)
        upwards = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_up(decoder, ci, co) for ci, co in upwards)
        self.merge = nn.ModuleList(_pair(2 * co, co, padding) for _, co in upwards)
        self.score = nn.Conv2d(widths[0], classes, 1)
        self.crops = _crops() if valid else [0] * UNET_LEVELS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        maps: list[torch.Tensor] = []
        for stage in self.down:
            x = stage(x if not maps else self.pool(x))
            maps.append(x)
        steps = zip(self.up, self.merge, maps[-2::-1], self.crops, strict=True)
        for up, merge, skip, crop in steps:
            middle = skip[:, :, crop:-crop, crop:-crop] if crop else skip
            x = merge(torch.cat((middle, up(x)), 1))
        score: torch.Tensor = self.score(x)
        return score


def _crops() -> list[int]:
    """What an encoder map loses per side to meet the decoder's, deepest first: 4, 16, 40, 88.

    The deepest pair of convolutions takes 2 pixels per side, which the up-convolution doubles. Each
    level above adds its pair's 2 on the way down and 2 on the way up, and doubles the sum.
    """
    crops = [4]
    while len(crops) < UNET_LEVELS:
        crops.append(2 * (crops[-1] + 4))
    return crops


def _pair(in_channels: int, out_channels: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
    )


def _up(decoder: str, in_channels: int, out_channels: int) -> nn.Module:
    if decoder == "transposed":
        return TransposedConv(in_channels, out_channels, 2, stride=2)
    align = False if decoder == "bilinear" else None
    return nn.Sequential(
        Interpolation(decoder, scale_factor=2.0, align_corners=align),
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(in_channels, out_channels, 2),
    )

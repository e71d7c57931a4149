"""DCGAN's generators (Radford, Metz and Chintala 2015, arXiv:1511.06434): a vector to a picture.

Both halve the channels and double the size from ``8*base`` at 4x4 to ``base`` at 32x32, each layer
with batch norm and ReLU, and end in three channels at 64x64 and tanh, so in -1..1. No layer has a
bias; the last has no batch norm.

`Dcgan`: pytorch/examples ``dcgan/main.py``, whose parameter names these are; its checkpoints load.
`OriginalDcgan`: Newmu/dcgan_code ``faces/train_uncond_dcgan.py``.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from edgeup.models.vgg import scaled

NOISE: Final = 100
"""Length of the vector."""

_PICTURE: Final = 3
_START: Final = 4  # height and width of the first map
_BASE: Final = 64
_ORIGINAL_BASE: Final = 128


def build(*, width: float) -> nn.Module:
    """The generator of pytorch/examples; see `Dcgan`."""
    return Dcgan(width)


def build_original(*, width: float) -> nn.Module:
    """The generator as first published; see `OriginalDcgan`."""
    return OriginalDcgan(width)


class Dcgan(nn.Module):
    """Five 4x4 transposed convolutions; ``n 100 1 1`` to ``n 3 64 64``.

    A larger ``n 100 h w`` gives one picture of ``16*(h + 3)`` by ``16*(w + 3)``.

    Args:
        width: factor on every layer's channels but the vector's and the picture's.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = _channels(_BASE, width)
        # The first makes 4x4 of 1x1; the others double: (n - 1)*2 - 2*1 + 4 = 2n.
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NOISE, channels[0], _START, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
            *_doublings(channels, kernel=4, padding=1, output_padding=0),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The picture of ``z``."""
        picture: torch.Tensor = self.main(z)
        return picture


class OriginalDcgan(nn.Module):
    """A projection and four 5x5 transposed convolutions; ``n 100`` to ``n 3 64 64``.

    The projection's batch norm has statistics for each of its ``8*base*4*4`` numbers, not for each
    channel.

    NOT VERIFIED: the helper behind the transposed convolutions. That each doubles the size exactly
    follows from its arguments (stride 2, padding 2), and implies an output padding of 1; whether it
    flips the kernel, and batch norm's epsilon (here 1e-5), matter for loading its weights alone.

    Args:
        width: as for `Dcgan`.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = _channels(_ORIGINAL_BASE, width)
        numbers = channels[0] * _START * _START
        self.project = nn.Sequential(
            nn.Linear(NOISE, numbers, bias=False), nn.BatchNorm1d(numbers), nn.ReLU()
        )
        self.start = nn.Unflatten(1, (channels[0], _START, _START))
        # (n - 1)*2 - 2*2 + 5 + 1 = 2n.
        self.main = nn.Sequential(*_doublings(channels, kernel=5, padding=2, output_padding=1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The picture of ``z``."""
        picture: torch.Tensor = self.main(self.start(self.project(z)))
        return picture


def _channels(base: int, width: float) -> list[int]:
    return [scaled(base * times, width) for times in (8, 4, 2, 1)]


def _doublings(
    channels: list[int], *, kernel: int, padding: int, output_padding: int
) -> list[nn.Module]:
    """From ``channels[0]`` through the rest to the picture, each at twice the size."""
    layers: list[nn.Module] = []
    for ci, co in zip(channels, [*channels[1:], _PICTURE], strict=True):
        layers += [
            nn.ConvTranspose2d(ci, co, kernel, 2, padding, output_padding, bias=False),
            nn.BatchNorm2d(co),
            nn.ReLU(),
        ]
    return [*layers[:-2], nn.Tanh()]  # no batch norm and ReLU behind the last

"""VGG-16 (Simonyan and Zisserman 2014, arXiv:1409.1556) as an encoder, and what mirrors it.

Layers have the names of the Caffe models that FCN, SegNet and DeconvNet were published with.
Poolings are the networks' own: FCN's forget, the others' keep their indices; all round up, as
Caffe does.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

CHANNELS: Final = (64, 128, 256, 512, 512)
CONVOLUTIONS: Final = (2, 2, 3, 3, 3)
"""Output channels and number of 3x3 convolutions of the five stages; a pooling follows each."""


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


def vgg16_stages(width: float, *, norm: bool, first_padding: int = 1) -> nn.ModuleList:
    """The five stages, each the convolutions before a pooling.

    ``n 3 h w`` to ``n 64 h w`` for the first; ``h + 2*first_padding - 2`` instead of ``h`` with
    another padding.

    Args:
        width: factor on every layer's channels.
        norm: whether batch norm follows each convolution.
        first_padding: of the very first convolution (FCN: 100).
    """
    stages = nn.ModuleList()
    channels, padding = 3, first_padding
    for i, (full, count) in enumerate(zip(CHANNELS, CONVOLUTIONS, strict=True), 1):
        stage = nn.Sequential()
        for j in range(1, count + 1):
            out = scaled(full, width)
            conv = nn.Conv2d(channels, out, 3, padding=padding)
            append_layer(stage, f"conv{i}_{j}", conv, out if norm else None)
            channels, padding = out, 1
        stages.append(stage)
    return stages


def mirrored_channels(width: float, last: int) -> list[list[int]]:
    """Channels through the decoder's stages 5 to 1: the encoder's, backwards.

    Each stage's list starts with what comes in and then has what each of its 3x3 convolutions
    gives; the last one of a stage gives what the next stage takes, the very last ``last``.
    """
    widths = [scaled(full, width) for full in CHANNELS]
    following = [last, *widths[:-1]]
    stages = zip(widths, CONVOLUTIONS, following, strict=True)
    return [[channels] * count + [after] for channels, count, after in stages][::-1]


def append_layer(
    stage: nn.Sequential, name: str, conv: nn.Module, normalised: int | None, relu: bool = True
) -> None:
    """Append a convolution, batch norm over ``normalised`` channels (None for none), and ReLU."""
    stage.add_module(name, conv)
    if normalised is not None:
        stage.add_module(f"{name}_bn", nn.BatchNorm2d(normalised))
    if relu:
        stage.add_module(f"{name}_relu", nn.ReLU())


def spatial(x: torch.Tensor) -> tuple[int, int]:
    """Height and width of ``n c h w``: where an unpooling has to come back to."""
    return x.shape[2], x.shape[3]

"""FastDepth's 34 decoders (dwofk/fast-depth ``models.py``): five stages of ×2, then one channel.

Each is a plain sequence whose child names are those of FastDepth's checkpoints; what moves or
copies values only (resize, shuffle) has names of our own and no parameters.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from torch import nn

from edgeup.models import blocks
from edgeup.models.catalog import DECODERS, Decoder

Stages: TypeAlias = Iterable[tuple[str, nn.Module]]


def build_decoder(name: str, in_channels: int, widths: Sequence[int]) -> nn.Sequential:
    """A decoder from ``n in_channels h w`` to ``n 1 32h 32w``, initialised as FastDepth does.

    Args:
        name: a name of `edgeup.models.catalog.DECODERS`.
        in_channels: width of the encoder's last map.
        widths: output channels of the five stages; pixel shuffle's follow from
            ``in_channels`` alone.
    """
    decoder = DECODERS[name]
    module = nn.Sequential(OrderedDict(_STAGES[decoder.family](decoder, [in_channels, *widths])))
    module.apply(fastdepth_init)
    return module


def fastdepth_init(module: nn.Module) -> None:
    """FastDepth's ``weights_init``: normal of variance 2 / (taps * channels), no bias.

    The channels are the outputs of a convolution, the inputs of a transposed one.
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        transposed = isinstance(module, nn.ConvTranspose2d)
        channels = module.in_channels if transposed else module.out_channels
        nn.init.normal_(
            module.weight, std=math.sqrt(2 / (math.prod(module.kernel_size) * channels))
        )
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def conv_stage(in_channels: int, out_channels: int, kernel: int, depthwise: bool) -> nn.Sequential:
    """The convolution of a stage: dense, or depthwise and 1x1."""
    if not depthwise:
        return blocks.conv(in_channels, out_channels, kernel)
    return nn.Sequential(
        blocks.depthwise(in_channels, kernel), blocks.pointwise(in_channels, out_channels)
    )


def _nearest(decoder: Decoder, ladder: Sequence[int]) -> Stages:
    return _resized(decoder, ladder, nn.Upsample(scale_factor=2, mode="nearest"))


def _bilinear(decoder: Decoder, ladder: Sequence[int]) -> Stages:
    half_pixel = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return _resized(decoder, ladder, half_pixel)


def _resized(decoder: Decoder, ladder: Sequence[int], resize: nn.Module) -> Stages:
    for i, (ci, co) in enumerate(pairwise(ladder), 1):
        yield f"conv{i}", conv_stage(ci, co, decoder.kernel, decoder.depthwise)
        yield f"resize{i}", resize
    yield f"conv{len(ladder)}", blocks.pointwise(ladder[-1], 1)


def _transposed(decoder: Decoder, ladder: Sequence[int]) -> Stages:
    for i, (ci, co) in enumerate(pairwise(ladder), 1):
        if decoder.depthwise:
            stage = nn.Sequential(
                blocks.depthwise_transpose(ci, decoder.kernel), blocks.pointwise(ci, co)
            )
        else:
            stage = blocks.conv_transpose(ci, co, decoder.kernel)
        yield f"convt{i}", stage
    yield "convf", blocks.pointwise(ladder[-1], 1)


def _up_conv(_: Decoder, ladder: Sequence[int]) -> Stages:
    for i, (ci, co) in enumerate(pairwise(ladder), 1):
        yield f"upconv{i}", blocks.up_conv(ci, co)
    yield "convf", blocks.pointwise(ladder[-1], 1)


def _up_projection(_: Decoder, ladder: Sequence[int]) -> Stages:
    for i, (ci, co) in enumerate(pairwise(ladder), 1):
        yield f"upproj{i}", blocks.UpProjection(ci, co)
    yield "convf", blocks.pointwise(ladder[-1], 1)


def _shuffled(decoder: Decoder, ladder: Sequence[int]) -> Stages:
    # 1024 channels at 1/32 are 256 at 1/16, 64, 16, 4, and one at full size: no tail.
    channels = ladder[0]
    for i in range(1, 5):
        channels //= 4
        yield f"shuffle{i}", nn.PixelShuffle(2)
        yield f"conv{i}", conv_stage(channels, channels, decoder.kernel, decoder.depthwise)
    yield "shuffle5", nn.PixelShuffle(2)


_STAGES: Final[Mapping[str, Callable[[Decoder, Sequence[int]], Stages]]] = {
    "nnconv": _nearest,
    "blconv": _bilinear,
    "deconv": _transposed,
    "upconv": _up_conv,
    "upproj": _up_projection,
    "shuffle": _shuffled,
}

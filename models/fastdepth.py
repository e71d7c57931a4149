"""FastDepth (Wofk et al. 2019, arXiv:1903.03273): an encoder, a decoder, skips between them.

Input ``n 3 h w``, RGB in 0..1 without mean or deviation, h and w multiples of 32; output
``n 1 h w``, depth in metres, never negative. Parameter names are those of the published
checkpoints (dwofk/fast-depth ``models.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from edgeup.models import blocks
from edgeup.models.catalog import (
    DECODER_INPUT,
    DECODER_WIDTHS,
    DECODERS,
    MOBILENET_SKIPS,
    MOBILENET_WIDTHS,
    FastDepthConfig,
    validate,
)
from edgeup.models.fastdepth_decoders import build_decoder, conv_stage, fastdepth_init
from edgeup.models.mobilenet import mobilenet_blocks
from edgeup.models.resnet import ResNetTrunk

_RESNET_DEPTHS: Final = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}


def build(config: FastDepthConfig) -> nn.Module:
    """The network of ``config``, in training mode, with FastDepth's initial weights.

    Raises:
        EdgeupError: `edgeup.models.catalog.validate` refuses the configuration.
    """
    validate(config)
    decoder_widths = config.decoder_widths or DECODER_WIDTHS
    if config.encoder == "mobilenet":
        encoder_widths = config.encoder_widths or MOBILENET_WIDTHS
        if config.skip == "none":
            return MobileNetDepth(config.decoder, encoder_widths, decoder_widths)
        return MobileNetSkip(config.decoder, config.skip, encoder_widths, decoder_widths)
    depth = _RESNET_DEPTHS[config.encoder]
    if config.skip == "none":
        return ResNetDepth(depth, config.decoder, decoder_widths)
    return ResNetSkip(depth, config.decoder, config.skip)


class MobileNetDepth(nn.Module):
    """MobileNet and any decoder, without skips."""

    def __init__(
        self, decoder: str, encoder_widths: Sequence[int], decoder_widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.mobilenet = nn.Sequential(*mobilenet_blocks(encoder_widths))
        self.decoder = build_decoder(decoder, encoder_widths[-1], decoder_widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Depth of a picture."""
        depth: torch.Tensor = self.decoder(self.mobilenet(x))
        return depth


class MobileNetSkip(nn.Module):
    """MobileNet with skips: encoder maps join the decoder's after its nearest resize."""

    def __init__(
        self,
        decoder: str,
        skip: str,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
    ) -> None:
        super().__init__()
        self.skip = skip
        for i, block in enumerate(mobilenet_blocks(encoder_widths)):
            self.add_module(f"conv{i}", block)
        kind = DECODERS[decoder]
        channels = encoder_widths[-1]
        for stage, width in enumerate(decoder_widths, 1):
            module = conv_stage(channels, width, kind.kernel, kind.depthwise)
            self.add_module(f"decode_conv{stage}", module)
            joins = skip == "concat" and stage in MOBILENET_SKIPS
            channels = width + (encoder_widths[MOBILENET_SKIPS[stage]] if joins else 0)
        self.decode_conv6 = blocks.pointwise(channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Depth of a picture."""
        maps = []
        for i in range(len(MOBILENET_WIDTHS)):
            x = self.get_submodule(f"conv{i}")(x)
            maps.append(x)
        for stage in range(1, len(DECODER_WIDTHS) + 1):
            x = _double(self.get_submodule(f"decode_conv{stage}")(x))
            if stage in MOBILENET_SKIPS:
                x = _join(x, maps[MOBILENET_SKIPS[stage]], self.skip)
        depth: torch.Tensor = self.decode_conv6(x)
        return depth


class ResNetDepth(ResNetTrunk):
    """ResNet, a 1x1 convolution to the decoder's width, and any decoder, without skips."""

    def __init__(self, depth: int, decoder: str, decoder_widths: Sequence[int]) -> None:
        super().__init__(depth)
        self.conv2 = nn.Conv2d(self.out_channels, DECODER_INPUT, 1)
        fastdepth_init(self.conv2)
        self.decoder = build_decoder(decoder, DECODER_INPUT, decoder_widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Depth of a picture."""
        depth: torch.Tensor = self.decoder(self.conv2(self.features(x)[-1]))
        return depth


class ResNetSkip(ResNetTrunk):
    """ResNet-18 or -34 with skips.

    Maps are added before the resize, so that the first addition takes the encoder's last map.
    Concatenated ones join after it, and there is none at 1/32. Either way the map at 1/2 joins
    the input of stage 5.
    """

    def __init__(self, depth: int, decoder: str, skip: str) -> None:
        super().__init__(depth)
        self.skip = skip
        self.conv2 = nn.Conv2d(self.out_channels, DECODER_INPUT, 1)
        fastdepth_init(self.conv2)
        kind = DECODERS[decoder]
        # Outputs of layer3, layer2, layer1 and the stem, which join the inputs of stages 2..5.
        joined = (0, 256, 128, 64, 64) if skip == "concat" else (0,) * 5
        for stage, (ci, co) in enumerate(pairwise((DECODER_INPUT, *DECODER_WIDTHS)), 1):
            module = conv_stage(ci + joined[stage - 1], co, kind.kernel, kind.depthwise)
            self.add_module(f"decode_conv{stage}", module)
        self.decode_conv6 = blocks.pointwise(DECODER_WIDTHS[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Depth of a picture."""
        half, quarter, eighth, sixteenth, last = self.features(x)
        x = self.conv2(last)
        if self.skip == "add":
            for stage, skip in enumerate((last, sixteenth, eighth, quarter), 1):
                x = _double(self.get_submodule(f"decode_conv{stage}")(x) + skip)
            x = x + half
        else:
            for stage, skip in enumerate((sixteenth, eighth, quarter, half), 1):
                x = _join(_double(self.get_submodule(f"decode_conv{stage}")(x)), skip, "concat")
        depth: torch.Tensor = self.decode_conv6(_double(self.get_submodule("decode_conv5")(x)))
        return depth


def _double(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _join(x: torch.Tensor, skip: torch.Tensor, how: str) -> torch.Tensor:
    return x + skip if how == "add" else torch.cat((x, skip), 1)

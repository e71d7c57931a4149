"""FastDepth's networks by name: what can be combined, and why the rest cannot.

Source: Wofk et al. 2019, FastDepth (arXiv:1903.03273), and its code, dwofk/fast-depth
``models.py``. This module needs no torch, so that names can be listed and refused without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from edgeup.errors import EdgeupError, unknown

MOBILENET_WIDTHS: Final = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
"""Output channels of MobileNet's ``conv0`` .. ``conv13``."""

DECODER_WIDTHS: Final = (512, 256, 128, 64, 32)
"""Output channels of the five decoder stages; each doubles height and width."""

DECODER_INPUT: Final = 1024
"""Channels that a standard decoder starts from."""

TOTAL_STRIDE: Final = 32
"""The encoder halves height and width five times."""

MOBILENET_SKIPS: Final[Mapping[int, int]] = {2: 5, 3: 3, 4: 1}
"""Decoder stage (from 1) to the encoder block whose output joins the stage's resized output."""

_FASTDEPTH: Final = "Wofk et al. 2019, FastDepth, arXiv:1903.03273"
_FCRN: Final = "Laina et al. 2016, FCRN, arXiv:1606.00373"
_DECONV: Final = "Zeiler et al. 2010, Deconvolutional Networks, CVPR"
_ESPCN: Final = "Shi et al. 2016, sub-pixel convolution, arXiv:1609.05158"
_MOBILENET: Final = "Howard et al. 2017, MobileNets, arXiv:1704.04861"
_RESNET: Final = "He et al. 2015, Deep Residual Learning, arXiv:1512.03385"


@dataclass(frozen=True)
class Decoder:
    """A FastDepth decoder: five stages of ×2 that end in one channel.

    All but the pixel-shuffle ones have a 1x1 convolution as their tail. ``kernel`` is the size
    of a stage's spatial convolution; ``depthwise`` says that it is depthwise and followed by a
    1x1 convolution.
    """

    name: str
    family: str
    kernel: int
    depthwise: bool
    description: str
    paper: str


@dataclass(frozen=True)
class Encoder:
    """An ImageNet encoder; ``channels`` is the width of its last map, at 1/32 of the input."""

    name: str
    channels: int
    description: str
    paper: str


@dataclass(frozen=True)
class FastDepthConfig:
    """One network. ``None`` stands for the standard widths.

    Attributes:
        encoder: a name of `ENCODERS`.
        decoder: a name of `DECODERS`.
        skip: a name of `SKIPS`.
        encoder_widths: output channels of MobileNet's ``conv0`` .. ``conv13``.
        decoder_widths: output channels of the five decoder stages.
    """

    encoder: str = "mobilenet"
    decoder: str = "nnconv5"
    skip: str = "none"
    encoder_widths: tuple[int, ...] | None = None
    decoder_widths: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """A name in FastDepth's manner: ``mobilenet-nnconv5dw-skipadd-pruned``.

        Widths that are neither the standard ones nor those of FastDepth's pruned network give
        ``-custom``.
        """
        skip = "" if self.skip == "none" else f"-skip{self.skip}"
        widths = (
            self.encoder_widths or MOBILENET_WIDTHS,
            self.decoder_widths or DECODER_WIDTHS,
        )
        suffix = {
            (MOBILENET_WIDTHS, DECODER_WIDTHS): "",
            (PRUNED.encoder_widths, PRUNED.decoder_widths): "-pruned",
        }.get(widths, "-custom")
        return f"{self.encoder}-{self.decoder}{skip}{suffix}"


PRUNED: Final = FastDepthConfig(
    decoder="nnconv5dw",
    skip="add",
    encoder_widths=(16, 56, 88, 120, 144, 256, 408, 376, 272, 288, 296, 328, 480, 512),
    decoder_widths=(200, 256, 120, 56, 16),
)
"""FastDepth as its authors pruned it with NetAdapt; the widths are those of the tuning logs in
dwofk/fast-depth, ``tvm_compile/tuning``."""

_LADDERS: Final = (
    ("deconv", "transposed convolution, {kind}, stride 2", _DECONV),
    ("nnconv", "convolution, {kind}, then nearest resize", _FASTDEPTH),
    ("blconv", "convolution, {kind}, then bilinear resize (half-pixel)", _FASTDEPTH),
    ("shuffle", "pixel shuffle, then convolution, {kind}", _ESPCN),
)


def _ladder(family: str, what: str, paper: str, kernel: int, depthwise: bool) -> Decoder:
    kind = f"{kernel}x{kernel} depthwise + 1x1" if depthwise else f"{kernel}x{kernel}"
    name = f"{family}{kernel}{'dw' if depthwise else ''}"
    return Decoder(name, family, kernel, depthwise, what.format(kind=kind), paper)


DECODERS: Final[Mapping[str, Decoder]] = {
    decoder.name: decoder
    for decoder in (
        *(_ladder(*row, k, dw) for row, dw, k in product(_LADDERS, (False, True), (3, 5, 7, 9))),
        Decoder(
            "upconv",
            "upconv",
            5,
            False,
            "up-convolution: zero-insertion unpooling, then convolution, 5x5",
            _FCRN,
        ),
        Decoder(
            "upproj",
            "upproj",
            5,
            False,
            "up-projection: zero-insertion unpooling, then a residual pair of 5x5 branches",
            _FCRN,
        ),
    )
}
"""The 34 decoders by name."""

ENCODERS: Final[Mapping[str, Encoder]] = {
    encoder.name: encoder
    for encoder in (
        Encoder("mobilenet", 1024, "MobileNet v1, width 1.0, ReLU6", _MOBILENET),
        Encoder("resnet18", 512, "ResNet-18, basic blocks", _RESNET),
        Encoder("resnet34", 512, "ResNet-34, basic blocks", _RESNET),
        Encoder("resnet50", 2048, "ResNet-50, bottlenecks", _RESNET),
        Encoder("resnet101", 2048, "ResNet-101, bottlenecks", _RESNET),
        Encoder("resnet152", 2048, "ResNet-152, bottlenecks", _RESNET),
    )
}
"""The encoders by name."""

SKIPS: Final[Mapping[str, str]] = {
    "none": "no connection from encoder to decoder but the last map",
    "add": "encoder maps are added to decoder maps of the same size",
    "concat": "encoder maps are concatenated to decoder maps of the same size",
}
"""The skip connections by name."""

PRESETS: Final[Mapping[str, FastDepthConfig]] = {
    "mobilenet-nnconv5": FastDepthConfig(),
    "mobilenet-nnconv5dw": FastDepthConfig(decoder="nnconv5dw"),
    "mobilenet-nnconv5dw-skipadd": FastDepthConfig(decoder="nnconv5dw", skip="add"),
    "mobilenet-nnconv5dw-skipadd-pruned": PRUNED,
}
"""The four networks that FastDepth's authors published."""

_SKIP_DECODERS: Final[Mapping[str, str]] = {
    "mobilenet": "nnconv5dw",
    "resnet18": "nnconv5",
    "resnet34": "nnconv5",
}
"""Encoder to the one decoder that FastDepth wires skip connections into."""


def default_decoder(encoder: str = "mobilenet", skip: str = "none") -> str:
    """The decoder to take when the user named none: the one that has wiring for ``skip``."""
    return "nnconv5" if skip == "none" else _SKIP_DECODERS.get(encoder, "nnconv5")


def validate(config: FastDepthConfig) -> None:
    """Refuse a combination that is not a network.

    Raises:
        EdgeupError: an unknown name, a skip connection that has no wiring, or widths that do
            not fit.
    """
    for kind, name, known in (
        ("encoder", config.encoder, ENCODERS),
        ("decoder", config.decoder, DECODERS),
        ("skip", config.skip, SKIPS),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    if config.skip != "none":
        _validate_skip(config)
    if config.encoder_widths is not None or config.decoder_widths is not None:
        _validate_widths(config)


def _validate_skip(config: FastDepthConfig) -> None:
    wired = _SKIP_DECODERS.get(config.encoder)
    if wired is None:
        raise EdgeupError(
            f"skip {config.skip!r} has no wiring for {config.encoder}, whose maps are four times "
            f"as wide as the decoder's; use {', '.join(_SKIP_DECODERS)}, or skip 'none'"
        )
    if config.decoder != wired:
        raise EdgeupError(
            f"skip {config.skip!r} with {config.encoder} has wiring for decoder {wired} only, "
            f"got {config.decoder}; use {wired}, or skip 'none'"
        )


def _validate_widths(config: FastDepthConfig) -> None:
    encoder, decoder = config.encoder_widths, config.decoder_widths
    if encoder is not None and config.encoder != "mobilenet":
        raise EdgeupError(f"encoder widths can be set for mobilenet only, got {config.encoder}")
    if config.encoder != "mobilenet" and config.skip != "none":
        raise EdgeupError(
            f"decoder widths of {config.encoder} with skip {config.skip!r} are fixed by the "
            f"encoder's; leave them out, or use skip 'none'"
        )
    if DECODERS[config.decoder].family == "shuffle":
        raise EdgeupError(
            f"widths of {config.decoder} are fixed: five pixel shuffles turn 1024 channels into "
            f"one; leave them out, or use another decoder"
        )
    for kind, widths, count in (
        ("encoder", encoder, len(MOBILENET_WIDTHS)),
        ("decoder", decoder, len(DECODER_WIDTHS)),
    ):
        if widths is not None and (len(widths) != count or min(widths) < 1):
            raise EdgeupError(f"{kind} widths are {count} positive numbers, got {widths}")
    if config.skip == "add":
        _validate_sums(encoder or MOBILENET_WIDTHS, decoder or DECODER_WIDTHS)


def _validate_sums(encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    for stage, block in MOBILENET_SKIPS.items():
        if decoder[stage - 1] != encoder[block]:
            raise EdgeupError(
                f"skip 'add' adds conv{block} ({encoder[block]} channels) to decoder stage "
                f"{stage} ({decoder[stage - 1]} channels); make them equal, or use skip 'concat'"
            )


def check_input_size(height: int, width: int) -> None:
    """Refuse an image size that the decoder does not come back to.

    The encoder halves each side five times and rounds up; the decoder doubles it five times.
    So a side of 228 leaves as 256, and inside, skip connections meet maps of another size
    (15 doubled is not 29). Only multiples of 32 survive.

    Raises:
        EdgeupError: a side is not a positive multiple of 32; it lists the nearest sizes.
    """
    if height > 0 and width > 0 and height % TOTAL_STRIDE == 0 and width % TOTAL_STRIDE == 0:
        return
    sizes = ", ".join(f"{h}x{w}" for h, w in product(_nearest(height), _nearest(width)))
    raise EdgeupError(
        f"input size {height}x{width}: height and width must be multiples of {TOTAL_STRIDE}; "
        f"the nearest are {sizes}"
    )


def _nearest(side: int) -> list[int]:
    below = side // TOTAL_STRIDE * TOTAL_STRIDE
    above = -(-side // TOTAL_STRIDE) * TOTAL_STRIDE
    return sorted({max(size, TOTAL_STRIDE) for size in (below, above)})

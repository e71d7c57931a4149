"""Every upsampling method by name: what it is, who published it, and a canonical example.

Needs no torch, so that methods can be listed without it; `Block.build` imports it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import nn

_UP: Final = "edgeup.models.upsampling"

_DECONV: Final = "Zeiler et al. 2010, Deconvolutional Networks, CVPR"
_ZEILER: Final = "Zeiler et al. 2011, Adaptive deconvolutional networks, ICCV"
_SEGNET: Final = "Badrinarayanan et al. 2015, SegNet, arXiv:1511.00561"
_FCN: Final = "Long et al. 2015, FCN, arXiv:1411.4038"
_FCRN: Final = "Laina et al. 2016, FCRN, arXiv:1606.00373"
_ESPCN: Final = "Shi et al. 2016, sub-pixel convolution, arXiv:1609.05158"
_MONODEPTH: Final = "Godard et al. 2017, monodepth, arXiv:1609.03677"
_FASTDEPTH: Final = "Wofk et al. 2019, FastDepth, arXiv:1903.03273"
_KEYS: Final = "Keys 1981, Cubic convolution interpolation, IEEE TASSP"
_NONE: Final = ""


@dataclass(frozen=True)
class Block:
    """A module to build: ``target`` is ``module:Class``, ``arguments`` are its keywords."""

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The module, in evaluation mode."""
        path, _, name = self.target.partition(":")
        module: nn.Module = getattr(importlib.import_module(path), name)(**self.arguments)
        return module.eval()


@dataclass(frozen=True)
class Upsampler:
    """An upsampling (or the matching downsampling) method and its canonical example.

    Attributes:
        name: kebab-case.
        description: one line.
        block: the canonical example.
        input_shape: what to feed it, ``n c h w`` (``n c w``, ``n c d h w``).
        paper: where it was published; empty for what belongs to everybody.
        indices_from: for unpooling by indices: the pooling that makes, from a map of
            ``input_shape``, the block's inputs (values and indices).
    """

    name: str
    description: str
    block: Block
    input_shape: tuple[int, ...] = (1, 64, 28, 28)
    paper: str = _NONE
    indices_from: Block | None = None


def _resize(mode: str, description: str, paper: str = _NONE, **more: Any) -> Upsampler:
    shape = {"linear": (1, 64, 28), "trilinear": (1, 64, 8, 14, 14)}.get(mode, (1, 64, 28, 28))
    arguments = {"mode": mode, "scale_factor": 2.0, **more}
    return Upsampler(
        mode, description, Block(f"{_UP}.interpolation:Interpolation", arguments), shape, paper
    )


_WIDTHS: Final = {"in_channels": 64, "out_channels": 32}

_ALL: Final = (
    _resize("nearest", "each pixel repeated (asymmetric, floor)"),
    _resize("nearest-exact", "each pixel repeated (half-pixel centres)"),
    _resize("linear", "linear interpolation of one axis, half-pixel", align_corners=False),
    _resize("bilinear", "bilinear interpolation, half-pixel", align_corners=False),
    _resize("bicubic", "cubic convolution, a = -0.75, half-pixel", _KEYS, align_corners=False),
    _resize("trilinear", "trilinear interpolation, half-pixel", align_corners=False),
    _resize("area", "mean over the covered cell (adaptive average pooling)"),
    Upsampler(
        "mean",
        "inserted pixels are the mean of their known neighbours",
        Block(f"{_UP}.mean_median:MeanInterpolation", {"factor": 2}),
    ),
    Upsampler(
        "median",
        "inserted pixels are the median of their known neighbours",
        Block(f"{_UP}.mean_median:MedianInterpolation", {"factor": 2}),
    ),
    Upsampler(
        "deconv",
        "transposed convolution 5x5, stride 2",
        Block(
            f"{_UP}.transposed:TransposedConv",
            {**_WIDTHS, "kernel_size": 5, "padding": 2, "output_padding": 1, "bias": False},
        ),
        paper=_DECONV,
    ),
    Upsampler(
        "deconv-bilinear",
        "transposed convolution 4x4 with a frozen, dense bilinear kernel",
        Block(
            f"{_UP}.transposed:BilinearTransposedConv",
            {"channels": 64, "kernel_size": 4, "stride": 2, "padding": 1},
        ),
        paper=_FCN,
    ),
    Upsampler(
        "deconv-bilinear-dw",
        "transposed convolution 4x4 with a frozen, depthwise bilinear kernel",
        Block(
            f"{_UP}.transposed:BilinearTransposedConv",
            {"channels": 64, "kernel_size": 4, "stride": 2, "padding": 1, "depthwise": True},
        ),
        paper=_FCN,
    ),
    Upsampler(
        "zero-insertion",
        "each value at a corner of a block of zeros",
        Block(f"{_UP}.zero_insertion:ZeroInsertion", {"stride": 2}),
        paper=_FCRN,
    ),
    Upsampler(
        "max-unpool",
        "values to where max pooling found them, by indices",
        Block(f"{_UP}.unpooling:MaxUnpool", {"kernel_size": 2}),
        paper=_SEGNET,
        indices_from=Block(f"{_UP}.unpooling:MaxPoolWithIndices", {"kernel_size": 2}),
    ),
    Upsampler(
        "avg-unpool",
        "each value spread over its window",
        Block(f"{_UP}.unpooling:AverageUnpool", {"kernel_size": 2}),
    ),
    Upsampler(
        "zeiler-switches",
        "values to where pooling over space and channels found them, by switches",
        Block(f"{_UP}.unpooling:SwitchUnpool", {"group": 2, "kernel_size": 2}),
        paper=_ZEILER,
        indices_from=Block(f"{_UP}.unpooling:SwitchPool", {"group": 2, "kernel_size": 2}),
    ),
    Upsampler(
        "upconv",
        "zero insertion, 5x5 convolution, batch norm, ReLU",
        Block(f"{_UP}.upconv:UpConv", _WIDTHS),
        paper=_FCRN,
    ),
    Upsampler(
        "fast-upconv",
        "up-convolution as four small convolutions and an interleave",
        Block(f"{_UP}.fast_upconv:FastUpConv", {**_WIDTHS, "padding": "textbook"}),
        paper=_FCRN,
    ),
    Upsampler(
        "upproj",
        "residual block around up-convolution",
        Block("edgeup.models.blocks:UpProjection", _WIDTHS),
        paper=_FCRN,
    ),
    Upsampler(
        "fast-upproj",
        "up-projection with fast up-convolutions",
        Block(f"{_UP}.upproj:FastUpProj", {**_WIDTHS, "padding": "textbook"}),
        paper=_FCRN,
    ),
    Upsampler(
        "monodepth-upconv",
        "nearest resize, 3x3 convolution, ELU",
        Block(f"{_UP}.upconv:MonodepthUpConv", _WIDTHS),
        paper=_MONODEPTH,
    ),
    Upsampler(
        "nnconv",
        "5x5 convolution, batch norm, ReLU, nearest resize",
        Block(f"{_UP}.nnconv:NNConv", _WIDTHS),
        paper=_FASTDEPTH,
    ),
    Upsampler(
        "nnconv-dw",
        "depthwise 5x5 and 1x1 convolution, nearest resize",
        Block(f"{_UP}.nnconv:NNConv", {**_WIDTHS, "depthwise": True}),
        paper=_FASTDEPTH,
    ),
    Upsampler(
        "blconv",
        "5x5 convolution, batch norm, ReLU, bilinear resize",
        Block(f"{_UP}.nnconv:BLConv", _WIDTHS),
        paper=_FASTDEPTH,
    ),
    Upsampler(
        "subpixel",
        "3x3 convolution to four times the channels, pixel shuffle",
        Block(f"{_UP}.subpixel:SubpixelConv", {**_WIDTHS, "factor": 2}),
        paper=_ESPCN,
    ),
    Upsampler(
        "subpixel-dw",
        "depthwise 3x3 and 1x1 convolution to four times the channels, pixel shuffle",
        Block(f"{_UP}.subpixel:SubpixelConv", {**_WIDTHS, "factor": 2, "depthwise": True}),
        paper=_ESPCN,
    ),
    Upsampler(
        "pixel-unshuffle",
        "pixel unshuffle, 3x3 convolution: the inverse arrangement, downsampling",
        Block(f"{_UP}.subpixel:UnshuffleConv", {**_WIDTHS, "factor": 2}),
        paper=_ESPCN,
    ),
    Upsampler(
        "avg-downsample",
        "mean of 2x2 windows: downsampling",
        Block(f"{_UP}.downsampling:AverageDownsample", {"factor": 2}),
    ),
)

UPSAMPLERS: Final[Mapping[str, Upsampler]] = {method.name: method for method in _ALL}

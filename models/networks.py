"""Dense-prediction networks by name: FastDepth, and what the literature has beside it.

To add one, write its module with a factory, and an entry here. Needs no torch: a factory is
imported when its network is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from edgeup.errors import unknown
from edgeup.models.catalog import DECODERS, ENCODERS, SKIPS, TOTAL_STRIDE, default_decoder
from edgeup.models.network_sizes import (
    UNET_LEVELS,
    any_side,
    check_shape,
    deconvnet_side,
    multiple_of,
    unet_side,
    zfnet_side,
)
from edgeup.models.network_types import (
    Network,
    Option,
    natural_number,
    positive_integer,
    positive_number,
)

if TYPE_CHECKING:
    from torch import nn

_WIDTH: Final = Option("1", None, "factor on every layer's channels", positive_number)
_CLASSES_VOC: Final = Option("21", None, "channels of the output", positive_integer)
_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


def _fcn(stride: int, title: str) -> Network:
    return Network(
        name=f"fcn{stride}s",
        title=f"fully convolutional network on VGG-16, {title}",
        paper="Long et al. 2015, FCN, arXiv:1411.4038",
        input_name="image",
        input_shape=(1, 3, 500, 500),
        output_names=("score",),
        factory=f"edgeup.models.fcn:fcn{stride}s",
        fits=any_side,
        options={"classes": _CLASSES_VOC, "width": _WIDTH},
    )


_ALL: Final = (
    Network(
        name="fastdepth",
        title="FastDepth: depth on embedded systems",
        paper="Wofk et al. 2019, FastDepth, arXiv:1903.03273",
        input_name="image",
        input_shape=(1, 3, 224, 224),
        output_names=("depth",),
        factory="edgeup.models.fastdepth_network:build",
        fits=multiple_of(TOTAL_STRIDE),
        decoders=tuple(sorted(DECODERS, key=lambda name: name != default_decoder())),
        encoders=tuple(ENCODERS),
        options={
            "skip": Option("none", tuple(SKIPS), "how encoder maps join the decoder's"),
            "widths": Option(
                "standard", ("standard", "pruned"), "channels, or those that NetAdapt left"
            ),
        },
        default_decoder=lambda chosen: default_decoder(chosen["encoder"], chosen["skip"]),
    ),
    Network(
        name="fcrn",
        title="fully convolutional residual network: depth at half the size",
        paper="Laina et al. 2016, FCRN, arXiv:1606.00373",
        input_name="image",
        input_shape=(1, 3, 228, 304),
        output_names=("depth",),
        factory="edgeup.models.fcrn:build",
        fits=any_side,
        decoders=("fast-upproj", "fast-upconv", "upproj", "upconv", "deconv2", "deconv3"),
        encoders=("resnet50", "resnet101", "resnet152", "resnet18", "resnet34"),
        options={
            "padding": Option(
                "published",
                ("published", "textbook"),
                "of the fast decoders; textbook equals unpooling and 5x5",
            ),
            "stride": Option(
                "first-1x1",
                ("first-1x1", "3x3"),
                "where a bottleneck strides; 3x3 is torchvision's place",
            ),
            "pool": Option(
                "tensorflow",
                ("tensorflow", "pytorch"),
                "where the max pooling's windows stand: TensorFlow's SAME, or one pixel before",
            ),
            "width": Option("1", None, "factor on the decoder's channels", positive_number),
        },
    ),
    _fcn(8, "maps at 1/8, 1/16 and 1/32 fused"),
    _fcn(16, "maps at 1/16 and 1/32 fused"),
    _fcn(32, "the map at 1/32 alone"),
    Network(
        name="unet",
        title="U-Net: segmentation with concatenated encoder maps",
        paper="Ronneberger et al. 2015, U-Net, arXiv:1505.04597",
        input_name="image",
        input_shape=(1, 1, 572, 572),
        output_names=("score",),
        factory="edgeup.models.unet:build",
        fits=unet_side,
        decoders=("transposed", "nearest", "bilinear"),
        options={
            "padding": Option(
                "valid",
                ("valid", "same"),
                f"of the 3x3 convolutions; same takes multiples of {2**UNET_LEVELS}",
            ),
            "classes": Option("2", None, "channels of the output", positive_integer),
            "width": _WIDTH,
        },
    ),
    Network(
        name="segnet",
        title="SegNet: VGG-16 and its mirror, max unpooling with indices",
        paper="Badrinarayanan et al. 2015, SegNet, arXiv:1511.00561",
        input_name="image",
        input_shape=(1, 3, 360, 480),
        output_names=("prob",),
        factory="edgeup.models.segnet:build",
        fits=any_side,
        options={
            "classes": Option("11", None, "channels of the output", positive_integer),
            "width": _WIDTH,
        },
    ),
    Network(
        name="deconvnet",
        title="DeconvNet: VGG-16 to 1x1 and back, max unpooling and transposed convolutions",
        paper="Noh et al. 2015, DeconvNet, arXiv:1505.04366",
        input_name="image",
        input_shape=(1, 3, 224, 224),
        output_names=("score",),
        factory="edgeup.models.deconvnet:build",
        fits=deconvnet_side,
        options={"classes": _CLASSES_VOC, "width": _WIDTH},
    ),
    Network(
        name="monodepth",
        title="monodepth: disparities of both views at four scales",
        paper="Godard et al. 2017, monodepth, arXiv:1609.03677",
        input_name="image",
        input_shape=(1, 3, 256, 512),
        output_names=("disp1", "disp2", "disp3", "disp4"),
        factory="edgeup.models.monodepth:build",
        fits=multiple_of(32),
        encoders=("resnet50", "resnet18"),
        options={
            "width": Option("1", None, "factor on the decoder's channels", positive_number),
        },
    ),
    Network(
        name="zfnet",
        title="deconvnet on ZFNet: what in a picture a feature map sees",
        paper="Zeiler and Fergus 2013, ZFNet, arXiv:1311.2901",
        input_name="image",
        input_shape=(1, 3, 224, 224),
        output_names=("reconstruction",),
        factory="edgeup.models.zfnet:build",
        fits=zfnet_side,
        options={
            "layer": Option("5", ("5", "4", "3", "2", "1"), "the convolution to look into", int),
            "channel": Option("0", None, "which of its maps, from 0", natural_number),
            "width": _WIDTH,
        },
    ),
    Network(
        name="dcgan",
        title="DCGAN's generator, pytorch/examples: 4x4 transposed convolutions",
        paper="Radford et al. 2015, DCGAN, arXiv:1511.06434",
        input_name="z",
        input_shape=(1, 100, 1, 1),
        output_names=("image",),
        factory="edgeup.models.dcgan:build",
        fits=any_side,
        options={"width": _WIDTH},
    ),
    Network(
        name="dcgan5",
        title="DCGAN's generator, as first published: 5x5 transposed convolutions",
        paper="Radford et al. 2015, DCGAN, arXiv:1511.06434",
        input_name="z",
        input_shape=(1, 100),
        output_names=("image",),
        factory="edgeup.models.dcgan:build_original",
        fits=any_side,
        options={"width": _WIDTH},
    ),
    Network(
        name="chairs",
        title="chair generator: up-convolutions from a description",
        paper="Dosovitskiy et al. 2015, arXiv:1411.5928",
        input_name="description",
        input_shape=(1, 825),
        output_names=("image",),
        factory="edgeup.models.chairs:build",
        fits=any_side,
        options={"width": _WIDTH},
    ),
)

NETWORKS: Final[Mapping[str, Network]] = {network.name: network for network in _ALL}
"""The networks by name."""


def find_network(name: str) -> Network:
    """The network called ``name``.

    Raises:
        EdgeupError: there is none.
    """
    if name not in NETWORKS:
        raise unknown("model", name, NETWORKS)
    return NETWORKS[name]


def build_network(
    name: str,
    *,
    decoder: str | None = None,
    encoder: str | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
) -> nn.Module:
    """The network in evaluation mode, with PyTorch's own random weights.

    Those let a deep network's signal vanish; see `edgeup.models.initialise`.

    Args:
        name: one of `NETWORKS`.
        decoder: one of its decoders, None for its default.
        encoder: one of its encoders, None for its default.
        options: values by option name, as a user writes them.

    Raises:
        EdgeupError: an unknown name or value, or parts that do not go together.
    """
    network = find_network(name)
    settings = network.settings(decoder, encoder, options)
    path, _, function = network.factory.partition(":")
    module: nn.Module = getattr(importlib.import_module(path), function)(**settings)
    return module.eval()


def check_network_input(
    name: str,
    shape: Sequence[int],
    *,
    decoder: str | None = None,
    encoder: str | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
) -> None:
    """Refuse an input shape that the network's wiring does not carry through.

    Args:
        name: one of `NETWORKS`.
        shape: ``n c h w``.
        decoder: as for `build_network`, like the rest.
        encoder: see there.
        options: see there.

    Raises:
        EdgeupError: what `build_network` refuses, another rank or channel count, or a height or
            width that does not work out; the line names the nearest that do.
    """
    network = find_network(name)
    check_shape(network, shape, network.settings(decoder, encoder, options))

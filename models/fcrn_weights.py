"""FCRN's published weights into `edgeup.models.fcrn.Fcrn`.

The authors' TensorFlow dictionary (iro-cp/FCRN-DepthPrediction): layer to ``weights`` (h w ci co)
and ``biases``, or to a batch norm's ``scale``, ``offset``, ``mean`` and ``variance``. A dictionary
without any batch norm is taken for one where they were fused into the convolutions before them.

NOT VERIFIED: the published file itself could not be had; names and shapes are those that the
authors' ``fcrn.py`` and ``network.py`` ask of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models.fcrn import Fcrn, FcrnConfig
from edgeup.models.resnet import Bottleneck
from edgeup.models.upsampling.fast_upconv import FastUpConv
from edgeup.models.upsampling.upproj import FastUpProj
from edgeup.models.weights.inert import first
from edgeup.spec import Array

_NORM: Final = {
    "scale": "weight",
    "offset": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}


@dataclass(frozen=True)
class _Site:
    """Convolutions by layer name, and the batch norm on what they give together."""

    convs: Mapping[str, nn.Conv2d]
    norm_name: str = ""
    norm: nn.BatchNorm2d | None = None


@dataclass(frozen=True)
class _Copy:
    """One array to one tensor; ``source`` is ``layer/parameter``."""

    source: str
    target: torch.Tensor


def load_published(module: Fcrn, arrays: Mapping[str, Mapping[str, Array]]) -> None:
    """Copy the published weights into an FCRN of the published wiring.

    Args:
        module: untouched unless everything fits.
        arrays: by layer and parameter name.

    Raises:
        EdgeupError: the module is wired otherwise, or arrays are missing, of another shape, or
            not known; the line lists them.
    """
    _refuse_other_wiring(module.config)
    fused = not any(parameter in layer for layer in arrays.values() for parameter in _NORM)
    sites = list(_sites(module))
    copies = [copy for site in sites for copy in _copies(site, fused)]
    given = {
        f"{layer}/{name}": np.asarray(array)
        for layer, parameters in arrays.items()
        for name, array in parameters.items()
    }
    _refuse_differences(copies, given)
    with torch.no_grad():
        for site in sites:
            if fused and site.norm is not None:
                _make_identity(site.norm)
        for copy in copies:
            copy.target.copy_(torch.from_numpy(_oihw(given[copy.source])))


def _refuse_other_wiring(config: FcrnConfig) -> None:
    got = {name: value for name, value in asdict(config).items() if name != "width"}
    published = asdict(FcrnConfig())
    others = [f"{name} {value}" for name, value in got.items() if value != published[name]]
    if others:
        wanted = [f"{name} {published[name]}" for name in got if got[name] != published[name]]
        raise EdgeupError(
            f"the published weights would compute something else with {', '.join(others)}; they "
            f"are for {', '.join(wanted)}"
        )


def _copies(site: _Site, fused: bool) -> Iterator[_Copy]:
    for name, conv in site.convs.items():
        yield _Copy(f"{name}/weights", conv.weight)
        if conv.bias is not None:
            yield _Copy(f"{name}/biases", conv.bias)
        elif fused and site.norm is not None:
            # This convolution has no place for a bias; the batch norm after it has.
            yield _Copy(f"{name}/biases", site.norm.bias)
    if site.norm is not None and not fused:
        for theirs, ours in _NORM.items():
            yield _Copy(f"{site.norm_name}/{theirs}", site.norm.state_dict()[ours])


def _make_identity(norm: nn.BatchNorm2d) -> None:
    norm.weight.fill_((1 + norm.eps) ** 0.5)  # x * sqrt(1 + eps) / sqrt(1 + eps)
    norm.bias.zero_()
    norm.reset_running_stats()  # mean 0, variance 1


def _refuse_differences(copies: list[_Copy], given: Mapping[str, Array]) -> None:
    wanted = {copy.source: tuple(copy.target.shape) for copy in copies}
    known = [source for source in wanted if source in given]
    problems = {
        "missing": [source for source in wanted if source not in given],
        "not known": [source for source in given if source not in wanted],
        "no floating-point numbers": [s for s in known if given[s].dtype.kind != "f"],
        "of another shape": [
            f"{source} has {_shape(_oihw_shape(given[source].shape))} (o i h w), wanted "
            f"{_shape(wanted[source])}"
            for source in known
            if _oihw_shape(given[source].shape) != wanted[source]
        ],
    }
    listed = [f"{what}: {first(names)}" for what, names in problems.items() if names]
    if listed:
        raise EdgeupError(f"the weights do not fit FCRN; {'; '.join(listed)}")


def _oihw(array: Array) -> Array:
    # float64: native, writable and exact for every type that comes; copy_ rounds to the target's.
    return np.array(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array, np.float64)


def _oihw_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _sites(module: Fcrn) -> Iterator[_Site]:
    trunk = module.encoder
    yield _Site({"conv1": trunk.conv1}, "bn_conv1", trunk.bn1)
    for stage in range(1, 5):
        for i, block in enumerate(trunk.get_submodule(f"layer{stage}").children()):
            yield from _bottleneck_sites(block, f"{stage + 1}{'abcdef'[i]}")
    yield _paired("layer1", "layer1_BN", module.reduce)
    for scale, block in zip((2, 4, 8, 16), module.decoder, strict=True):
        yield from _up_projection_sites(block, f"layer{scale}x")
    yield _Site({"ConvPred": module.predict})


def _bottleneck_sites(block: nn.Module, name: str) -> Iterator[_Site]:
    assert isinstance(block, Bottleneck)  # noqa: S101  ResNet-50 has no other
    if block.downsample is not None:
        yield _paired(f"res{name}_branch1", f"bn{name}_branch1", block.downsample)
    for letter, conv, norm in zip(
        "abc",
        (block.conv1, block.conv2, block.conv3),
        (block.bn1, block.bn2, block.bn3),
        strict=True,
    ):
        yield _Site({f"res{name}_branch2{letter}": conv}, f"bn{name}_branch2{letter}", norm)


def _up_projection_sites(block: nn.Module, name: str) -> Iterator[_Site]:
    assert isinstance(block, FastUpProj)  # noqa: S101  load_published has compared the wiring
    for branch, up in enumerate((block.up1, block.up2), 1):
        yield _fast_up_site(up, f"{name}_br{branch}")
    yield _paired(f"{name}_Conv", f"{name}_BN", block.tail)


def _fast_up_site(up: FastUpConv, name: str) -> _Site:
    assert isinstance(up.norm, nn.BatchNorm2d)  # noqa: S101  FastUpProj's always have one
    convs = {f"{name}_Conv{letter}": conv for letter, conv in zip("ABCD", up.convs, strict=True)}
    return _Site(convs, f"{name}_BN", up.norm)


def _paired(conv_name: str, norm_name: str, pair: nn.Module) -> _Site:
    conv, norm = pair.children()
    assert isinstance(conv, nn.Conv2d)  # noqa: S101  a convolution and its batch norm
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101  as above
    return _Site({conv_name: conv}, norm_name, norm)

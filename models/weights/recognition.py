"""Which network a checkpoint holds: encoder, decoder, skips and widths, from keys and shapes.

Published key names: dwofk/fast-depth ``models.py``. Widths are read and never assumed, so that a
pruned network just loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeup.errors import EdgeupError
from edgeup.models.catalog import (
    DECODER_WIDTHS,
    DECODERS,
    MOBILENET_SKIPS,
    MOBILENET_WIDTHS,
    FastDepthConfig,
    validate,
)
from edgeup.models.weights.checkpoint import Checkpoint
from edgeup.models.weights.inert import first
from edgeup.spec import Array

_STAGES = range(1, len(DECODER_WIDTHS) + 1)
_RESNETS: Mapping[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
"""Blocks per layer and whether they are bottlenecks (He et al. 2015, table 1)."""

_RESIZES = {"NNConv": "nnconv", "BLConv": "blconv"}
"""Classes whose parameters are alike; only the name of a pickled one says which it is."""


@dataclass(frozen=True)
class Recognition:
    """A network, and what had to be assumed to name it."""

    config: FastDepthConfig
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stage:
    """A decoder stage as its weights show it: channels in and out, kernel, form."""

    inputs: int
    outputs: int
    kernel: int
    depthwise: bool


def recognise(checkpoint: Checkpoint, decoder: str | None = None) -> Recognition:
    """The network whose weights these are.

    Args:
        checkpoint: of FastDepth or this package.
        decoder: what the user says it is. It settles nearest (nnconv) against bilinear
            (blconv), which have the same weights; elsewhere it must agree.

    Raises:
        EdgeupError: the keys are those of another network, or disagree with ``decoder``.
    """
    state = checkpoint.state
    _refuse_classifier(state)
    if "mobilenet.0.0.weight" in state:
        found = _mobilenet_without_skips(state)
    elif "conv0.0.weight" in state and "decode_conv1.0.0.weight" in state:
        found = _mobilenet_with_skips(state)
    elif "layer1.0.conv1.weight" in state and "conv2.weight" in state:
        found = _resnet(state)
    else:
        raise EdgeupError(
            f"these weights are not of a FastDepth network: the first keys are {first(state)}; "
            f"expected mobilenet.0.0.weight, conv0.0.weight or layer1.0.conv1.weight"
        )
    recognition = _settle(found, checkpoint, decoder)
    validate(recognition.config)
    return recognition


def _refuse_classifier(state: Mapping[str, Array]) -> None:
    has_decoder = any(name.startswith(("decoder.", "decode_conv")) for name in state)
    if not has_decoder and ("model.0.0.weight" in state or "layer1.0.conv1.weight" in state):
        raise EdgeupError(
            "these weights are of the ImageNet classifier alone (an encoder, no decoder); give "
            "the weights of the depth network, such as mobilenet-nnconv5dw-skipadd.pth.tar"
        )


def _mobilenet_without_skips(state: Mapping[str, Array]) -> FastDepthConfig:
    return _config("mobilenet", *_decoder(state), "none", _mobilenet_widths(state, "mobilenet."))


def _mobilenet_with_skips(state: Mapping[str, Array]) -> FastDepthConfig:
    encoder = _mobilenet_widths(state, "conv")
    stages = [_stage(state, f"decode_conv{i}") for i in _STAGES]
    # A stage's joined map enters the next one.
    joins = {stage + 1: encoder[block] for stage, block in MOBILENET_SKIPS.items()}
    return _config("mobilenet", "nnconv", stages, _skip(stages, joins), encoder)


def _resnet(state: Mapping[str, Array]) -> FastDepthConfig:
    encoder = _resnet_name(state)
    if "decode_conv1.0.weight" not in state:
        return _config(encoder, *_decoder(state), "none", None)
    stages = [_stage(state, f"decode_conv{i}") for i in _STAGES]
    joins = {2: 256, 3: 128, 4: 64, 5: 64}  # layer3, layer2, layer1, the stem
    return _config(encoder, "nnconv", stages, _skip(stages, joins), None)


def _mobilenet_widths(state: Mapping[str, Array], prefix: str) -> tuple[int, ...]:
    pointwise = (f"{prefix}{i}.3.weight" for i in range(1, len(MOBILENET_WIDTHS)))
    return tuple(_shape(state, key)[0] for key in (f"{prefix}0.0.weight", *pointwise))


def _resnet_name(state: Mapping[str, Array]) -> str:
    counts = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{layer}.")})
        for layer in range(1, 5)
    )
    bottleneck = "layer1.0.conv3.weight" in state
    if (counts, bottleneck) not in _RESNETS:
        kind = "bottleneck" if bottleneck else "basic"
        raise EdgeupError(
            f"these weights are of a ResNet with {counts} {kind} blocks; known are "
            f"{', '.join(_RESNETS.values())}"
        )
    return _RESNETS[counts, bottleneck]


def _decoder(state: Mapping[str, Array]) -> tuple[str, list[_Stage]]:
    """The family and the stages of ``decoder.*``; pixel shuffle has four, of fixed widths."""
    if "decoder.upconv1.1.weight" in state:
        return "upconv", [_dense(state, f"decoder.upconv{i}.1.weight") for i in _STAGES]
    if "decoder.upproj1.branch1.0.weight" in state:
        return "upproj", [_dense(state, f"decoder.upproj{i}.branch1.0.weight") for i in _STAGES]
    if any(name.startswith("decoder.convt1.") for name in state):
        return "deconv", [_stage(state, f"decoder.convt{i}", transposed=True) for i in _STAGES]
    if any(name.startswith("decoder.conv5.") for name in state):
        return "nnconv", [_stage(state, f"decoder.conv{i}") for i in _STAGES]
    if any(name.startswith("decoder.conv1.") for name in state):
        return "shuffle", [_stage(state, f"decoder.conv{i}") for i in range(1, 5)]
    names = [name for name in state if name.startswith("decoder.")]
    raise EdgeupError(
        f"these weights hold no decoder that is known; its first keys: {first(names)}"
    )


def _stage(state: Mapping[str, Array], prefix: str, transposed: bool = False) -> _Stage:
    if f"{prefix}.0.0.weight" not in state:
        return _dense(state, f"{prefix}.0.weight", transposed)
    inputs, _, kernel, _ = _shape(state, f"{prefix}.0.0.weight")
    return _Stage(inputs, _shape(state, f"{prefix}.1.0.weight")[0], kernel, depthwise=True)


def _dense(state: Mapping[str, Array], key: str, transposed: bool = False) -> _Stage:
    a, b, kernel, _ = _shape(state, key)
    inputs, outputs = (a, b) if transposed else (b, a)
    return _Stage(inputs, outputs, kernel, depthwise=False)


def _shape(state: Mapping[str, Array], key: str) -> tuple[int, ...]:
    if key not in state:
        raise EdgeupError(f"these weights lack {key}; their first keys are {first(state)}")
    shape: tuple[int, ...] = state[key].shape
    if len(shape) != 4:
        raise EdgeupError(f"{key} has {len(shape)} dimensions; a convolution's weight has 4")
    return shape


def _skip(stages: list[_Stage], joins: Mapping[int, int]) -> str:
    """Sum or concatenation, by what the stages after a join take in."""
    got = [stages[stage - 1].inputs for stage in joins]
    before = [stages[stage - 2].outputs for stage in joins]
    if got == before:
        return "add"
    concatenated = [b + joined for b, joined in zip(before, joins.values(), strict=True)]
    if got == concatenated:
        return "concat"
    raise EdgeupError(
        f"stages {', '.join(map(str, joins))} of the decoder take {got} channels, which is neither "
        f"a sum ({before}) nor a concatenation ({concatenated}) with the encoder's maps"
    )


def _config(
    encoder: str,
    family: str,
    stages: list[_Stage],
    skip: str,
    encoder_widths: tuple[int, ...] | None,
) -> FastDepthConfig:
    kernel, depthwise = stages[0].kernel, stages[0].depthwise
    name = family if family.startswith("up") else f"{family}{kernel}{'dw' if depthwise else ''}"
    alike = {(stage.kernel, stage.depthwise) for stage in stages} == {(kernel, depthwise)}
    if name not in DECODERS or DECODERS[name].kernel != kernel or not alike:
        forms = ", ".join(f"{s.kernel}x{s.kernel}{' depthwise' * s.depthwise}" for s in stages)
        raise EdgeupError(f"these weights have a {family} decoder of {forms}, which is not known")
    widths = tuple(stage.outputs for stage in stages)
    return FastDepthConfig(
        encoder=encoder,
        decoder=name,
        skip=skip,
        encoder_widths=None if encoder_widths == MOBILENET_WIDTHS else encoder_widths,
        decoder_widths=None if family == "shuffle" or widths == DECODER_WIDTHS else widths,
    )


def _settle(found: FastDepthConfig, checkpoint: Checkpoint, decoder: str | None) -> Recognition:
    """Nearest or bilinear: by the pickled class, else by the user's word, else nearest."""
    candidates = [found.decoder]
    notes: tuple[str, ...] = ()
    if found.decoder.startswith("nnconv") and found.skip == "none":
        candidates.append(found.decoder.replace("nnconv", "blconv"))
        cls = checkpoint.classes.get("decoder", "").rpartition(".")[2]
        if cls in _RESIZES:
            candidates = [found.decoder.replace("nnconv", _RESIZES[cls])]
        elif decoder is None:
            notes = (
                f"{candidates[0]} and {candidates[1]} have the same weights, and the file does not "
                f"say which; took {candidates[0]}",
            )
    if decoder is not None and decoder not in candidates:
        raise EdgeupError(
            f"these weights are of decoder {' or '.join(candidates)}, and {decoder} was asked for"
        )
    return Recognition(replace(found, decoder=decoder or candidates[0]), notes)

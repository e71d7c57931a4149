"""The network behind a checkpoint's keys and shapes, for every network that can be built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgeup.errors import EdgeupError
from edgeup.models.catalog import DECODERS, ENCODERS, PRESETS, PRUNED, FastDepthConfig
from edgeup.models.fastdepth import build
from edgeup.models.weights.checkpoint import Checkpoint
from edgeup.models.weights.recognition import recognise

NARROW = (4, 6, 8, 10, 12, 14, 10, 8, 8, 8, 8, 8, 12, 16)


def _checkpoint(config: FastDepthConfig) -> Checkpoint:
    with torch.device("meta"):  # shapes alone
        state = build(config).state_dict()
    return Checkpoint(
        {
            name: np.broadcast_to(np.float32(0), tuple(tensor.shape))
            for name, tensor in state.items()
        },
        "state dict",
    )


CONFIGS = [
    *(FastDepthConfig(decoder=decoder) for decoder in DECODERS),
    *(FastDepthConfig(encoder, "upproj") for encoder in ENCODERS),
    *(FastDepthConfig("resnet18", decoder) for decoder in ("shuffle3dw", "deconv5", "blconv7dw")),
    *(
        FastDepthConfig(e, "nnconv5", s)
        for e in ("resnet18", "resnet34")
        for s in ("add", "concat")
    ),
    *(FastDepthConfig("mobilenet", "nnconv5dw", skip) for skip in ("add", "concat")),
    *PRESETS.values(),
    replace(PRUNED, skip="concat"),
    FastDepthConfig(decoder="deconv5", encoder_widths=NARROW, decoder_widths=(9, 7, 5, 4, 3)),
    FastDepthConfig(decoder="upconv", decoder_widths=(9, 7, 5, 4, 3)),
    FastDepthConfig(encoder="resnet18", decoder="nnconv3", decoder_widths=(9, 7, 5, 4, 3)),
]


@pytest.mark.parametrize("config", dict.fromkeys(CONFIGS), ids=lambda c: f"{c.name}")
def test_every_network_is_recognised(config: FastDepthConfig) -> None:
    ambiguous = config.skip == "none" and DECODERS[config.decoder].family in ("nnconv", "blconv")
    found = recognise(_checkpoint(config), decoder=config.decoder)
    assert found.config == config
    assert found.notes == ()
    guess = recognise(_checkpoint(config))
    assert guess.config == replace(config, decoder=config.decoder.replace("blconv", "nnconv"))
    assert bool(guess.notes) is ambiguous


def test_the_assumption_is_said() -> None:
    (note,) = recognise(_checkpoint(FastDepthConfig(decoder="blconv3dw"))).notes
    assert note == (
        "nnconv3dw and blconv3dw have the same weights, and the file does not say which; "
        "took nnconv3dw"
    )


def test_a_decoder_that_the_weights_contradict() -> None:
    checkpoint = _checkpoint(FastDepthConfig(decoder="nnconv5dw"))
    with pytest.raises(EdgeupError, match="of decoder nnconv5dw or blconv5dw, and nnconv5 was"):
        recognise(checkpoint, decoder="nnconv5")
    pickled = replace(checkpoint, classes={"": "models.MobileNet", "decoder": "models.NNConv"})
    with pytest.raises(EdgeupError, match="of decoder nnconv5dw, and blconv5dw was asked for"):
        recognise(pickled, decoder="blconv5dw")
    skip = _checkpoint(PRESETS["mobilenet-nnconv5dw-skipadd"])
    with pytest.raises(EdgeupError, match="of decoder nnconv5dw, and blconv5dw was asked for"):
        recognise(skip, decoder="blconv5dw")


def _state(**shapes: tuple[int, ...]) -> Checkpoint:
    named = {name.replace("__", "."): np.zeros(shape) for name, shape in shapes.items()}
    return Checkpoint(named, "state dict")


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [
        (
            _state(model__0__0__weight=(32, 3, 3, 3), fc__weight=(1000, 1024)),
            "ImageNet classifier alone",
        ),
        (
            _state(layer1__0__conv1__weight=(64, 64, 3, 3), fc__weight=(1000, 512)),
            "ImageNet classifier alone",
        ),
        (
            _state(a=(1,), b=(1,), c=(1,), d=(1,), e=(1,)),
            r"first keys are a, b, c, d, \.\.\. \(5 in all\)",
        ),
        (_state(mobilenet__0__0__weight=(32, 3, 3, 3), decoder__x=(1,)), "first keys: decoder.x"),
    ],
)
def test_other_networks_are_refused(checkpoint: Checkpoint, reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason):
        recognise(checkpoint)


def _changed(config: FastDepthConfig, **arrays: tuple[int, ...] | None) -> Checkpoint:
    state = dict(_checkpoint(config).state)
    for name, shape in arrays.items():
        key = name.replace("__", ".")
        if shape is None:
            del state[key]
        else:
            state[key] = np.zeros(shape)
    return Checkpoint(state, "state dict")


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [
        (
            _changed(FastDepthConfig(), mobilenet__7__3__weight=None),
            r"lack mobilenet\.7\.3\.weight",
        ),
        (_changed(FastDepthConfig(), mobilenet__7__3__weight=(512,)), "has 1 dimensions"),
        (
            _changed(FastDepthConfig(), decoder__conv2__0__weight=(256, 512, 3, 3)),
            "nnconv decoder of 5x5, 3x3, 5x5",
        ),
        (
            _changed(PRUNED, decode_conv3__0__0__weight=(250, 1, 5, 5)),
            r"\[250, 120, 56\] channels, which is neither a sum \(\[256, 120, 56\]\)",
        ),
        (
            _changed(PRUNED, conv3__3__weight=(121, 88, 1, 1)),
            "skip 'add' adds conv3 .121 channels. to decoder stage 3",
        ),
        (
            _changed(FastDepthConfig("resnet18"), layer2__1__conv1__weight=None, layer9__x=(1,)),
            None,
        ),
        (
            _changed(FastDepthConfig("resnet18"), layer1__2__conv1__weight=(64, 64, 3, 3)),
            r"a ResNet with \(3, 2, 2, 2\) basic blocks",
        ),
    ],
)
def test_a_network_with_a_part_that_does_not_fit(
    checkpoint: Checkpoint, reason: str | None
) -> None:
    if reason is None:  # what recognition does not look at is left for load_state to list
        assert recognise(checkpoint).config.encoder == "resnet18"
        return
    with pytest.raises(EdgeupError, match=reason):
        recognise(checkpoint)

"""The 34 decoders: sizes, wiring against plain functions, initial weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeup.models.catalog import DECODERS, FastDepthConfig
from edgeup.models.fastdepth import build
from edgeup.models.fastdepth_decoders import build_decoder
from edgeup.models.initialise import initialise

WIDTHS = (12, 10, 8, 6, 4)
NARROW = FastDepthConfig(
    encoder_widths=(4, 4, 8, 8, 8, 8, *(8,) * 6, 16, 16), decoder_widths=WIDTHS
)


class Reference:
    """The decoders as plain functions of a state dict, from FastDepth's description."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def norm(self, x: Tensor, key: str) -> Tensor:
        s = {p: self.state[f"{key}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")}
        return F.batch_norm(x, **s)

    def conv(self, x: Tensor, key: str, first: int = 0) -> Tensor:
        """Convolution that keeps the size, and batch norm; depthwise if the weights are."""
        weight = self.state[f"{key}.{first}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        return self.norm(x, f"{key}.{first + 1}")

    def stage(self, x: Tensor, key: str) -> Tensor:
        if f"{key}.0.weight" in self.state:
            return self.conv(x, key).relu()
        return self.conv(self.conv(x, f"{key}.0").relu(), f"{key}.1").relu()

    def transposed(self, x: Tensor, key: str) -> Tensor:
        """Zero insertion, then a convolution with the flipped kernel: the definition."""
        weight = self.state[f"{key}.0.weight"]
        groups = x.shape[1] // weight.shape[1] if weight.shape[1] == 1 else 1
        if groups == 1:
            weight = weight.transpose(0, 1)
        # A transposed convolution pads k-1-p on the left and, with output padding 1, as much
        # as keeps the size on the right: the inserted map already ends in a zero.
        k = weight.shape[-1]
        y = F.conv2d(spread(x), weight.flip(2, 3), padding=k - 1 - k // 2, groups=groups)
        return self.norm(y, f"{key}.1").relu()

    def up_projection(self, x: Tensor, key: str) -> Tensor:
        x = spread(x)
        a = self.conv(self.conv(x, f"{key}.branch1").relu(), f"{key}.branch1", first=3)
        return (a + self.conv(x, f"{key}.branch2")).relu()

    def decode(self, name: str, x: Tensor) -> Tensor:
        family, depthwise = name.rstrip("3579dw"), name.endswith("dw")
        if family == "shuffle":
            for i in range(1, 5):
                x = self.stage(F.pixel_shuffle(x, 2), f"conv{i}")
            return F.pixel_shuffle(x, 2)
        for i in range(1, 6):
            if family == "nnconv":
                x = self.stage(x, f"conv{i}").repeat_interleave(2, 2).repeat_interleave(2, 3)
            elif family == "blconv":
                x = half_pixel(half_pixel(self.stage(x, f"conv{i}"), 2), 3)
            elif family == "deconv" and depthwise:
                x = self.conv(self.transposed(x, f"convt{i}.0"), f"convt{i}.1").relu()
            elif family == "deconv":
                x = self.transposed(x, f"convt{i}")
            elif family == "upconv":
                x = self.conv(spread(x), f"upconv{i}", first=1).relu()
            else:
                x = self.up_projection(x, f"upproj{i}")
        return self.stage(x, "conv6" if "conv6.0.weight" in self.state else "convf")


def spread(x: Tensor) -> Tensor:
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


def half_pixel(x: Tensor, axis: int) -> Tensor:
    """Twice as many samples along ``axis``: a quarter of one neighbour, three of the other."""
    size = x.shape[axis]
    before = x.index_select(axis, (torch.arange(size) - 1).clamp(0))
    after = x.index_select(axis, (torch.arange(size) + 1).clamp(max=size - 1))
    pairs = torch.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1)
    return pairs.flatten(axis, axis + 1)


@pytest.mark.parametrize("name", DECODERS)
def test_wiring(name: str) -> None:
    # Pixel shuffle needs 1024 channels to end in one; the others are as wide as told.
    inputs = 1024 if name.startswith("shuffle") else 16
    decoder = build_decoder(name, inputs, WIDTHS)
    x = torch.rand(1, inputs, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    initialise(decoder.double(), 0, [x])
    with torch.no_grad():
        got, expected = decoder(x), Reference(decoder.state_dict()).decode(name, x)
    assert expected.std() > 0.05
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", DECODERS)
def test_output_has_the_size_of_the_input(name: str) -> None:
    narrow = None if name.startswith("shuffle") else NARROW
    config = FastDepthConfig(
        decoder=name,
        encoder_widths=narrow and narrow.encoder_widths,
        decoder_widths=narrow and narrow.decoder_widths,
    )
    net = build(config)
    initialise(net, 0, [torch.empty(1, 3, 64, 64)])
    for height, width in ((64, 64), (32, 96)):
        pictures = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            depth = net(pictures)
        assert depth.shape == (2, 1, height, width)
        assert depth.min() >= 0
        assert depth.std() > 0.05
        assert (depth[0] - depth[1]).std() > 0.01


@pytest.mark.parametrize("name", DECODERS)
def test_standard_widths_at_full_size(name: str) -> None:
    with torch.device("meta"):
        net = build(FastDepthConfig(decoder=name))
        assert net(torch.empty(1, 3, 224, 224)).shape == (1, 1, 224, 224)


def bn(name: str) -> set[str]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{name}.{part}" for part in parts}


def block(name: str, first: int = 0) -> set[str]:
    return {f"{name}.{first}.weight"} | bn(f"{name}.{first + 1}")


NAMES = {
    "nnconv5": {k for i in range(1, 7) for k in block(f"conv{i}")},
    "blconv3dw": {
        *(k for i, j in product(range(1, 6), (0, 1)) for k in block(f"conv{i}.{j}")),
        *block("conv6"),
    },
    "deconv7": {*(k for i in range(1, 6) for k in block(f"convt{i}")), *block("convf")},
    "deconv7dw": {
        *(k for i, j in product(range(1, 6), (0, 1)) for k in block(f"convt{i}.{j}")),
        *block("convf"),
    },
    "upconv": {*(k for i in range(1, 6) for k in block(f"upconv{i}", 1)), *block("convf")},
    "upproj": {
        *(
            k
            for i, (branch, first) in product(
                range(1, 6), (("branch1", 0), ("branch1", 3), ("branch2", 0))
            )
            for k in block(f"upproj{i}.{branch}", first)
        ),
        *block("convf"),
    },
    "shuffle3": {k for i in range(1, 5) for k in block(f"conv{i}")},
    "shuffle3dw": {k for i, j in product(range(1, 5), (0, 1)) for k in block(f"conv{i}.{j}")},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_checkpoints(name: str) -> None:
    with torch.device("meta"):
        assert set(build_decoder(name, 1024, WIDTHS).state_dict()) == NAMES[name]


def test_initial_weights_of_fastdepth() -> None:
    torch.manual_seed(0)
    dense = build_decoder("nnconv5", 64, (48, 32, 16, 8, 4))
    weight = dense.state_dict()["conv1.0.weight"]
    assert weight.std() == pytest.approx(math.sqrt(2 / (25 * 48)), rel=0.03)
    transposed = build_decoder("deconv5", 64, (48, 32, 16, 8, 4))
    weight = transposed.state_dict()["convt1.0.weight"]
    assert weight.std() == pytest.approx(math.sqrt(2 / (25 * 64)), rel=0.03)

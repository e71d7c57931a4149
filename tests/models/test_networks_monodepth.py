from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import NETWORKS, build_network, check_network_input

IMAGE = (1, 3, 256, 512)
# What the trunk gives at 1/32, then at 1/16 ... 1/2.
TRUNK = {"resnet18": [512, 256, 128, 64, 64], "resnet50": [2048, 1024, 512, 256, 64]}
DECODER = [256, 128, 64, 32, 16]


def on_meta(encoder: str, width: str = "1") -> nn.Module:
    with torch.device("meta"):
        return build_network("monodepth", encoder=encoder, options={"width": width})


def small() -> tuple[nn.Module, Tensor]:
    module = build_network("monodepth", encoder="resnet18", options={"width": "0.25"})
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    initialise(module, 1, [image])
    return module, image


@pytest.mark.parametrize(
    ("encoder", "classified"),
    [
        # torchvision's parameters without the classifier; multiply-accumulates at 256x512 of
        # blocks as He et al. 2015, table 1, has them, counted in `trunk_work`.
        ("resnet18", 11_689_512 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
    ],
)
def test_parameters_and_macs(encoder: str, classified: int) -> None:
    """The decoder doubles 8x16 five times; every convolution is 3x3 with a bias.

    At each level: an up-convolution at the doubled size; one over it, the encoder's map and, below
    1/8, the two resized disparities; from 1/8 on, one to two disparities.
    """
    weights = biases = work = 0
    before, *skips = TRUNK[encoder]
    height, width = 8, 16
    for i, out in enumerate(DECODER):
        height, width = 2 * height, 2 * width
        beside = (skips[i] if i < 4 else 0) + (2 if i > 1 else 0)
        pairs = before * out + (out + beside) * out + (2 * out if i > 0 else 0)
        weights += 9 * pairs
        biases += 2 * out + (2 if i > 0 else 0)
        work += 9 * pairs * height * width
        before = out
    assert (height, width) == (256, 512)
    module = on_meta(encoder)
    assert parameters(module) == classified + weights + biases
    assert macs(module, [IMAGE]) == trunk_work(encoder) + work


def trunk_work(encoder: str) -> int:
    """7x7 at 1/2, then stages of 64 to 512 channels at 1/4 to 1/32, of an image of 256x512."""
    work = 49 * 3 * 64 * 128 * 256
    before = 64
    blocks = (2, 2, 2, 2) if encoder == "resnet18" else (3, 4, 6, 3)
    for stage, count in enumerate(blocks):
        wide = 64 << stage
        pixels = (64 >> stage) * (128 >> stage)
        out = wide if encoder == "resnet18" else 4 * wide
        for block in range(count):
            halves = block == 0 and stage > 0
            if encoder == "resnet18":
                work += 9 * (before * wide + wide * wide) * pixels
            else:  # the 3x3 strides, so the first 1x1 works at the larger size
                work += before * wide * pixels * (4 if halves else 1)
                work += (9 * wide * wide + wide * out) * pixels
            if before != out:
                work += before * out * pixels
            before = out
    return work


@pytest.mark.parametrize("encoder", TRUNK)
def test_four_scales_of_two_views(encoder: str) -> None:
    outputs = on_meta(encoder)(torch.empty(IMAGE, device="meta"))
    assert [tuple(output.shape) for output in outputs] == [
        (1, 2, 256, 512),
        (1, 2, 128, 256),
        (1, 2, 64, 128),
        (1, 2, 32, 64),
    ]
    assert NETWORKS["monodepth"].output_names == ("disp1", "disp2", "disp3", "disp4")


def convolved(x: Tensor, state: dict[str, Tensor], prefix: str) -> Tensor:
    """3x3 with zeros around, tap by tap."""
    weight, bias = state[f"{prefix}.weight"], state[f"{prefix}.bias"]
    n, c, height, width = x.shape
    padded = x.new_zeros(n, c, height + 2, width + 2)
    padded[:, :, 1:-1, 1:-1] = x
    y = bias.view(1, -1, 1, 1).expand(n, -1, height, width).clone()
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + height, j : j + width]
            y += torch.einsum("oc,nchw->nohw", weight[:, :, i, j], window)
    return y


def elu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x.clamp_max(0).exp() - 1)


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@torch.no_grad()
def test_wiring_of_the_decoder() -> None:
    module, image = small()
    module, image = module.double(), image.double()
    state = module.state_dict()
    x1, x2, x3, x4, x = module.encoder.features(image)

    def level(i: int, x: Tensor, *beside: Tensor) -> Tensor:
        up = elu(convolved(doubled(x), state, f"levels.{i}.up.1"))
        return elu(convolved(torch.cat((up, *beside), 1), state, f"levels.{i}.merge.0"))

    def disparity(i: int, x: Tensor) -> Tensor:
        return 0.3 / (1 + (-convolved(x, state, f"predict.{i}")).exp())

    x = level(0, x, x4)
    x = level(1, x, x3)
    disp4 = disparity(0, x)
    x = level(2, x, x2, doubled(disp4))
    disp3 = disparity(1, x)
    x = level(3, x, x1, doubled(disp3))
    disp2 = disparity(2, x)
    x = level(4, x, doubled(disp2))
    disp1 = disparity(3, x)
    expected = (disp1, disp2, disp3, disp4)
    assert min(each.std() for each in expected) > 0.01
    torch.testing.assert_close(module(image), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_random_weights_give_disparities_of_the_picture() -> None:
    module, image = small()
    for output, other in zip(module(image), module(image.flip(3)), strict=True):
        assert output.min() > 0
        assert output.max() < 0.3
        assert output.flatten(2).std(2).min() > 0.01
        assert (output - other).abs().mean() > 0.01


@torch.no_grad()
def test_export_traces_it() -> None:
    module, image = small()
    program = torch.export.export(module, (image,))
    torch.testing.assert_close(program.module()(image), module(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        (
            (1, 3, 256, 500),
            r"256x500 does not suit monodepth: height and width must be multiples of 32; "
            r"the nearest that do are 256x480, 256x512$",
        ),
        ((1, 1, 256, 512), r"monodepth takes 3 channels, got 1 in 1x1x256x512$"),
    ],
)
def test_other_sizes_are_refused(shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(EdgeupError, match=line):
        check_network_input("monodepth", shape)


@pytest.mark.parametrize("width", [*range(32, 97, 8), 63, 65])
def test_what_is_refused_does_not_come_back_at_its_own_size(width: int) -> None:
    fits = NETWORKS["monodepth"].fits(width, {}) is None
    assert fits == (width in (32, 64, 96))
    module = on_meta("resnet18", "0.0625")
    try:
        got = module(torch.empty(1, 3, 32, width, device="meta"))[0].shape[3]
    except RuntimeError:  # maps of different sizes do not concatenate
        got = None
    assert (got == width) == fits


def test_other_encoders_are_refused() -> None:
    with pytest.raises(EdgeupError, match=r"unknown encoder of monodepth 'vgg': there is resnet50"):
        build_network("monodepth", encoder="vgg")

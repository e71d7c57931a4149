from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeup.models.cost import conv_weights, macs, parameters
from edgeup.models.fcrn import EPSILON, Fcrn, FcrnConfig, SameMaxPool
from edgeup.models.initialise import initialise
from edgeup.models.networks import NETWORKS, build_network
from edgeup.models.upsampling.upconv import UpConv
from edgeup.models.upsampling.upproj import FastUpProj

DECODERS = NETWORKS["fcrn"].decoders


def on_meta(decoder: str | None = None, encoder: str | None = None, **options: str) -> Fcrn:
    with torch.device("meta"):
        module = build_network("fcrn", decoder=decoder, encoder=encoder, options=options)
    assert isinstance(module, Fcrn)
    return module


def test_the_defaults_of_the_table_are_the_published_wiring() -> None:
    assert on_meta().config == FcrnConfig()


@pytest.mark.parametrize(
    ("decoder", "gmacs", "mweights"),
    [
        ("upproj", 42.4, 63.5),
        ("fast-upproj", 17.2, 63.5),
        ("upconv", 22.6, 43.0),
        ("fast-upconv", 10.0, 43.0),
    ],
)
def test_cost_is_the_published_one(decoder: str, gmacs: float, mweights: float) -> None:
    module = on_meta(decoder)
    assert round(macs(module, [(1, 3, 228, 304)]) / 1e9, 1) == gmacs
    assert round(conv_weights(module) / 1e6, 1) == mweights


def test_parameters_beside_the_weights() -> None:
    # ResNet-50 has 25,557,032 with its classifier; conv1 here has a bias of 64 more.
    resnet = 25_557_032 - (2048 * 1000 + 1000) + 64
    reduce = 2048 * 1024 + 1024 + 2 * 1024
    up = 0
    for co in (512, 256, 128, 64):
        fast = 25 * 2 * co * co + 4 * co + 2 * co
        up += 2 * fast + 9 * co * co + co + 2 * co
    assert parameters(on_meta()) == resnet + reduce + up + 9 * 64 + 1


def test_macs_of_the_whole_by_hand() -> None:
    # 228x304 by halves, rounding up, and the bottlenecks with their stride in the first 1x1.
    sizes = [(57, 76), (29, 38), (15, 19), (8, 10)]
    work = 49 * 3 * 64 * 114 * 152
    channels = 64
    for (h, w), width, blocks in zip(sizes, (64, 128, 256, 512), (3, 4, 6, 3), strict=True):
        for i in range(blocks):
            work += h * w * (channels * width + 9 * width * width + 4 * width * width)
            work += h * w * channels * 4 * width if i == 0 else 0
            channels = 4 * width
    work += 8 * 10 * 2048 * 1024
    h, w = 8, 10
    for co in (512, 256, 128, 64):
        work += 2 * 25 * h * w * 2 * co * co + 9 * 4 * h * w * co * co
        h, w = 2 * h, 2 * w
    work += 9 * 64 * 128 * 160
    assert macs(on_meta(), [(1, 3, 228, 304)]) == work


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_multiplies_by_16(decoder: str) -> None:
    module = on_meta(decoder, "resnet18")
    assert tuple(module(torch.empty(2, 3, 228, 304, device="meta")).shape) == (2, 1, 128, 160)
    assert tuple(module(torch.empty(1, 3, 1, 97, device="meta")).shape) == (1, 1, 16, 64)


@pytest.mark.parametrize("encoder", NETWORKS["fcrn"].encoders)
def test_every_encoder(encoder: str) -> None:
    module = on_meta(encoder=encoder)
    half = (256 if encoder in ("resnet18", "resnet34") else 1024) // 16
    assert module.predict.in_channels == half
    assert tuple(module(torch.empty(1, 3, 64, 32, device="meta")).shape) == (1, 1, 32, 16)


def test_every_batch_norm_has_tensorflows_epsilon() -> None:
    for decoder in DECODERS:
        norms = [m for m in on_meta(decoder).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {norm.eps for norm in norms} == {EPSILON}


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (7, 7), (8, 8), (114, 9)])
def test_same_pooling_is_tensorflows(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    pads = []
    for side in reversed(size):
        total = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
        pads += [total // 2, total - total // 2]
    expected = F.max_pool2d(F.pad(x, pads, value=float("-inf")), 3, 2)
    torch.testing.assert_close(SameMaxPool()(x), expected, rtol=0, atol=0)


def test_the_place_of_the_pooling_matters_on_even_sizes() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8)
    theirs = on_meta(pool="pytorch", encoder="resnet18").encoder.maxpool
    assert not torch.equal(SameMaxPool()(x), theirs(x))
    assert isinstance(on_meta(encoder="resnet18").encoder.maxpool, SameMaxPool)


def test_the_place_of_the_stride() -> None:
    published = on_meta(width="0.01").encoder
    torchvision = on_meta(stride="3x3", width="0.01").encoder
    for trunk, strides in ((published, (2, 1)), (torchvision, (1, 2))):
        block = trunk.get_submodule("layer3.0")
        found = [block.get_submodule(name).stride[0] for name in ("conv1", "conv2")]
        assert tuple(found) == strides


@pytest.mark.parametrize("decoder", ["upproj", "upconv"])
def test_textbook_padding_equals_the_unpooling_form(decoder: str) -> None:
    slow = build_network("fcrn", decoder=decoder, encoder="resnet18", options={"width": "0.1"})
    image = torch.rand(1, 3, 40, 70, generator=torch.Generator().manual_seed(4))
    initialise(slow, 4, [image])
    outputs = {}
    for padding in ("textbook", "published"):
        fast = build_network(
            "fcrn",
            decoder=f"fast-{decoder}",
            encoder="resnet18",
            options={"width": "0.1", "padding": padding},
        )
        assert isinstance(fast, Fcrn)
        assert isinstance(slow, Fcrn)
        for name in ("encoder", "reduce", "predict"):
            fast.get_submodule(name).load_state_dict(slow.get_submodule(name).state_dict())
        for fast_block, block in zip(fast.decoder, slow.decoder, strict=True):
            converted = (
                FastUpProj.from_upproj(block)
                if decoder == "upproj"
                else type(fast_block).from_upconv(block)
            )
            # The converted blocks have no biases; the built ones get theirs at zero.
            for parameter in fast_block.parameters():
                nn.init.zeros_(parameter)
            fast_block.load_state_dict(converted.state_dict(), strict=False)
        with torch.no_grad():
            outputs[padding] = fast.double()(image.double())
    with torch.no_grad():
        expected = slow.double()(image.double())
    assert expected.std() > 1e-2
    torch.testing.assert_close(outputs["textbook"], expected, rtol=1e-9, atol=1e-9)
    assert (outputs["published"] - expected).abs().max() > 1e-3


def test_up_convolutions_are_the_catalogues() -> None:
    assert isinstance(on_meta("upconv").decoder[0], UpConv)


def test_depth_is_never_negative() -> None:
    module = build_network("fcrn", encoder="resnet18", options={"width": "0.1"})
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    initialise(module, 9, [image])
    assert isinstance(module, Fcrn)
    with torch.no_grad():
        assert module.predict.bias is not None
        module.predict.bias.sub_(1.0)
        output = module(image)
    assert output.min() == 0
    assert output.max() > 0

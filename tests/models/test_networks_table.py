from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models import catalog
from edgeup.models.cost import macs, parameters
from edgeup.models.fastdepth import build
from edgeup.models.initialise import initialise
from edgeup.models.network_types import Network, Option, positive_integer, positive_number
from edgeup.models.networks import NETWORKS, build_network, check_network_input, find_network

VGG = {"width": "0.03125"}
SMALL: dict[str, tuple[dict[str, str], str | None, tuple[int, ...]]] = {
    # name: options, encoder, an input shape that is as odd as the network takes
    "fastdepth": ({"skip": "add", "widths": "pruned"}, None, (1, 3, 32, 64)),
    "fcrn": ({"width": "0.125"}, "resnet18", (1, 3, 45, 70)),
    "fcn8s": ({**VGG, "classes": "3"}, None, (1, 3, 37, 50)),
    "fcn16s": ({**VGG, "classes": "3"}, None, (1, 3, 38, 41)),
    "fcn32s": ({**VGG, "classes": "3"}, None, (1, 3, 21, 60)),
    "unet": ({**VGG, "classes": "3"}, None, (1, 1, 188, 204)),
    "segnet": ({**VGG, "classes": "3"}, None, (1, 3, 45, 70)),
    "deconvnet": ({"width": "0.03125", "classes": "3"}, None, (1, 3, 193, 230)),
}


def small(name: str) -> tuple[nn.Module, torch.Tensor]:
    options, encoder, shape = SMALL[name]
    check_network_input(name, shape, encoder=encoder, options=options)
    module = build_network(name, encoder=encoder, options=options)
    return module, torch.rand(shape, generator=torch.Generator().manual_seed(1))


def on_meta(name: str, **settings: str) -> nn.Module:
    with torch.device("meta"):
        return build_network(name, decoder=settings.pop("decoder", None), options=settings)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_an_entry_has_what_a_listing_shows(network: Network) -> None:
    assert NETWORKS[network.name] is network
    assert network.title
    assert network.title == network.title.strip()
    assert re.search(r" (19|20)\d\d, ", network.paper), "who, when, what"
    assert network.output_names
    for name, option in network.options.items():
        assert name == name.lower().replace("_", "-")
        assert option.help
        option.read(name, option.default)
        assert option.choices is None or option.choices[0] == option.default
    check_network_input(network.name, network.input_shape)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_published_input_passes_and_gives_each_output(network: Network) -> None:
    outputs = on_meta(network.name)(torch.empty(network.input_shape, device="meta"))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(network.output_names)
    assert all(output.shape[0] == 1 for output in outputs)


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_give_outputs_that_say_something(name: str) -> None:
    module, image = small(name)
    initialise(module, 0, [image])
    with torch.no_grad():
        output = module(image)
        other = module(image.flip(3))
    assert output.isfinite().all()
    assert (output.flatten(2).std(2) > 1e-3).all(), "a channel is constant"
    assert (output - other).abs().max() > 1e-3, "the picture does not matter"


@pytest.mark.parametrize("name", SMALL)
def test_a_state_dict_goes_to_another_module(name: str) -> None:
    first, image = small(name)
    initialise(first, 3, [image])
    second, _ = small(name)
    with torch.no_grad():
        expected = first(image)
        assert not torch.equal(second(image), expected)
        second.load_state_dict(first.state_dict())
        torch.testing.assert_close(second(image), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted({*SMALL} - {"fcn16s", "fcn32s"}))  # parts of fcn8s
def test_export_traces_it_with_static_shapes(name: str) -> None:
    module, image = small(name)
    initialise(module, 0, [image])
    before = image.clone()
    program = torch.export.export(module, (image,), strict=False)
    symbols = [
        dim
        for node in program.graph.nodes
        if isinstance(value := node.meta.get("val"), torch.Tensor)
        for dim in value.shape
        if not isinstance(dim, int)
    ]
    assert symbols == []
    with torch.no_grad():
        expected = module(image)
        torch.testing.assert_close(program.module()(image), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0
    torch.testing.assert_close(image, before, rtol=0, atol=0)


def test_the_table_loads_no_torch() -> None:
    code = (
        "import sys; from edgeup.models.networks import check_network_input; "
        "check_network_input('unet', (1, 1, 572, 572)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestFastDepthIsTheSameByEitherWay:
    @pytest.mark.parametrize(
        ("options", "config"),
        [
            ({}, catalog.FastDepthConfig()),
            (
                {"skip": "concat"},
                catalog.FastDepthConfig(decoder="nnconv5dw", skip="concat"),
            ),
            ({"skip": "add", "widths": "pruned"}, catalog.PRUNED),
        ],
    )
    def test_parameters(self, options: dict[str, str], config: catalog.FastDepthConfig) -> None:
        with torch.device("meta"):
            ours, theirs = build_network("fastdepth", options=options), build(config)
        names = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
        assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == names

    def test_the_default_decoder_comes_first(self) -> None:
        assert NETWORKS["fastdepth"].decoders[0] == catalog.default_decoder()
        assert set(NETWORKS["fastdepth"].decoders) == set(catalog.DECODERS)

    def test_its_own_refusals_come_through(self) -> None:
        with pytest.raises(EdgeupError, match="has wiring for decoder nnconv5dw only"):
            build_network("fastdepth", decoder="upproj", options={"skip": "add"})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            {"name": "fcn8"},
            r"unknown model 'fcn8': did you mean fcn8s",
        ),
        (
            {"name": "fcrn", "decoder": "upprojection"},
            r"unknown decoder of fcrn 'upprojection': did you mean upproj",
        ),
        (
            {"name": "fcrn", "encoder": "resnet5"},
            r"unknown encoder of fcrn 'resnet5': did you mean resnet50",
        ),
        (
            {"name": "segnet", "decoder": "upproj"},
            r"segnet has no choice of decoder, got 'upproj'; leave it out",
        ),
        (
            {"name": "fcrn", "options": {"paddings": "textbook"}},
            r"unknown option of fcrn 'paddings': did you mean padding\?",
        ),
        (
            {"name": "fcrn", "options": {"padding": "text"}},
            r"unknown padding 'text': did you mean textbook\?",
        ),
        (
            {"name": "segnet", "options": {"width": "wide"}},
            r"width is 'wide'; give a number above 0",
        ),
        (
            {"name": "segnet", "options": {"classes": "1.5"}},
            r"classes is '1.5'; give a whole number above 0",
        ),
    ],
)
def test_unknown_names_and_values_are_refused(arguments: dict[str, str], line: str) -> None:
    arguments = dict(arguments)
    with pytest.raises(EdgeupError, match=line):
        build_network(arguments.pop("name"), **arguments)


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (positive_number, ["0", "-1", "nan", "inf", "", "1x"]),
        (positive_integer, ["0", "-1", "1.0", "", "²", "9999999999", "0x1"]),
    ],
)
def test_numbers_that_are_none(parse: Callable[[str], float], texts: list[str]) -> None:
    assert parse("3") == 3
    for text in texts:
        with pytest.raises(EdgeupError, match=r"give a .*number above 0"):
            Option("1", None, "", parse).read("width", text)


@pytest.mark.parametrize(
    ("name", "shape", "options", "line"),
    [
        (
            "fastdepth",
            (1, 3, 224, 230),
            {},
            r"input size 224x230 does not suit fastdepth: height and width must be multiples of "
            r"32; the nearest that do are 224x224, 224x256$",
        ),
        (
            "unet",
            (1, 1, 571, 572),
            {},
            r"pooling 1 meets 567, which is odd; the nearest that do are 556x572, 572x572$",
        ),
        (
            "unet",
            (1, 1, 582, 572),
            {},
            r"pooling 2 meets 285, which is odd; the nearest that do are 572x572, 588x572$",
        ),
        (
            "unet",
            (1, 1, 60, 60),
            {},
            r"nothing is left .* the nearest that do are 188x188$",
        ),
        (
            "unet",
            (1, 1, 40, 100),
            {"padding": "same"},
            r"pooling 4 meets 5, which is odd; the nearest that do are "
            r"32x96, 32x112, 48x96, 48x112$",
        ),
        (
            "deconvnet",
            (1, 3, 192, 224),
            {},
            r"fc6 is 7x7, and its input has 6; the nearest that do are 193x224$",
        ),
        ("segnet", (1, 4, 64, 64), {}, r"segnet takes 3 channels, got 4 in 1x4x64x64$"),
        (
            "segnet",
            (3, 64, 64),
            {},
            r"an input of 4 axes, each at least 1, as 1x3x360x480; got 3x64x64",
        ),
        ("segnet", (1, 3, 0, 64), {}, r"each at least 1, .*; got 1x3x0x64"),
        ("fcrn", (1, 3, 64, 64), {"pool": "caffe"}, r"unknown pool 'caffe'"),
    ],
)
def test_input_sizes_that_do_not_work_out(
    name: str, shape: tuple[int, ...], options: dict[str, str], line: str
) -> None:
    with pytest.raises(EdgeupError, match=line):
        check_network_input(name, shape, options=options)


@pytest.mark.parametrize("size", [1, 2, 5, 33])
@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s", "segnet", "fcrn"])
def test_networks_that_take_any_size_do(name: str, size: int) -> None:
    check_network_input(name, (2, 3, size, 40))
    output = on_meta(name)(torch.empty(2, 3, size, 40, device="meta"))
    wanted = (16 * -(-size // 32), 32) if name == "fcrn" else (size, 40)
    assert tuple(output.shape[2:]) == wanted


@pytest.mark.parametrize(
    ("name", "options"),
    [("unet", {}), ("unet", {"padding": "same"}), ("deconvnet", {})],
)
def test_what_is_refused_is_what_fails(name: str, options: dict[str, str]) -> None:
    network = NETWORKS[name]
    module = on_meta(name, **options)
    settings = network.settings(None, None, options)
    sides = range(184, 206) if name == "unet" and not options else range(190, 196)
    verdicts = set()
    for side in sides:
        fits = network.fits(side, settings) is None
        try:
            output = module(torch.empty(1, network.input_shape[1], side, side, device="meta"))
            works = min(output.shape) > 0
        except RuntimeError:
            works = False
        # Valid U-Net runs on some odd maps, with halves that are one pixel apart.
        assert works or not fits, side
        assert fits or not works or (name == "unet" and not options), side
        verdicts.add(fits)
    assert verdicts == {True, False}


def test_find_network_is_the_table() -> None:
    assert find_network("unet") is NETWORKS["unet"]


def test_costs_of_the_smallest_entry_are_counted_on_meta() -> None:
    module = on_meta("segnet", width="0.5")
    assert 7e6 < parameters(module) < 8e6
    assert 26e9 < macs(module, [(1, 3, 360, 480)]) < 28e9

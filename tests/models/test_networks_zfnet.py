from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import NETWORKS, build_network, check_network_input
from edgeup.models.zfnet_pooling import pool_with_switches, unpool_by_switches

# Written out once more: output channels, kernel, stride, padding, whether a pooling comes before.
LAYERS = [
    (96, 7, 2, 1, False),
    (256, 5, 2, 0, True),
    (384, 3, 1, 1, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
]
SIDES = [110, 26, 13, 13, 13]  # of each layer's maps, at 224x224


def on_meta(layer: int) -> nn.Module:
    with torch.device("meta"):
        return build_network("zfnet", options={"layer": str(layer)})


def small(layer: int, channel: int = 2, size: tuple[int, int] = (65, 50)) -> nn.Module:
    options = {"layer": str(layer), "channel": str(channel), "width": "0.0625"}
    module = build_network("zfnet", options=options)
    initialise(module, layer, [picture(0, size)])
    return module


def picture(seed: int, size: tuple[int, int] = (65, 50)) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layer", [1, 2, 3, 4, 5])
def test_parameters_and_macs(layer: int) -> None:
    """Each convolution of k x k works once per output pixel on the way up.

    On the way down each pixel of the same map meets the same taps, so the work is the same again.
    At 224x224: (224 + 2 - 7)//2 + 1 = 110, pooled 55; (55 - 5)//2 + 1 = 26, pooled 13.
    """
    weights = biases = work = 0
    before = 3
    for (channels, kernel, *_), side in list(zip(LAYERS, SIDES, strict=True))[:layer]:
        weights += kernel**2 * before * channels
        biases += channels
        work += kernel**2 * before * channels * side**2
        before = channels
    module = on_meta(layer)
    assert parameters(module) == weights + biases
    assert macs(module, [(1, 3, 224, 224)]) == 2 * work


def test_sides_of_the_maps() -> None:
    module = on_meta(5)
    sides: list[int] = []
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_hook(lambda _, __, output: sides.append(output.shape[3]))
    output = module(torch.empty(1, 3, 224, 224, device="meta"))
    assert sides == SIDES
    assert tuple(output.shape) == (1, 3, 224, 224)


def loops_pool(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Maxima of 3x3 windows every 2 pixels, cut at the far side, and the rows and columns."""
    n, c, height, width = x.shape
    rows, columns = (-(-(side - 3) // 2) + 1 for side in (height, width))
    values = np.empty((n, c, rows, columns))
    places = np.empty((n, c, rows, columns, 2), np.int64)
    for at in np.ndindex(n, c, rows, columns):
        top, left = 2 * at[2], 2 * at[3]
        window = x[at[0], at[1], top : top + 3, left : left + 3]
        i, j = np.unravel_index(window.argmax(), window.shape)
        values[at] = window[i, j]
        places[at] = top + i, left + j
    return values, places


def loops_unpool(
    y: NDArray[np.float64], places: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float64]:
    x = np.zeros((*y.shape[:2], *size))
    for at in np.ndindex(*y.shape):
        x[at[0], at[1], places[at][0], places[at][1]] += y[at]
    return x


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    levels=st.sampled_from([2, 4, 1000]),
    seed=st.integers(0, 1000),
)
def test_pooling_and_unpooling_against_loops(
    height: int, width: int, levels: int, seed: int
) -> None:
    """Few levels make ties, also at zero, which is what a partial window is filled with."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, levels, (2, 3, height, width)).astype(np.float64)
    values, switches = pool_with_switches(torch.from_numpy(x))
    expected, places = loops_pool(x)
    np.testing.assert_array_equal(values.numpy(), expected)

    back = draw.integers(1, 100, expected.shape).astype(np.float64)
    got = unpool_by_switches(torch.from_numpy(back), switches, (height, width))
    np.testing.assert_array_equal(got.numpy(), loops_unpool(back, places, (height, width)))
    assert got.sum() == back.sum() > 0


def test_a_maximum_of_four_windows_gets_four_values() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    _, switches = pool_with_switches(x)
    back = torch.tensor([[[[1.0, 20.0], [300.0, 4000.0]]]])
    expected = torch.zeros(1, 1, 5, 5)
    expected[0, 0, 2, 2] = 4321
    torch.testing.assert_close(unpool_by_switches(back, switches, (5, 5)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(8, 11), (9, 6)])
def test_unpooling_is_the_gradient_of_max_pooling(size: tuple[int, int]) -> None:
    x = picture(1, size).double().requires_grad_()
    y = F.max_pool2d(x, 3, 2, ceil_mode=True)
    back = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, x, back)
    values, switches = pool_with_switches(x.detach())
    torch.testing.assert_close(values, y.detach(), rtol=0, atol=0)
    got = unpool_by_switches(back, switches, size)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [(65, 50), (64, 71)])
@pytest.mark.parametrize("layer", [1, 2, 3, 4, 5])
def test_wiring_against_gradients(layer: int, size: tuple[int, int]) -> None:
    """Filters and unpooling are gradients of the layers they undo; between them is a ReLU.

    So each step back is autograd's, of one layer at a time, on what came from the step before.
    """
    channel = 3
    module, image = small(layer, channel, size).double(), picture(3, size).double()
    state = list(module.state_dict().values())
    steps: list[tuple[str, Tensor, Tensor]] = []
    x = image
    for (_, _, stride, padding, pools), weight, bias in zip(
        LAYERS[:layer], state[::2], state[1::2], strict=True
    ):
        if pools:
            before = x.detach().requires_grad_()
            x = F.max_pool2d(before, 3, 2, ceil_mode=True)
            steps.append(("pool", before, x))
        before = x.detach().requires_grad_()
        x = F.conv2d(before, weight, bias, stride, padding)
        steps.append(("conv", before, x))
        x = x.clamp_min(0)

    back = torch.zeros_like(x)
    back[:, channel] = x[:, channel].detach()
    assert back.any()
    for i, (kind, before, after) in reversed(list(enumerate(steps))):
        (back,) = torch.autograd.grad(after, before, back)
        if i > 0 and (kind == "pool" or steps[i - 1][0] == "conv"):
            back = back.clamp_min(0)
    with torch.no_grad():
        got = module(image)
    assert got.min() < 0 < got.max(), "a ReLU on the picture would go unnoticed"
    torch.testing.assert_close(got, back, rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("layer", [1, 5])
def test_channels_and_pictures_matter(layer: int) -> None:
    module = small(layer, channel=0)
    other = small(layer, channel=1)
    other.load_state_dict(module.state_dict())  # the choice is no weight
    output = module(picture(4))
    assert output.flatten(2).std(2).min() > 1e-3
    for different in (other(picture(4)), module(picture(5))):
        assert (output - different).std() > 0.3 * output.std()


@torch.no_grad()
@pytest.mark.parametrize("layer", [1, 3])
def test_export_traces_it(layer: int) -> None:
    module, image = small(layer), picture(6)
    program = torch.export.export(module, (image,))
    scale = module(image).abs().max().item()
    torch.testing.assert_close(program.module()(image), module(image), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"layer": "6"}, r"unknown layer '6': there is 5, 4, 3, 2, 1$"),
        ({"channel": "-1"}, r"channel is '-1'; give a whole number, 0 or above$"),
        (
            {"channel": "256"},
            r"channel is 256, but layer 5 of zfnet has 256 at width 1; give 0 to 255$",
        ),
        (
            {"layer": "3", "channel": "24", "width": "0.0625"},
            r"channel is 24, but layer 3 of zfnet has 24 at width 0.0625; give 0 to 23$",
        ),
    ],
)
def test_maps_that_there_are_not_are_refused(options: dict[str, str], line: str) -> None:
    with torch.device("meta"), pytest.raises(EdgeupError, match=line):
        build_network("zfnet", options=options)


@pytest.mark.parametrize(
    ("shape", "options", "line"),
    [
        (
            (1, 3, 30, 224),
            {},
            r"30x224 does not suit zfnet: the pooling before convolution 3 is 3x3, and its input "
            r"has 1; the nearest that do are 31x224$",
        ),
        (
            (1, 3, 20, 224),
            {"layer": "2"},
            r"convolution 2 is 5x5, and its input has 4; the nearest that do are 23x224$",
        ),
        ((1, 3, 4, 8), {"layer": "1"}, r"convolution 1 is 7x7, and its input has 4; .* 5x8$"),
        ((1, 1, 224, 224), {}, r"zfnet takes 3 channels, got 1 in 1x1x224x224$"),
    ],
)
def test_pictures_that_are_too_small_are_refused(
    shape: tuple[int, ...], options: dict[str, str], line: str
) -> None:
    with pytest.raises(EdgeupError, match=line):
        check_network_input("zfnet", shape, options=options)


@torch.no_grad()
@pytest.mark.parametrize("layer", [1, 2, 3, 5])
def test_what_is_refused_is_what_fails(layer: int) -> None:
    module = on_meta(layer)
    verdicts = set()
    for side in range(1, 36):
        fits = NETWORKS["zfnet"].fits(side, {"layer": layer}) is None
        try:
            output = module(torch.empty(1, 3, side, 40, device="meta"))
            works = tuple(output.shape) == (1, 3, side, 40)
        except RuntimeError:
            works = False
        assert fits == works, side
        verdicts.add(fits)
    assert verdicts == {True, False}

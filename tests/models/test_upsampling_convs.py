"""NNConv, BLConv, sub-pixel convolution and its inverse, ICNR, average downsampling."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.downsampling import AverageDownsample
from edgeup.models.upsampling.nnconv import BLConv, NNConv
from edgeup.models.upsampling.subpixel import SubpixelConv, UnshuffleConv, icnr_

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]
Fill = Callable[[nn.Module, int], nn.Module]

CLOSE = {"rtol": 0, "atol": 1e-10}
maps = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
outputs = st.integers(1, 3)
factors = st.integers(2, 3)
kernels = st.sampled_from([1, 3, 5])
seeds = st.integers(0, 2**31 - 1)


def arrays(module: nn.Module) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def evaluate(module: nn.Module, x: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@settings(max_examples=15, deadline=None)
@given(shape=maps, outputs=outputs, kernel=kernels, factor=factors, seed=seeds)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("module", [NNConv, BLConv])
def test_nnconv_and_blconv_convolve_then_resize(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    module: type[NNConv],
    depthwise: bool,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: int,
    factor: int,
    seed: int,
) -> None:
    block = module(shape[1], outputs, kernel, depthwise, factor).double().eval()
    randomised(block, seed)
    y = x = normal(seed, *shape)
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [c.groups for c in convs] == ([shape[1], 1] if depthwise else [1])
    for conv, norm in zip(convs, norms, strict=True):
        y = reference.conv(y, arrays(conv)["weight"], groups=conv.groups)
        y = reference.relu(reference.batch_norm(y, arrays(norm), 1e-5))
    if module is BLConv:
        lines = [reference.linear_matrix(n, n * factor, factor) for n in shape[2:]]
        y = reference.resize(y, lines)
    else:
        y = np.kron(y, np.ones((1, 1, factor, factor)))
    np.testing.assert_allclose(evaluate(block, x), y, **CLOSE)


@settings(max_examples=20, deadline=None)
@given(shape=maps, outputs=outputs, kernel=kernels, factor=factors, bias=st.booleans(), seed=seeds)
@pytest.mark.parametrize("depthwise", [False, True])
def test_subpixel_convolution_and_its_inverse_arrangement(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    depthwise: bool,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: int,
    factor: int,
    bias: bool,
    seed: int,
) -> None:
    def convolved(x: Any, block: nn.Module) -> Any:
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv2d)):
            weights = arrays(conv)
            x = reference.conv(x, weights["weight"], weights.get("bias"), groups=conv.groups)
        return x

    n, c, h, w = shape
    up = SubpixelConv(c, outputs, factor, kernel, depthwise=depthwise, bias=bias).double()
    randomised(up, seed)
    x = normal(seed, *shape)
    expected = reference.pixel_shuffled(convolved(x, up), factor)
    np.testing.assert_allclose(evaluate(up, x), expected, **CLOSE)

    down = UnshuffleConv(c, outputs, factor, kernel, depthwise=depthwise, bias=bias).double()
    randomised(down, seed)
    x = normal(seed, n, c, h * factor, w * factor)
    expected = convolved(reference.pixel_unshuffled(x, factor), down)
    np.testing.assert_allclose(evaluate(down, x), expected, **CLOSE)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("factor", [2, 3])
def test_icnr_starts_as_nearest_resize_of_a_convolution(
    normal: Normal, depthwise: bool, factor: int
) -> None:
    torch.manual_seed(0)
    block = SubpixelConv(3, 2, factor, depthwise=depthwise, icnr=True)
    x = torch.from_numpy(normal(0, 1, 3, 4, 5)).float()
    *convs, _ = block
    with torch.no_grad():
        wide = nn.Sequential(*convs)(x)
        y = block(x)
    # One convolution: any phase of the wide one.
    resized = F.interpolate(wide[:, :: factor**2], scale_factor=factor, mode="nearest")
    assert y.std() > 0.1
    torch.testing.assert_close(y, resized, rtol=0, atol=1e-6)
    plain = SubpixelConv(3, 2, factor, depthwise=depthwise)(x)
    corner = plain[..., ::factor, ::factor]
    assert (plain[..., 1::factor, 1::factor] - corner).abs().max() > 1e-3


def test_icnr_repeats_what_the_initialiser_draws() -> None:
    weight = torch.zeros(8, 3, 1, 1)
    icnr_(weight, 2, lambda one: one.copy_(torch.arange(6.0).view(2, 3, 1, 1)))
    assert weight[:, 0].flatten().tolist() == [0, 0, 0, 0, 3, 3, 3, 3]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(3, 7), min_size=1, max_size=3), factor=factors, seed=seeds)
def test_average_downsampling_is_the_mean_of_windows(
    reference: ModuleType, normal: Normal, run: Normal, sizes: list[int], factor: int, seed: int
) -> None:
    x = normal(seed, 2, 2, *sizes)
    expected = reference.window_means(x, factor)
    np.testing.assert_allclose(run(AverageDownsample(factor), x), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (lambda: NNConv(2, 3, kernel=4), "only an odd one keeps the size, give 5"),
        (lambda: NNConv(2, 3, factor=1), "factor is 1"),
        (lambda: SubpixelConv(2, 3, factor=0), "factor is 0"),
        (lambda: SubpixelConv(2, 3, kernel=2), "only an odd one"),
        (lambda: UnshuffleConv(2, 3, factor=1), "factor is 1"),
        (lambda: icnr_(torch.zeros(6, 1, 1, 1), 2), "6 outputs; wanted a multiple of 2² = 4"),
        (lambda: AverageDownsample(1), "factor is 1"),
        (lambda: AverageDownsample(2)(torch.ones(2, 2)), "the input has 0 spatial axes"),
    ],
)
def test_impossible_requests_are_refused(attempt: Callable[[], object], reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason):
        attempt()

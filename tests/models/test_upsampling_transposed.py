"""Transposed convolution against scatter-add in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.transposed import (
    BilinearTransposedConv,
    TransposedConv,
    bilinear_kernel,
)

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]
Fill = Callable[[nn.Module, int], nn.Module]


@st.composite
def axes(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    """Size, kernel, stride, padding, output padding and dilation of 1 to 3 axes."""
    rank = draw(st.integers(1, 3))
    one: list[dict[str, int]] = []
    for _ in range(rank):
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        axis = {
            "size": draw(st.integers(1, 3)),
            "kernel_size": draw(st.integers(1, 4)),
            "stride": stride,
            "padding": draw(st.integers(0, 2)),
            "output_padding": draw(st.integers(0, max(stride, dilation) - 1)),
            "dilation": dilation,
        }
        length = (axis["size"] - 1) * stride - 2 * axis["padding"] + axis["output_padding"]
        assume(length + dilation * (axis["kernel_size"] - 1) + 1 > 0)
        one.append(axis)
    return {key: tuple(axis[key] for axis in one) for key in one[0]}


@settings(max_examples=60, deadline=None)
@given(axes=axes(), groups=st.integers(1, 3), bias=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_transposed_convolution_is_scatter_add(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    randomised: Fill,
    axes: dict[str, tuple[int, ...]],
    groups: int,
    bias: bool,
    seed: int,
) -> None:
    sizes = axes.pop("size")
    module = TransposedConv(
        2 * groups, groups, groups=groups, bias=bias, rank=len(sizes), **axes
    ).double()
    randomised(module, seed)
    x = normal(seed, 2, 2 * groups, *sizes)
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    expected = reference.conv_transpose(
        x,
        weights["conv.weight"],
        weights.get("conv.bias"),
        axes["stride"],
        axes["padding"],
        axes["output_padding"],
        axes["dilation"],
        groups,
    )
    with torch.no_grad():
        y = module(torch.from_numpy(x)).numpy()
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", range(1, 9))
def test_bilinear_kernel_is_fcns(reference: ModuleType, size: int) -> None:
    np.testing.assert_allclose(
        bilinear_kernel(size).numpy(), reference.bilinear_kernel(size), rtol=1e-7, atol=0
    )


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 3),
    stride=st.integers(1, 4),
    kernel=st.integers(1, 6),
    padding=st.integers(0, 1),
    seed=st.integers(0, 2**31 - 1),
)
def test_frozen_bilinear_dense_and_depthwise(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    channels: int,
    stride: int,
    kernel: int,
    padding: int,
    seed: int,
) -> None:
    assume(2 * stride + kernel - 2 * padding > 0)
    x = normal(seed, 1, channels, 3, 4)
    dense = BilinearTransposedConv(channels, kernel, stride, padding)
    depthwise = BilinearTransposedConv(channels, kernel, stride, padding, depthwise=True)
    weight = np.zeros((channels, channels, kernel, kernel))
    weight[range(channels), range(channels)] = reference.bilinear_kernel(kernel)
    assert list(dense.parameters()) == []
    assert dense.state_dict()["weight"].shape == weight.shape
    assert depthwise.state_dict()["weight"].shape == (channels, 1, kernel, kernel)
    two = (stride, stride), (padding, padding), (0, 0), (1, 1), 1
    expected = reference.conv_transpose(x, weight, None, *two)
    # The kernel is kept in float32, where thirds and fifths are rounded.
    np.testing.assert_allclose(run(dense, x), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(run(depthwise, x), run(dense, x))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_frozen_bilinear_is_half_pixel_resize_inside(normal: Normal, stride: int) -> None:
    x = torch.from_numpy(normal(0, 1, 2, 4, 5)).float()
    y = BilinearTransposedConv(2, 2 * stride, stride, stride // 2)(x)
    resized = F.interpolate(x, scale_factor=stride, mode="bilinear")
    inside = slice(stride // 2, -(stride // 2))
    assert y.shape == resized.shape
    torch.testing.assert_close(
        y[..., inside, inside], resized[..., inside, inside], rtol=0, atol=1e-6
    )
    assert (y - resized).abs().max() > 0.1, "at the border zeros come in"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"kernel_size": 3, "output_padding": 2}, "output_padding 2 reaches the larger of"),
        ({"kernel_size": 3, "groups": 3}, "groups 3 does not divide the channels 4 and 6"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size has 3 values"),
        ({"kernel_size": 0}, "integers of at least 1"),
        ({"kernel_size": 3, "padding": -1}, "integers of at least 0"),
        ({"kernel_size": 3, "rank": 4}, "rank is 4"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason):
        TransposedConv(4, 6, **arguments)

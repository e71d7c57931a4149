"""Up-convolution and up-projection, plain and fast: definition, equality, conversions."""

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
from edgeup.models import blocks
from edgeup.models.upsampling.fast_upconv import FastUpConv
from edgeup.models.upsampling.phase_kernels import (
    Padding,
    join_kernels,
    split_kernel,
    transposed_kernel,
)
from edgeup.models.upsampling.upconv import MonodepthUpConv, UpConv
from edgeup.models.upsampling.upproj import FastUpProj
from edgeup.models.upsampling.zero_insertion import ZeroInsertion

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]
Fill = Callable[[nn.Module, int], nn.Module]

PADDINGS: tuple[Padding, ...] = ("textbook", "published")
CLOSE = {"rtol": 0, "atol": 1e-11}
maps = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
outputs = st.integers(1, 3)
seeds = st.integers(0, 2**31 - 1)


def arrays(module: nn.Module) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def fast_by_definition(
    reference: ModuleType, x: Any, block: FastUpConv, padding: Padding, relu: bool
) -> Any:
    """FCRN's network.py, conv by conv: two taps have zeros before (published) or after."""
    two = {"published": (1, 0), "textbook": (0, 1)}[padding]
    pads = {"a": ((1, 1), (1, 1)), "b": (two, (1, 1)), "c": ((1, 1), two), "d": (two, two)}
    weights = arrays(block)
    phases = [
        reference.conv(x, weights[f"conv_{k}.weight"], weights.get(f"conv_{k}.bias"), pads[k])
        for k in "abcd"
    ]
    y = reference.interleaved(*phases)
    if isinstance(block.norm, nn.BatchNorm2d):
        y = reference.batch_norm(y, arrays(block.norm), block.norm.eps)
    return reference.relu(y) if relu else y


@settings(max_examples=20, deadline=None)
@given(
    shape=maps,
    outputs=outputs,
    kernel=st.sampled_from([1, 3, 5]),
    norm=st.booleans(),
    bias=st.booleans(),
    seed=seeds,
)
def test_upconv_is_unpool_convolve_normalise_relu(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: int,
    norm: bool,
    bias: bool,
    seed: int,
) -> None:
    block = UpConv(shape[1], outputs, kernel, bias=bias, norm=norm, eps=1e-4).double().eval()
    randomised(block, seed)
    x, weights = normal(seed, *shape), arrays(block)
    y = reference.zero_inserted(x, 2, (0, 0))
    y = reference.conv(y, weights["1.weight"], weights.get("1.bias"))
    if norm:
        y = reference.batch_norm(y, arrays(block[2]), 1e-4)
    with torch.no_grad():
        got = block(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, reference.relu(y), **CLOSE)


def test_upconv_takes_the_checkpoint_keys_of_fastdepths_block() -> None:
    assert list(UpConv(2, 3).state_dict()) == list(blocks.up_conv(2, 3).state_dict())


@settings(max_examples=30, deadline=None)
@given(
    shape=maps,
    outputs=outputs,
    padding=st.sampled_from(PADDINGS),
    norm=st.booleans(),
    relu=st.booleans(),
    bias=st.booleans(),
    seed=seeds,
)
def test_fast_upconv_is_four_convolutions_interleaved(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    padding: Padding,
    norm: bool,
    relu: bool,
    bias: bool,
    seed: int,
) -> None:
    block = FastUpConv(shape[1], outputs, padding=padding, bias=bias, norm=norm, relu=relu)
    randomised(block.double().eval(), seed)
    x = normal(seed, *shape)
    with torch.no_grad():
        got = block(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, fast_by_definition(reference, x, block, padding, relu), **CLOSE)


@settings(max_examples=30, deadline=None)
@given(
    shape=maps,
    outputs=outputs,
    norm=st.booleans(),
    relu=st.booleans(),
    bias=st.booleans(),
    seed=seeds,
)
def test_upconv_and_its_fast_form_are_equal_both_ways(
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    norm: bool,
    relu: bool,
    bias: bool,
    seed: int,
) -> None:
    block = UpConv(shape[1], outputs, bias=bias, norm=norm, relu=relu, eps=1e-4).double().eval()
    randomised(block, seed)
    fast = FastUpConv.from_upconv(block)
    back = fast.to_upconv()
    x = torch.from_numpy(normal(seed, *shape))
    with torch.no_grad():
        torch.testing.assert_close(fast(x), block(x), **CLOSE)
    # There and back, every weight is the same bit for bit.
    assert list(back.state_dict()) == list(block.state_dict())
    for name, tensor in block.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


@settings(max_examples=30, deadline=None)
@given(shape=maps, outputs=outputs, padding=st.sampled_from(PADDINGS), seed=seeds)
def test_fast_upconv_equals_one_transposed_convolution(
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    padding: Padding,
    seed: int,
) -> None:
    block = FastUpConv(shape[1], outputs, padding=padding, norm=False, relu=False).double()
    randomised(block, seed)
    x = torch.from_numpy(normal(seed, *shape))
    with torch.no_grad():
        weight = transposed_kernel(block.kernels(), padding)
        extra = 1 if padding == "textbook" else 0
        y = F.conv_transpose2d(x, weight, stride=2, padding=2, output_padding=extra)
        torch.testing.assert_close(y, block(x), **CLOSE)
    assert weight.shape[2:] == ((5, 5) if padding == "textbook" else (6, 6))


def test_the_two_paddings_are_not_equal(normal: Normal, randomised: Fill) -> None:
    block = randomised(FastUpConv(2, 3, padding="textbook", norm=False).double(), 0)
    other = FastUpConv(2, 3, padding="published", norm=False).double()
    other.load_state_dict(block.state_dict())
    x = torch.from_numpy(normal(0, 1, 2, 5, 6))
    assert (block(x) - other(x)).abs().max() > 1


def test_splitting_moves_every_weight_once() -> None:
    kernel = torch.arange(1.0, 51.0).view(1, 2, 5, 5)
    kernels = split_kernel(kernel)
    assert [tuple(part.shape[2:]) for part in kernels] == [(3, 3), (2, 3), (3, 2), (2, 2)]
    together = torch.cat([part.flatten() for part in kernels]).sort().values
    assert torch.equal(together, kernel.flatten())
    assert torch.equal(join_kernels(kernels), kernel)
    assert kernels.b[0, 0].tolist() == [[6, 8, 10], [16, 18, 20]]


@settings(max_examples=15, deadline=None)
@given(
    shape=maps, outputs=outputs, padding=st.sampled_from(PADDINGS), bias=st.booleans(), seed=seeds
)
def test_fast_upproj_is_its_definition(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    padding: Padding,
    bias: bool,
    seed: int,
) -> None:
    block = FastUpProj(shape[1], outputs, padding=padding, bias=bias, eps=1e-4).double().eval()
    randomised(block, seed)
    x, weights = normal(seed, *shape), arrays(block)
    first = fast_by_definition(reference, x, block.up1, padding, relu=True)
    first = reference.conv(first, weights["tail.0.weight"], weights.get("tail.0.bias"))
    first = reference.batch_norm(first, arrays(block.tail[1]), 1e-4)
    second = fast_by_definition(reference, x, block.up2, padding, relu=False)
    with torch.no_grad():
        got = block(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, reference.relu(first + second), rtol=1e-11, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(shape=maps, outputs=outputs, seed=seeds)
def test_upproj_and_its_fast_form_are_equal(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    seed: int,
) -> None:
    block = blocks.UpProjection(shape[1], outputs).double().eval()
    randomised(block, seed)
    x = normal(seed, *shape)
    unpooled = reference.zero_inserted(x, 2, (0, 0))

    def conv_norm(y: Any, branch: nn.Module, at: int) -> Any:
        conv, norm = list(branch.children())[at : at + 2]
        y = reference.conv(y, arrays(conv)["weight"])
        return reference.batch_norm(y, arrays(norm), 1e-5)

    first = conv_norm(reference.relu(conv_norm(unpooled, block.branch1, 0)), block.branch1, 3)
    expected = reference.relu(first + conv_norm(unpooled, block.branch2, 0))
    with torch.no_grad():
        plain = block(torch.from_numpy(x)).numpy()
        fast = FastUpProj.from_upproj(block)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(plain, expected, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(fast, expected, rtol=1e-11, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(shape=maps, outputs=outputs, factor=st.integers(2, 3), seed=seeds)
def test_monodepth_upconv_is_nearest_convolution_elu(
    reference: ModuleType,
    normal: Normal,
    randomised: Fill,
    shape: tuple[int, int, int, int],
    outputs: int,
    factor: int,
    seed: int,
) -> None:
    block = MonodepthUpConv(shape[1], outputs, factor=factor).double()
    randomised(block, seed)
    x, weights = normal(seed, *shape), arrays(block)
    resized = np.kron(x, np.ones((1, 1, factor, factor)))
    with torch.no_grad():
        got = block(torch.from_numpy(x)).numpy()
    expected = reference.elu(reference.conv(resized, weights["1.weight"], weights["1.bias"]))
    np.testing.assert_allclose(got, expected, **CLOSE)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (lambda: UpConv(2, 3, kernel=4), "only an odd one keeps the size"),
        (lambda: FastUpConv(2, 3, padding="textbok"), "did you mean textbook"),
        (lambda: FastUpConv.from_upconv(UpConv(2, 3, kernel=3)), "stride 1, padding 2"),
        (
            lambda: FastUpConv.from_upconv(
                nn.Sequential(ZeroInsertion(2, (1, 1)), nn.Conv2d(2, 3, 5, padding=2))
            ),
            "zero insertion of stride 2 to the top left",
        ),
        (
            lambda: FastUpConv.from_upconv(
                nn.Sequential(ZeroInsertion(), nn.Conv2d(2, 3, 5, padding=2), nn.Tanh())
            ),
            "got Conv2d, Tanh; wanted Conv2d, then BatchNorm2d, ReLU",
        ),
        (lambda: FastUpConv.from_upconv(nn.Sequential()), "the block starts with None"),
        (lambda: FastUpConv.from_upconv(nn.Sequential(ZeroInsertion())), "got no layers"),
        (lambda: FastUpConv.from_conv(nn.Conv2d(4, 4, 5, padding=2, groups=2)), "no groups"),
        (lambda: FastUpConv(2, 3, padding="published").to_upconv(), "is no 5x5 up-convolution"),
        (
            lambda: FastUpConv(2, 3, padding="textbook", bias=True).to_upconv(),
            "different biases",
        ),
        (lambda: split_kernel(torch.ones(1, 1, 3, 3)), "wanted o c 5 5"),
    ],
)
def test_what_cannot_be_converted_is_refused(attempt: Callable[[], object], reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason):
        attempt()

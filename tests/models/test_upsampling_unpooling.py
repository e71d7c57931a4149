"""Pooling with indices or switches, and unpooling, against loops in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.unpooling import (
    AverageUnpool,
    MaxPoolWithIndices,
    MaxUnpool,
    SwitchPool,
    SwitchUnpool,
)
from edgeup.models.upsampling.zero_insertion import ZeroInsertion

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]
seeds = st.integers(0, 2**32 - 1)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    """Size, kernel, stride and padding of 1 to 3 axes."""
    one = []
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, 3))
        padding = draw(st.integers(0, kernel // 2))
        size = draw(st.integers(max(1, kernel - 2 * padding), 5))
        one.append((size, kernel, draw(st.integers(1, 3)), padding))
    names = ("size", "kernel_size", "stride", "padding")
    return dict(zip(names, zip(*one, strict=True), strict=True))


@settings(max_examples=60, deadline=None)
@given(windows=windows(), seed=seeds)
def test_max_pooling_and_unpooling(
    reference: ModuleType, normal: Normal, windows: dict[str, tuple[int, ...]], seed: int
) -> None:
    sizes = windows.pop("size")
    x = normal(seed, 2, 2, *sizes)
    values, indices = reference.max_pool(
        x, windows["kernel_size"], windows["stride"], windows["padding"]
    )
    got, places = MaxPoolWithIndices(rank=len(sizes), **windows)(torch.from_numpy(x))
    np.testing.assert_array_equal(got.numpy(), values)
    np.testing.assert_array_equal(places.numpy(), indices)
    # What comes back is a function of the index, so that overlapping windows agree.
    marked = values + 1
    # PyTorch takes an output size within one stride of the one it computes.
    computed = [
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(
            values.shape[2:],
            windows["stride"],
            windows["padding"],
            windows["kernel_size"],
            strict=True,
        )
    ]
    assume(all(abs(a - b) < s for a, b, s in zip(computed, sizes, windows["stride"], strict=True)))
    back = MaxUnpool(rank=len(sizes), **windows)(torch.from_numpy(marked), places, sizes)
    np.testing.assert_array_equal(back.numpy(), reference.unpooled(marked, indices, sizes))


def test_unpooling_without_an_output_size_fills_whole_windows(
    reference: ModuleType, normal: Normal
) -> None:
    x = normal(1, 1, 2, 4, 6)
    values, indices = MaxPoolWithIndices(2)(torch.from_numpy(x))
    y = MaxUnpool(2)(values, indices)
    expected = reference.unpooled(values.numpy(), indices.numpy(), (4, 6))
    np.testing.assert_array_equal(y.numpy(), expected)


def test_segnets_odd_sizes_come_back_with_an_output_size(normal: Normal) -> None:
    x = torch.from_numpy(normal(2, 1, 2, 45, 6))
    values, indices = MaxPoolWithIndices(2, ceil_mode=True)(x)
    assert values.shape == (1, 2, 23, 3)
    assert MaxUnpool(2)(values, indices, (45, 6)).shape == x.shape


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kernel=st.integers(1, 3),
    seed=seeds,
)
def test_average_unpooling_copies_or_shares(
    normal: Normal, run: Normal, sizes: list[int], kernel: int, seed: int
) -> None:
    x = normal(seed, 2, 2, *sizes)
    window = np.ones((kernel,) * len(sizes))
    expected = np.kron(x, window[None, None])
    np.testing.assert_array_equal(run(AverageUnpool(kernel, rank=len(sizes)), x), expected)
    shared = run(AverageUnpool(kernel, divide=True, rank=len(sizes)), x)
    np.testing.assert_allclose(shared, expected / window.size, rtol=1e-15, atol=0)


def test_average_unpooling_is_inverse_or_adjoint_of_average_pooling(normal: Normal) -> None:
    x, other = (torch.from_numpy(normal(i, 1, 2, *s)) for i, s in enumerate([(3, 4), (6, 12)]))
    unpool, adjoint = AverageUnpool((2, 3)), AverageUnpool((2, 3), divide=True)
    torch.testing.assert_close(F.avg_pool2d(unpool(x), (2, 3)), x)
    torch.testing.assert_close((adjoint(x) * other).sum(), (x * F.avg_pool2d(other, (2, 3))).sum())


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    group=st.integers(1, 3),
    kernel=st.integers(1, 3),
    seed=seeds,
)
def test_switches_over_space_and_channels(
    reference: ModuleType,
    normal: Normal,
    shape: tuple[int, int, int],
    group: int,
    kernel: int,
    seed: int,
) -> None:
    x = normal(seed, 2, *shape)
    values, switches = reference.switch_pool(x, group, kernel)
    got, places = SwitchPool(group, kernel)(torch.from_numpy(x))
    np.testing.assert_array_equal(got.numpy(), values)
    np.testing.assert_array_equal(places.numpy(), switches)
    back = SwitchUnpool(group, kernel)(got, places, shape).numpy()
    expected = reference.unpooled(values[:, None], switches[:, None], shape)[:, 0]
    np.testing.assert_array_equal(back, expected)
    kept = back != 0
    assert kept.sum() == values.size
    np.testing.assert_array_equal(back[kept], x[kept])


def test_switches_keep_the_sign_of_the_largest_magnitude() -> None:
    x = torch.tensor([1.0, -2.0, 3.0, -4.0]).view(1, 1, 2, 2).repeat(1, 2, 1, 1)
    x[0, 1, 0, 0] = 5.0
    values, switches = SwitchPool(1, 2)(x)
    assert values.flatten().tolist() == [-4.0, 5.0]
    values, switches = SwitchPool(2, 2)(x)
    assert (values.item(), switches.item()) == (5.0, 4)
    back = SwitchUnpool(2, 2)(values, switches)
    assert back.shape == x.shape
    assert back.flatten().tolist() == [0, 0, 0, 0, 5, 0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    stride=st.integers(1, 3),
    data=st.data(),
    seed=seeds,
)
def test_zero_insertion_at_any_corner(
    reference: ModuleType,
    normal: Normal,
    sizes: list[int],
    stride: int,
    data: st.DataObject,
    seed: int,
) -> None:
    corner = tuple(data.draw(st.integers(0, stride - 1)) for _ in sizes)
    x = normal(seed, 2, 3, *sizes)
    y = ZeroInsertion(stride, corner)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(y, reference.zero_inserted(x, stride, corner))


@pytest.mark.parametrize("module", [MaxPoolWithIndices, MaxUnpool])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"kernel_size": 3, "padding": 2}, "padding 2 is more than half the kernel 3"),
        ({"kernel_size": 0}, "integers of at least 1"),
        ({"kernel_size": (2, 2), "rank": 1}, "kernel_size has 2 values"),
        ({"kernel_size": 2, "rank": 4}, "rank is 4"),
    ],
)
def test_impossible_windows_are_refused(
    module: Callable[..., object], arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EdgeupError, match=reason):
        module(**arguments)


@pytest.mark.parametrize("module", [SwitchPool, SwitchUnpool])
def test_an_empty_channel_group_is_refused(module: Callable[..., object]) -> None:
    with pytest.raises(EdgeupError, match="group is 0"):
        module(0, 2)

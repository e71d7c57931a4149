"""Zero-insertion unpooling against its definition."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeup.models.upsampling.zero_insertion import ZeroInsertion


def inserted(x: NDArray[Any], stride: int, corner: tuple[int, ...]) -> NDArray[Any]:
    y = np.zeros((*x.shape[:2], *(stride * size for size in x.shape[2:])), x.dtype)
    y[(..., *(slice(offset, None, stride) for offset in corner))] = x
    return y


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], int, tuple[int, ...]]:
    axes = draw(st.integers(1, 3))
    stride = draw(st.integers(1, 4))
    corner = tuple(draw(st.integers(0, stride - 1)) for _ in range(axes))
    shape = [draw(st.integers(1, 4)) for _ in range(axes + 2)]
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32), stride, corner


@settings(max_examples=80, deadline=None)
@given(cases())
def test_values_stand_at_the_corner_of_a_block_of_zeros(
    case: tuple[NDArray[Any], int, tuple[int, ...]],
) -> None:
    x, stride, corner = case
    y = ZeroInsertion(stride, corner)(torch.from_numpy(x))
    np.testing.assert_array_equal(y.numpy(), inserted(x, stride, corner))


def test_the_default_is_the_top_left_of_two_by_two() -> None:
    y = ZeroInsertion()(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    expected = [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert y[0, 0].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_type_stays(dtype: torch.dtype) -> None:
    x = torch.randn(1, 2, 3, 3).to(dtype)
    y = ZeroInsertion()(x)
    assert y.dtype == dtype
    assert torch.equal(y[:, :, ::2, ::2], x)


def test_checkpoints_do_not_hold_it() -> None:
    assert not ZeroInsertion().state_dict()


@pytest.mark.parametrize(
    ("corner", "reason"),
    [
        ((0, 0, 0, 0), "corner (0, 0, 0, 0) has 4 axes, wanted 1, 2 or 3"),
        ((0, 2), "corner (0, 2) is outside of a block of stride 2"),
        ((-1, 0), "corner (-1, 0) is outside of a block of stride 2"),
    ],
)
def test_impossible_corners_are_refused(corner: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        ZeroInsertion(2, corner)

"""Mean and median interpolation against their definition in NumPy."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.mean_median import MeanInterpolation, MedianInterpolation

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]


@settings(max_examples=40, deadline=None)
@given(
    factor=st.integers(2, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize(
    ("module", "summary"),
    [(MeanInterpolation, statistics.fmean), (MedianInterpolation, statistics.median)],
)
def test_inserted_pixels_summarize_the_known_neighbours_that_exist(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    module: type[MeanInterpolation],
    summary: Callable[[list[float]], float],
    factor: int,
    height: int,
    width: int,
    seed: int,
) -> None:
    x = normal(seed, 2, 3, height, width)
    y = run(module(factor), x)
    np.testing.assert_allclose(y, reference.summarized(x, factor, summary), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(y[:, :, ::factor, ::factor], x)


def test_a_worked_example() -> None:
    x = torch.tensor([[[[1.0, 3.0], [5.0, 11.0]]]])
    mean = [[1, 2, 3, 3], [3, 5, 7, 7], [5, 8, 11, 11], [5, 8, 11, 11]]
    assert MeanInterpolation()(x)[0, 0].tolist() == mean
    median = MedianInterpolation()(x)[0, 0]
    assert median[1, 1] == 4.0  # 1 3 5 11: the middle two are 3 and 5
    median[1, 1] = 5.0
    assert median.tolist() == mean


def test_the_median_survives_an_outlier_that_a_sum_would_not() -> None:
    x = torch.tensor([[[[1.0, 2.0], [1e30, 3.0]]]])
    assert MedianInterpolation()(x)[0, 0, 1, 1] == 2.5


@pytest.mark.parametrize("module", [MeanInterpolation, MedianInterpolation])
@pytest.mark.parametrize("factor", [1, 0, -2, 2.0, True])
def test_other_factors_are_refused(module: type[MeanInterpolation], factor: int) -> None:
    with pytest.raises(EdgeupError, match=r"factor is .*integers of at least 2"):
        module(factor)

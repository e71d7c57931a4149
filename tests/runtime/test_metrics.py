from __future__ import annotations

import math

import numpy as np
import pytest

from edgeup.runtime.metrics import METRICS, cosine, max_abs, max_rel, mean_abs, rmse, worst_of

REFERENCE = np.array([1.0, -2.0, 4.0, 0.0])
CANDIDATE = np.array([1.5, -2.0, 3.0, 0.25])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (max_abs, 1.0),  # |3 - 4|
        (mean_abs, 0.4375),  # (0.5 + 0 + 1 + 0.25) / 4
        (max_rel, 0.5),  # 0.5 / 1; the 0 has no relative error
        (rmse, math.sqrt(1.3125 / 4)),  # 0.25 + 0 + 1 + 0.0625
        # 1.5 + 4 + 12 = 17.5; 1 + 4 + 16 = 21; 2.25 + 4 + 9 + 0.0625 = 15.3125
        (cosine, 17.5 / math.sqrt(21 * 15.3125)),
    ],
)
def test_by_hand(metric, expected):
    assert metric(REFERENCE, CANDIDATE) == pytest.approx(expected, rel=1e-15)


def test_equal_arrays():
    values = {name: metric(REFERENCE, REFERENCE) for name, metric in METRICS.items()}
    assert values == {"max_abs": 0, "mean_abs": 0, "max_rel": 0, "rmse": 0, "cosine": 1}


def test_zeros():
    zeros, ones = np.zeros(3), np.ones(3)
    assert max_rel(zeros, zeros) == 0.0
    assert math.isnan(max_rel(zeros, ones))
    assert cosine(zeros, zeros) == 1.0
    assert cosine(zeros, ones) == 0.0
    assert cosine(ones, zeros) == 0.0


def test_opposite_and_orthogonal():
    assert cosine(REFERENCE, -REFERENCE) == -1.0
    assert cosine(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 0.0


def test_no_elements():
    assert all(math.isnan(metric(np.zeros(0), np.zeros(0))) for metric in METRICS.values())


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_squares_neither_overflow_nor_vanish(scale):
    assert rmse(scale * REFERENCE, scale * CANDIDATE) / scale == pytest.approx(
        rmse(REFERENCE, CANDIDATE)
    )
    assert cosine(scale * REFERENCE, scale * CANDIDATE) == pytest.approx(
        cosine(REFERENCE, CANDIDATE)
    )


def test_worst_is_the_smallest_cosine_and_the_largest_error():
    assert worst_of("cosine", [1.0, 0.5, math.nan]) == 0.5
    assert worst_of("rmse", [1.0, 0.5, math.nan]) == 1.0
    assert math.isnan(worst_of("rmse", [math.nan]))

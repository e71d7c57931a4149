from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.runtime.statistics import (
    Summary,
    histogram,
    least_for_interval,
    median_interval,
    percentile,
)


def interval(values, **settings):
    """Of enough values for one."""
    found = median_interval(values, **settings)
    assert found is not None
    return found


def steady(n=200, seed=0):
    return np.random.default_rng(seed).normal(10, 0.05, n)


def test_a_summary_by_hand():
    found = Summary.of(np.arange(1.0, 201.0)[::-1], (50, 99, 99.9))
    assert (found.median, found.mean, found.min, found.max) == (100.5, 100.5, 1, 200)
    assert found.std == pytest.approx(np.sqrt((200**2 - 1) / 12))
    assert found.cv == pytest.approx(found.std / 100.5)
    assert found.percentiles == {50: 100, 99: 198, 99.9: 200}
    assert found.drift == pytest.approx(50.5 / 150.5 - 1)


@pytest.mark.parametrize("times", [[], [1.0, np.nan], [0.0, 1.0]])
def test_times_that_are_none_are_refused(times):
    with pytest.raises(EdgeupError, match="cannot be summarized"):
        Summary.of(np.array(times))


def test_steady_times_have_nothing_against_them():
    assert Summary.of(steady()).warnings() == ()


def test_a_coefficient_of_variation_over_two_and_a_half_per_cent_is_told():
    below = np.where(np.arange(200) % 2, 10.0, 10.48) + steady() * 1e-6
    above = np.where(np.arange(200) % 2, 10.0, 10.54) + steady() * 1e-6
    assert Summary.of(below).warnings() == ()
    (line,) = Summary.of(above).warnings()
    assert "unsteady: coefficient of variation 2.6%, over 2.5%" in line


def test_drift_is_told_up_and_down():
    up = Summary.of(np.linspace(10, 12, 400))
    down = Summary.of(np.linspace(12, 10, 400))
    assert up.drift > 0.05
    assert down.drift < -0.05
    assert any("drifted" in line for line in down.warnings())
    small = Summary.of(np.linspace(10, 10.4, 400))
    assert not any("drifted" in line for line in small.warnings())


def test_bimodal_times_widen_the_interval_to_both_modes():
    """Half of the runs take 10 ms, half 20: the median is either."""
    random = np.random.default_rng(3)
    times = np.where(random.random(300) < 0.5, 10.0, 20.0) + random.normal(0, 0.01, 300)
    found = Summary.of(times)
    assert found.interval.low < 11
    assert found.interval.high > 19
    mostly = np.where(random.random(300) < 0.8, 10.0, 20.0) + random.normal(0, 0.01, 300)
    assert Summary.of(mostly).interval.high < 11


def test_a_coarse_clock_is_told_and_a_fine_one_is_not():
    times = steady(400)
    coarse = Summary.of(np.round(times / 0.25) * 0.25)
    assert coarse.step == 0.25
    assert any("clock is coarse" in line for line in coarse.warnings())
    assert Summary.of(np.round(times / 0.001) * 0.001).step is None
    assert Summary.of(times).step is None
    assert Summary.of(np.full(50, 3.0)).step is None  # all equal: no step shows


def test_equal_times_have_an_interval_of_no_width():
    found = interval(np.full(40, 7.0))
    assert (found.low, found.high) == (7.0, 7.0)


@pytest.mark.parametrize(
    ("draw", "truth", "least"),
    [
        (lambda r, n: r.lognormal(0, 0.1, n), 1.0, 0.90),
        (lambda r, n: 1 + r.exponential(1, n), 1 + np.log(2), 0.90),
        (lambda r, n: np.where(r.random(n) < 0.6, 1.0, 2.0) + r.random(n) * 0.1, 1 + 0.5 / 6, 0.90),
        (lambda r, n: np.round(r.normal(10, 1, n)), 10.0, 0.97),  # ties make it hold more often
    ],
    ids=["lognormal", "skewed", "bimodal", "quantised"],
)
@pytest.mark.parametrize("n", [30, 200])
def test_the_interval_holds_the_truth_as_often_as_it_says(draw, truth, least, n):
    random = np.random.default_rng(n)
    held = 0
    for i in range(200):
        found = interval(draw(random, n), seed=i)
        held += found.low <= truth <= found.high
    assert held >= least * 200
    if least < 0.95:
        assert held < 199  # an interval that always holds says nothing


def test_neighbours_that_resemble_each_other_widen_the_interval():
    random = np.random.default_rng(5)
    noise = random.normal(size=400)
    slow = np.zeros(400)
    for i in range(1, 400):
        slow[i] = 0.9 * slow[i - 1] + noise[i]
    mixed = random.permutation(slow)
    wide, narrow = interval(slow + 100), interval(mixed + 100)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_a_smaller_confidence_gives_a_narrower_interval_and_the_seed_decides():
    times = steady(100)
    wide, narrow = interval(times, confidence=0.99), interval(times, confidence=0.5)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert interval(times, seed=4) == interval(times, seed=4)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("n", [8, 9, 12, 17, 30, 101])
def test_the_interval_is_as_sure_as_it_says_however_few_the_values(n, confidence):
    """By the binomial distribution: between its ends, as ranks, the median lies often enough."""
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    found = interval(values, confidence=confidence)
    beyond = sum(comb(n, below) for below in range(int(found.low)))
    beyond += sum(comb(n, above) for above in range(n + 1 - int(found.high)))
    assert 1 - beyond / 2**n >= confidence
    assert n < 12 or (found.low, found.high) != (1, n)


def test_too_few_values_have_no_interval():
    """Of five, all are on one side of the median 6.25 % of the time."""
    assert [least_for_interval(c) for c in (0.5, 0.75, 0.95, 0.99)] == [2, 3, 6, 8]
    assert median_interval(steady(5)) is None
    assert median_interval(steady(6)) is not None
    assert median_interval(steady(7), confidence=0.99) is None
    assert Summary.of(steady(5)).interval is None


@given(st.integers(1, 3000), st.integers(1, 99_999) | st.integers(1, 99).map(lambda p: 1000 * p))
@settings(max_examples=200, deadline=None)
def test_a_percentile_is_the_nearest_rank(n, thousandths):
    """In whole numbers: the least rank of which the share is not below the per cent."""
    rank = -(-n * thousandths // 100_000)
    times = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert percentile(times, thousandths / 1000) == rank


@pytest.mark.parametrize(
    ("percent", "n", "rank"),
    [(99.9, 1000, 999), (99.9, 2000, 1998), (7, 100, 7), (28, 25, 7), (55, 100, 55), (56, 25, 14)],
)
def test_a_rank_is_not_one_more_by_floating_point(percent, n, rank):
    assert percentile(np.arange(1.0, n + 1), percent) == rank


def test_times_whose_median_says_little_are_to_be_measured_again():
    wild = np.random.default_rng(0).lognormal(0, 0.6, 400) * 10
    line, *_ = Summary.of(wild).warnings()
    assert "measure again on a quiet machine" in line
    assert "trust" not in line
    halves = np.concatenate([steady(200) * 1.04, steady(200, 1)])  # neither is in the other's
    shaken = halves + np.where(np.arange(400) % 10 == 0, 1.5, 0.0)
    found = Summary.of(shaken)
    assert (found.halves_agree, found.cv > 0.025, abs(found.drift) < 0.05) == (False, True, True)
    assert any("measure again on a quiet machine" in line for line in found.warnings())
    mixed = Summary.of(np.random.default_rng(1).permutation(shaken))
    assert mixed.halves_agree
    line, *_ = mixed.warnings()
    assert line.endswith("trust the median and its interval rather than the mean")


@given(st.lists(st.floats(0.1, 100), min_size=6, max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_the_median_and_lies_within_the_times(values):
    times = np.array(values)
    found = interval(times)
    assert times.min() <= found.low <= np.median(times) <= found.high <= times.max()


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_a_histogram_counts_every_time_once(values):
    times = np.array(values)
    found = histogram(times)
    assert len(found["edges_ms"]) == len(found["counts"]) + 1
    assert sum(found["counts"]) == times.size
    assert found["edges_ms"] == sorted(found["edges_ms"])
    assert found["edges_ms"][-1] >= times.max()

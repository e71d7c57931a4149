from __future__ import annotations

import json

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.latency import LOADS, Latency, Ratio, ratio, ratio_of_loads
from edgeup.runtime.statistics import percentile


def test_latency_by_hand():
    times = np.arange(1.0, 201.0)[::-1]
    latency = Latency.from_times(times, backend="onnxruntime", device="CPU: x", threads=2)
    assert (latency.iterations, latency.median_ms, latency.mean_ms) == (200, 100.5, 100.5)
    assert (latency.min_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms) == (1, 180, 190, 198)
    assert latency.std_ms == pytest.approx(np.sqrt((200**2 - 1) / 12))
    assert latency.cv == pytest.approx(latency.std_ms / 100.5)
    assert latency.drift == pytest.approx(50.5 / 150.5 - 1)
    document = json.loads(json.dumps(latency.to_json(), allow_nan=False))
    wanted = {"backend", "device", "threads", "iterations", "median_ms", "p90_ms", "p99_ms"}
    assert wanted <= set(document)


def test_a_percentile_is_a_time_that_happened():
    times = np.array([1.0, 2.0, 10.0])
    assert [percentile(times, p) for p in (0.1, 33, 34, 66, 67, 99)] == [1, 1, 2, 2, 10, 10]


def test_one_run_is_enough_for_a_summary():
    latency = Latency.from_times(np.array([4.0]), backend="x", device="y", threads=1)
    assert (latency.p99_ms, latency.std_ms, latency.drift) == (4.0, 0.0, 0.0)
    assert latency.median_interval is None


@pytest.mark.parametrize("times", [[], [1.0, np.nan], [0.0, 1.0]])
def test_times_that_are_none_are_refused(times):
    with pytest.raises(EdgeupError, match="cannot be summarized"):
        Latency.from_times(np.array(times), backend="x", device="y", threads=1)


def test_ratio_cancels_what_a_round_shares():
    random = np.random.default_rng(0)
    load = random.uniform(1, 5, 400)  # the machine is up to five times slower at times
    a, b = 1.2 * load * random.normal(1, 0.01, 400), load * random.normal(1, 0.01, 400)
    found = ratio(a, b)
    assert found.low < 1.2 < found.high
    assert found.high - found.low < 0.01
    assert found.low <= found.median <= found.high
    assert (found.rounds, found.confidence) == (400, 0.95)
    assert ratio(a, b) == found  # seeded


def test_ratio_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    held = 0
    for i in range(60):
        found = ratio(random.lognormal(0, 0.1, 101), random.lognormal(0, 0.1, 101), seed=i)
        held += found.low <= 1.0 <= found.high
    assert 50 <= held < 60  # 57 expected; an interval that always holds says nothing


def test_a_smaller_confidence_gives_a_narrower_interval():
    random = np.random.default_rng(2)
    a, b = random.lognormal(0, 0.1, 60), random.lognormal(0, 0.1, 60)
    wide, narrow = ratio(a, b, confidence=0.99), ratio(a, b, confidence=0.5)
    assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (0, 0), (10, 11)])
def test_a_ratio_needs_rounds_of_both(n, m):
    with pytest.raises(EdgeupError, match=f"needs 6 or more rounds of both, got {n} and {m} times"):
        ratio(np.ones(n), np.ones(m))
    assert ratio(np.ones(6), np.full(6, 2.0)).median == 0.5


def test_a_ratio_over_loads_holds_the_truth_as_often_as_it_says():
    """Loads scatter by 2 %, rounds by 1 %: only the loads tell how sure the ratio is."""
    random = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        loads = []
        for _ in range(LOADS):
            b = random.normal(10, 0.1, 25)
            loads.append((b * 1.1 * np.exp(random.normal(0, 0.02)), b))
        found = ratio_of_loads(loads)
        held += found.low <= 1.1 <= found.high
    assert 290 <= held < 300  # 297 expected at 99 %
    assert (found.rounds, found.confidence) == (25 * LOADS, 0.99)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.98, 1.02, "equal"), (1.0, 1.1, "equal"), (1.01, 1.1, "slower"), (0.9, 0.99, "faster")],
)
def test_what_an_interval_says(low, high, verdict):
    assert Ratio((low + high) / 2, low, high, 0.99, 100).verdict == verdict

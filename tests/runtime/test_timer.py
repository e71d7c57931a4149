from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.latency import Latency
from edgeup.runtime.timer import Budget, Progress, measure, measure_runs

MS = 1_000_000


class Clock:
    """Time passes only when work is done."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def _work(clock, times_ms, log=None, name=""):
    """Work that takes the given times in turn, the last one for ever."""
    times = list(times_ms)

    def run():
        if log is not None:
            log.append(name)
        clock.now += int((times.pop(0) if len(times) > 1 else times[0]) * MS)

    return run


def _budget(**changes):
    return Budget(**{"warmup_s": 0, "warmup_limit_s": 0, "duration_s": 0, **changes})


def test_times_are_those_of_the_clock():
    clock = Clock()
    works = {"a": _work(clock, [3.0]), "b": _work(clock, [5.0])}
    times = measure(works, _budget(min_rounds=4), clock=clock)
    assert list(times) == ["a", "b"]
    np.testing.assert_array_equal(times["a"], [3, 3, 3, 3])
    np.testing.assert_array_equal(times["b"], [5, 5, 5, 5])


def test_what_follows_a_run_is_not_timed():
    clock, log = Clock(), []
    works = {name: _work(clock, [2.0], log, name) for name in "ab"}
    rest = _work(clock, [100.0], log, "rest")
    measured = measure_runs(works, _budget(min_rounds=4), clock=clock, after={"b": rest})
    np.testing.assert_array_equal(measured.times["a"], [2] * 4)
    np.testing.assert_array_equal(measured.times["b"], [2] * 4)
    assert Counter(log) == {"a": 4, "b": 4, "rest": 4}
    assert all(log[at + 1] == "rest" for at, name in enumerate(log) if name == "b")


def test_every_round_runs_each_once_and_the_order_is_balanced():
    clock, log = Clock(), []
    works = {name: _work(clock, [1.0], log, name) for name in "abc"}
    measure(works, _budget(min_rounds=20), clock=clock, seed=3)
    rounds = [log[i : i + 3] for i in range(0, 60, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert all(
        first == second[::-1] for first, second in zip(rounds[::2], rounds[1::2], strict=True)
    )
    assert len({tuple(one) for one in rounds}) > 2
    positions = Counter({name: sum(one.index(name) for one in rounds) for name in "abc"})
    assert set(positions.values()) == {20}  # in the middle on average


def test_the_seed_decides_the_order():
    logs = []
    for seed in (0, 0, 1):
        clock, log = Clock(), []
        works = {name: _work(clock, [1.0], log, name) for name in "abcd"}
        measure(works, _budget(min_rounds=8), clock=clock, seed=seed)
        logs.append(log)
    assert logs[0] == logs[1] != logs[2]


def test_a_slow_position_does_not_favour_anyone():
    """The first run of each round takes 1 ms more, as after an idle core wakes up."""
    clock, calls = Clock(), 0

    def work():
        nonlocal calls
        clock.now += (2 if calls % 2 == 0 else 1) * MS
        calls += 1

    times = measure({"a": work, "b": work}, _budget(min_rounds=40), clock=clock)
    assert times["a"].mean() == times["b"].mean() == 1.5


def test_warm_up_waits_until_times_settle():
    clock = Clock()
    ramp = [*np.linspace(20, 10, 40), 10.0]  # clocks ramp up for 40 runs
    budget = Budget(warmup_s=0.05, warmup_limit_s=60, settled=0.01, duration_s=0, min_rounds=5)
    times = measure({"a": _work(clock, ramp)}, budget, clock=clock)["a"]
    np.testing.assert_array_equal(times, 10.0)


def test_warm_up_without_the_check_would_have_been_too_short():
    clock = Clock()
    ramp = [*np.linspace(20, 10, 40), 10.0]
    times = measure({"a": _work(clock, ramp)}, _budget(warmup_limit_s=0.05), clock=clock)["a"]
    assert times[0] > 15


def test_warm_up_gives_up_at_its_limit_and_drift_tells():
    clock = Clock()
    endless = list(np.linspace(1, 100, 2000))
    budget = Budget(warmup_limit_s=1.0, settled=0.001, duration_s=1.0)
    times = measure({"a": _work(clock, endless)}, budget, clock=clock)["a"]
    assert Latency.from_times(times, backend="x", device="y", threads=1).drift > 0.05


def test_warm_up_lasts_its_time_even_when_steady():
    clock, log = Clock(), []
    budget = Budget(warmup_s=0.2, duration_s=0, min_rounds=10)
    measure({"a": _work(clock, [1.0], log, "a")}, budget, clock=clock)
    assert len(log) == 210


def test_measuring_ends_by_time_by_rounds_or_by_the_most():
    def rounds(**changes):
        clock = Clock()
        return measure({"a": _work(clock, [1.0])}, _budget(**changes), clock=clock)["a"].size

    assert rounds(duration_s=0.05, min_rounds=10) == 50
    assert rounds(duration_s=0.005, min_rounds=10) == 10
    assert rounds(duration_s=0.05, min_rounds=10, max_rounds=20) == 20


@pytest.mark.parametrize("changes", [{"min_rounds": 0}, {"min_rounds": 5, "max_rounds": 4}])
def test_an_impossible_budget_is_refused(changes):
    with pytest.raises(EdgeupError, match="cannot measure"):
        Budget(**changes)


def test_nothing_to_time_is_refused():
    with pytest.raises(EdgeupError, match="nothing to time"):
        measure({})


def test_no_garbage_collection_while_measuring():
    states = []
    clock = Clock()

    def work():
        states.append(gc.isenabled())
        clock.now += MS

    assert gc.isenabled()
    measure({"a": work}, _budget(min_rounds=3), clock=clock)
    assert states == [False, False, False]
    assert gc.isenabled()


def test_ctrl_c_passes_through_and_garbage_collection_is_back():
    calls = 0

    def work():
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure({"a": work}, _budget(min_rounds=9))
    assert gc.isenabled()


def test_progress_is_told_ten_times_a_second_at_most_and_rises():
    clock, told = Clock(), []
    budget = Budget(warmup_s=1.0, duration_s=2.0)
    measure({"a": _work(clock, [1.0])}, budget, clock=clock, progress=told.append)
    assert told[0] == Progress("warm-up", 0.0)
    stages = [one.stage for one in told]
    assert 8 <= stages.count("warm-up") <= 11
    assert 17 <= stages.count("measure") <= 21
    measured = [one.done for one in told if one.stage == "measure"]
    assert measured == sorted(measured)
    assert measured[-1] < 1.0


def test_warm_up_lasts_its_rounds_and_then_until_settled():
    clock = Clock()
    ramp = [*np.linspace(20, 10, 40), 10.0]
    budget = Budget(warmup_s=0, warmup_rounds=20, warmup_limit_s=60, settled=0.001, duration_s=0)
    found = measure_runs({"a": _work(clock, ramp)}, budget, clock=clock)
    np.testing.assert_array_equal(found.times["a"], 10.0)
    assert found.warmup.rounds >= 45
    assert found.warmup.settled
    steady = measure_runs({"a": _work(clock, [1.0])}, budget, clock=clock)
    assert steady.warmup.rounds == 20


def test_a_slow_drift_of_a_fast_model_is_seen():
    """0.1 % over ten runs, 20 % over the warm-up: only a window in time shows it."""
    clock = Clock()
    ramp = [*np.linspace(0.12, 0.1, 4000), 0.1]
    budget = Budget(warmup_s=0.2, warmup_limit_s=60, settled=0.02, duration_s=0)
    found = measure_runs({"a": _work(clock, ramp)}, budget, clock=clock)
    assert found.warmup.settled
    assert found.times["a"].max() < 0.1021
    assert found.warmup.seconds < 2


def test_a_warm_up_that_never_settles_says_so():
    clock = Clock()
    budget = Budget(warmup_limit_s=1.0, settled=0.001, duration_s=0)
    found = measure_runs({"a": _work(clock, np.linspace(1, 100, 2000))}, budget, clock=clock)
    assert not found.warmup.settled
    assert found.warmup.seconds >= 1.0


def test_starts_count_from_the_first_measured_run():
    clock = Clock()
    works = {"a": _work(clock, [3.0]), "b": _work(clock, [5.0])}
    begun = []
    found = measure_runs(
        works, _budget(min_rounds=3), clock=clock, begin=lambda: begun.append(clock.now)
    )
    assert begun == [0]
    assert min(found.starts["a"][0], found.starts["b"][0]) == 0
    assert sorted([*found.starts["a"], *found.starts["b"]])[-1] in (19, 21)

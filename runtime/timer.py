"""The one timer: callables take turns in one process.

Interleaved, because a shared or warming machine drifts: runs of one round stand next to each
other in time, so what disturbs one disturbs all, and ratios within a round cancel it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError

Times: TypeAlias = npt.NDArray[np.float64]
Work: TypeAlias = Callable[[], object]
Clock: TypeAlias = Callable[[], int]
"""Nanoseconds from any origin, never going back."""


@dataclass(frozen=True)
class Budget:
    """How long to warm up and to measure; the defaults of time and count are trtexec's.

    Warm-up ends when its time (and its rounds, if any are asked) are over and the times no longer
    drift: clocks ramp, caches fill and kernels load in time, not in a number of runs. It ends
    unsettled at ``warmup_limit_s``; ``drift`` in `edgeup.runtime.latency` then tells. Measuring
    ends after ``min_rounds`` and ``duration_s``, or after ``max_rounds``.
    """

    warmup_s: float = 0.2
    warmup_rounds: int = 0
    warmup_limit_s: float = 5.0
    settled: float = 0.05
    duration_s: float = 3.0
    min_rounds: int = 10
    max_rounds: int | None = None

    def __post_init__(self) -> None:
        if self.min_rounds < 1 or (self.max_rounds or self.min_rounds) < self.min_rounds:
            raise EdgeupError(
                f"cannot measure {self.min_rounds} to {self.max_rounds} rounds: at least 1, and "
                f"the most not below the least"
            )


DEFAULT_BUDGET = Budget()


@dataclass(frozen=True)
class Progress:
    """Where a measurement stands: its stage ("warm-up", "measure") and the share done, 0 to 1."""

    stage: str
    done: float


@dataclass(frozen=True)
class WarmUp:
    """What the warm-up took, and whether the times had settled when it ended."""

    rounds: int
    seconds: float
    settled: bool


@dataclass(frozen=True)
class Measurement:
    """Milliseconds by name; element ``i`` of each comes from round ``i``.

    ``starts`` counts from the first measured run's start.
    """

    times: dict[str, Times]
    starts: dict[str, Times]
    warmup: WarmUp


def measure(
    works: Mapping[str, Work],
    budget: Budget = DEFAULT_BUDGET,
    *,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Times]:
    """The times alone of `measure_runs`."""
    return measure_runs(works, budget, seed=seed, clock=clock, progress=progress).times


def measure_runs(
    works: Mapping[str, Work],
    budget: Budget = DEFAULT_BUDGET,
    *,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
    progress: Callable[[Progress], None] | None = None,
    begin: Callable[[], None] = lambda: None,
    after: Mapping[str, Work] = MappingProxyType({}),
) -> Measurement:
    """Time callables against each other; a Ctrl-C passes through and leaves nothing changed.

    In every round each runs once. The order is drawn anew for every two rounds and reversed in
    the second, so that over such a pair each stands in the middle on average. ``begin`` is called
    once, between warm-up and the first measured round; ``after`` holds what follows each run of
    a callable, untimed.

    Raises:
        EdgeupError: there is nothing to time.
    """
    if not works:
        raise EdgeupError("nothing to time")
    orders = _orders(list(works), seed)
    report = _throttled(progress, clock)

    def run() -> _Round:
        return _round(works, next(orders), clock, after)

    warmup = _warm_up(works, budget, run, clock, report)
    rounds: list[_Round] = []
    with _without_gc():
        begin()
        start = clock()
        while True:
            rounds.append(run())
            elapsed_s = (clock() - start) * 1e-9
            share = min(elapsed_s / budget.duration_s, 1.0) if budget.duration_s > 0 else 1.0
            share = min(share, len(rounds) / budget.min_rounds)
            if share >= 1.0 or len(rounds) == budget.max_rounds:
                break
            report(Progress("measure", share))
    return Measurement(
        {name: np.array([one[name][1] for one in rounds]) for name in works},
        {name: np.array([one[name][0] - start for one in rounds]) * 1e-6 for name in works},
        warmup,
    )


_Round: TypeAlias = "dict[str, tuple[int, float]]"
"""By name: the clock at the start, and the milliseconds."""


def _round(
    works: Mapping[str, Work], order: Sequence[str], clock: Clock, after: Mapping[str, Work]
) -> _Round:
    times = {}
    for name in order:
        work = works[name]
        start = clock()
        result = work()
        stop = clock()
        del result  # freed outside the timed part
        if name in after:
            after[name]()
        times[name] = (start, (stop - start) * 1e-6)
    return times


_WINDOW = 5  # rounds whose medians are compared, at least: enough to outvote two disturbed ones


def _warm_up(
    works: Mapping[str, Work],
    budget: Budget,
    run: Callable[[], _Round],
    clock: Clock,
    report: Callable[[Progress], None],
) -> WarmUp:
    begin = clock()
    rounds: list[_Round] = []
    look_s = budget.warmup_s
    while True:
        elapsed_s = (clock() - begin) * 1e-9
        if elapsed_s >= max(look_s, 0.0) and len(rounds) >= budget.warmup_rounds:
            if _is_settled(works, rounds, budget):
                return WarmUp(len(rounds), elapsed_s, settled=True)
            look_s = elapsed_s + budget.warmup_s / 10  # a look costs time: it sorts
        if elapsed_s >= budget.warmup_limit_s and len(rounds) >= budget.warmup_rounds:
            return WarmUp(len(rounds), elapsed_s, settled=False)
        rounds.append(run())
        report(Progress("warm-up", min(elapsed_s / max(budget.warmup_s, 1e-9), 1.0)))


def _is_settled(names: Mapping[str, Work], rounds: list[_Round], budget: Budget) -> bool:
    """Whether every callable's last rounds are as fast as those before them.

    Compared are the halves of the last ``warmup_s`` seconds, or of the last ten rounds where
    these took longer: of a fast model ten rounds are a moment, in which no clock ramps.
    """
    if len(rounds) < 2 * _WINDOW:
        return False
    spent = np.cumsum([sum(ms for _, ms in one.values()) for one in reversed(rounds)])
    window = max(_WINDOW, int(np.searchsorted(spent, budget.warmup_s * 1e3)) // 2)
    before, after = rounds[-2 * window : -window], rounds[-window:]
    return all(
        abs(_median(after, name) - _median(before, name)) <= budget.settled * _median(before, name)
        for name in names
    )


def _median(rounds: list[_Round], name: str) -> float:
    return float(np.median([one[name][1] for one in rounds]))


def _orders(names: list[str], seed: int) -> Iterator[Sequence[str]]:
    random = np.random.default_rng(seed)
    while True:
        order = [names[i] for i in random.permutation(len(names))]
        yield order
        yield order[::-1]


@contextmanager
def _without_gc() -> Iterator[None]:
    """No garbage collection inside: it would land in whichever run allocates next."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _throttled(
    progress: Callable[[Progress], None] | None, clock: Clock
) -> Callable[[Progress], None]:
    """Calls ``progress`` ten times a second at most: a terminal is slower than a small model."""
    last: int | None = None

    def report(now: Progress) -> None:
        nonlocal last
        at = clock()
        if progress is not None and (last is None or at - last >= 100_000_000):
            last = at
            progress(now)

    return report

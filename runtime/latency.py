"""What measured times say: percentiles of one model, the ratio of two; and timing ONNX models.

The times come from `edgeup.runtime.timer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.cpu import cpu_model, cpu_threads
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.statistics import (
    histogram,
    least_for_interval,
    median_interval,
    percentile,
)
from edgeup.runtime.timer import DEFAULT_BUDGET, Budget, Progress, Times, measure
from edgeup.spec import Feeds, ModelSource


@dataclass(frozen=True)
class Latency:
    """Times of one model on one backend, in milliseconds.

    Percentile p is the nearest rank: the smallest measured time that at least p % of the runs
    did not exceed, so it happened. The median of an even number is the mean of the middle two.
    ``cv`` is the standard deviation over the mean; ``drift`` the second half's median over the
    first half's, less 1: far from 0, the machine was still warming up or was disturbed.
    ``median_interval`` surely holds the median of this run, and is None of too few times for one;
    another run on another day may differ by more. ``histogram`` counts runs between edges.
    """

    backend: str
    device: str
    threads: int
    iterations: int
    median_ms: float
    mean_ms: float
    min_ms: float
    std_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    cv: float
    drift: float
    median_interval: dict[str, float] | None
    histogram: dict[str, list[Any]]

    @classmethod
    def from_times(cls, times: Times, *, backend: str, device: str, threads: int) -> Latency:
        """Summarize the milliseconds of at least one run.

        Raises:
            EdgeupError: there is none, or one is not a positive number.
        """
        if not times.size or not (np.isfinite(times) & (times > 0)).all():
            raise EdgeupError(f"{times.size} times cannot be summarized: wanted positive numbers")
        half = times.size // 2
        drift = np.median(times[half:]) / np.median(times[:half]) - 1.0 if half else 0.0
        interval = median_interval(times)
        return cls(
            backend=backend,
            device=device,
            threads=threads,
            iterations=times.size,
            median_ms=float(np.median(times)),
            mean_ms=float(times.mean()),
            min_ms=float(times.min()),
            std_ms=float(times.std()),
            p90_ms=percentile(times, 90),
            p95_ms=percentile(times, 95),
            p99_ms=percentile(times, 99),
            cv=float(times.std() / times.mean()),
            drift=float(drift),
            median_interval=None if interval is None else interval.to_json(),
            histogram=histogram(times),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, as a report holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Ratio:
    """How long ``a`` takes in units of ``b``: the median over rounds, and where it surely lies."""

    median: float
    low: float
    high: float
    confidence: float
    rounds: int

    @property
    def verdict(self) -> Literal["equal", "slower", "faster"]:
        """Of ``a``: "equal" where the interval holds 1."""
        if self.low <= 1.0 <= self.high:
            return "equal"
        return "slower" if self.median > 1.0 else "faster"


def ratio(a: Times, b: Times, *, confidence: float = 0.95, seed: int = 0) -> Ratio:
    """The median of ``a[i] / b[i]`` with a bootstrap confidence interval (`median_interval`).

    Times of one round share the machine's state, so their ratio is steadier than the times.

    Args:
        a: milliseconds by round.
        b: milliseconds of the same rounds.
        confidence: the share of intervals that are to hold the true value.
        seed: what the resamples are drawn from.

    Raises:
        EdgeupError: too few rounds for that confidence, or not the same number of each.
    """
    found = None
    if a.size == b.size:
        ratios = a / b
        found = median_interval(ratios, confidence=confidence, seed=seed)
    if found is None:
        raise EdgeupError(
            f"a ratio with {confidence:.0%} confidence needs {least_for_interval(confidence)} or "
            f"more rounds of both, got {a.size} and {b.size} times"
        )
    return Ratio(float(np.median(ratios)), found.low, found.high, confidence, ratios.size)


LOADS = 6
"""How often `ratio_of_loads` wants both models loaded."""

_SURE, _STUDENT = 0.99, 4.032
"""A confidence, and Student's t of it, two-sided, at 5 degrees of freedom: `LOADS` less 1."""


def ratio_of_loads(loads: Sequence[tuple[Times, Times]]) -> Ratio:
    """How long ``a`` takes in units of ``b``, of which both were loaded anew `LOADS` times.

    Where a model's memory lies moves its times for as long as it is loaded: one model against
    itself came out 3 % apart, and every round agreed. So the loads are what scatters (Kalibera
    and Jones 2013: repeat at the highest level that varies): the mean of the logarithms of their
    median ratios, with Student's interval.

    Args:
        loads: milliseconds of ``a`` and ``b`` by round, of each load.
    """
    assert len(loads) == LOADS  # noqa: S101 - what _STUDENT is for
    logs = np.log([float(np.median(a / b)) for a, b in loads])
    middle, reach = logs.mean(), _STUDENT * logs.std(ddof=1) / np.sqrt(LOADS)
    low, ratio, high = (float(np.exp(x)) for x in (middle - reach, middle, middle + reach))
    return Ratio(ratio, low, high, _SURE, sum(a.size for a, _ in loads))


ONNX_RUNTIME_CPU = "onnxruntime CPUExecutionProvider"


def measure_onnx(
    models: Mapping[str, ModelSource],
    feeds: Feeds,
    *,
    threads: int | None = None,
    budget: Budget = DEFAULT_BUDGET,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Times]:
    """Time ONNX models on this CPU, interleaved; an `edgeup.spec.Measure`.

    ONNX Runtime optimizes each as it would in production. Inputs and outputs are bound once, so
    a time is the graph's, without Python's conversion of arrays (like trtexec's GPU compute
    time, which leaves the copies out). Threads stop spinning after each run: otherwise those of
    the session before slow the next one down (measured, two threads on two cores: 31 ms alone,
    45 ms after another session that spins, 32 ms after one that does not).

    Each run finds the caches as the other models left them: a small model is slower here than
    when it runs alone. Ratios are for comparing, `time_onnx` is for one model's latency.

    Raises:
        EdgeupError: a model cannot be loaded, or does not take the feeds.
    """
    with ExitStack() as stack:
        works = {
            name: stack.enter_context(
                OnnxRuntimeSession(model, threads=threads, yield_cores=True)
            ).bind(feeds)
            for name, model in models.items()
        }
        return measure(works, budget, progress=progress)


def time_onnx(
    model: ModelSource,
    feeds: Feeds,
    *,
    threads: int | None = None,
    budget: Budget = DEFAULT_BUDGET,
    progress: Callable[[Progress], None] | None = None,
) -> Latency:
    """The latency of one ONNX model on this CPU; see `measure_onnx`.

    Raises:
        EdgeupError: the model cannot be loaded, or does not take the feeds.
    """
    times = measure_onnx(
        {"model": model}, feeds, threads=threads, budget=budget, progress=progress
    )["model"]
    return Latency.from_times(
        times,
        backend=ONNX_RUNTIME_CPU,
        device=f"CPU: {cpu_model()}",
        threads=cpu_threads() if threads is None else threads,
    )

"""What measured times say: percentiles of one model, the ratio of two; and timing ONNX models.

The times come from `edgeup.runtime.timer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.cpu import cpu_model, cpu_threads
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.timer import DEFAULT_BUDGET, Budget, Progress, Times, measure
from edgeup.spec import Feeds, ModelSource


@dataclass(frozen=True)
class Latency:
    """Times of one model on one backend, in milliseconds.

    Percentile p is the nearest rank: the smallest measured time that at least p % of the runs
    did not exceed, so it happened. The median of an even number is the mean of the middle two.
    ``cv`` is the standard deviation over the mean; ``drift`` the second half's median over the
    first half's, less 1: far from 0, the machine was still warming up or was disturbed.
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
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, as a report holds them."""
        return asdict(self)


def percentile(times: Times, percent: float) -> float:
    """The nearest rank: see `Latency`."""
    return float(np.percentile(times, percent, method="inverted_cdf"))


@dataclass(frozen=True)
class Ratio:
    """How long ``a`` takes in units of ``b``: the median over rounds, and where it surely lies."""

    median: float
    low: float
    high: float
    confidence: float
    rounds: int


_RESAMPLES = 1000


def ratio(a: Times, b: Times, *, confidence: float = 0.95, seed: int = 0) -> Ratio:
    """The median of ``a[i] / b[i]`` with a bootstrap confidence interval (percentile method).

    Times of one round share the machine's state, so their ratio is steadier than the times.
    Blocks of neighbouring rounds are drawn, not single ones, since a disturbance lasts for
    several rounds (moving-block bootstrap, Künsch 1989; block length the cube root of n).

    Args:
        a: milliseconds by round.
        b: milliseconds of the same rounds.
        confidence: the share of intervals that are to hold the true value.
        seed: what the resamples are drawn from.

    Raises:
        EdgeupError: fewer than two rounds, or not the same number of each.
    """
    if a.size != b.size or a.size < 2:
        raise EdgeupError(
            f"a ratio needs two or more rounds of both, got {a.size} and {b.size} times"
        )
    ratios = a / b
    n = ratios.size
    block = max(1, round(n ** (1 / 3)))
    random = np.random.default_rng(seed)
    medians: list[float] = []
    at_once = max(1, min(_RESAMPLES, 2_000_000 // n))  # 2,000,000 * 8 bytes = 16 MB
    while len(medians) < _RESAMPLES:
        starts = random.integers(0, n - block + 1, (at_once, -(-n // block)))
        rounds = (starts[:, :, None] + np.arange(block)).reshape(at_once, -1)[:, :n]
        medians.extend(np.median(ratios[rounds], axis=1))
    low, high = np.percentile(medians, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Ratio(float(np.median(ratios)), float(low), float(high), confidence, n)


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

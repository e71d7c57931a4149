"""What a sample of times says of itself: percentiles, spread, where the median surely lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError

Sample = npt.NDArray[np.float64]

UNSTEADY_CV = 0.025
"""trtexec calls times unstable over a coefficient of variation of 2.5 % (sampleReporting.cpp)."""

DISTURBED_CV = 0.25
"""Ten times that: medians of runs that scattered by 45 to 73 % lay outside of each other's
intervals."""

DRIFTED = 0.05
"""The second half's median over the first half's, less 1: beyond this, the machine changed."""

_COARSE = 0.01
_RESAMPLES = 1000
_BINS = 40


def percentile(times: Sample, percent: float) -> float:
    """The nearest rank: the smallest time that at least ``percent`` % of the runs did not exceed.

    So it is a time that happened. The rank is reckoned in fractions: in floating point, 99.9 % of
    1000 runs are a little more than 999.
    """
    rank = max(1, math.ceil(Fraction(str(float(percent))) * times.size / 100))
    return float(np.partition(times, rank - 1)[rank - 1])


@dataclass(frozen=True)
class Interval:
    """Where a median lies, with that confidence."""

    low: float
    high: float
    confidence: float

    def to_json(self) -> dict[str, float]:
        """Of a median in milliseconds, as a report holds it."""
        return {"low_ms": self.low, "high_ms": self.high, "confidence": self.confidence}


def least_for_interval(confidence: float) -> int:
    """Of how many values an interval of the median with that confidence can be told: 6 for 95 %.

    All of n values are on one side of the median with a chance of 2 ** (1 - n): from the least to
    the greatest, no interval holds it with more confidence than what remains.
    """
    return math.ceil(1 - math.log2(1 - confidence))


def median_interval(values: Sample, *, confidence: float = 0.95, seed: int = 0) -> Interval | None:
    """A bootstrap confidence interval of the median; None of too few (`least_for_interval`).

    Resampled is the share of values at or below the median; its quantiles, moved by as much as
    they miss one half, are the ranks of the interval's ends (Woodruff 1952). So a resample costs
    a sum, not a sort, and the ends are values that happened, however bimodal or quantised they
    are. Blocks of neighbours are drawn, not single values, since a disturbance lasts for several
    runs (moving-block bootstrap, Künsch 1989; block length the cube root of n). Of few values the
    resamples scatter too little (of seven, such intervals held the median 83 % of the time and not
    95): so the interval is never narrower than that of independent values, whose ranks follow from
    the binomial distribution.

    Args:
        values: in the order in which they were measured.
        confidence: the share of intervals that are to hold the true median.
        seed: what the resamples are drawn from.
    """
    n = values.size
    if n < least_for_interval(confidence):
        return None
    block = max(1, round(n ** (1 / 3)))
    # Wrapped around, so that the first and the last values are drawn as often as the others.
    below = (values <= np.median(values)).astype(np.int64)
    sums = np.cumsum(np.concatenate(([0], below, below[: block - 1])))
    blocks = sums[block:] - sums[:-block]
    random = np.random.default_rng(seed)
    drawn = -(-n // block)
    at_once = max(1, 2_000_000 // drawn)  # 2,000,000 * 8 bytes = 16 MB
    shares = np.concatenate(
        [
            blocks[random.integers(0, n, (min(at_once, _RESAMPLES - done), drawn))].sum(axis=1)
            for done in range(0, _RESAMPLES, at_once)
        ]
    ) / (drawn * block)
    tail = (1 - confidence) / 2
    # The resamples scatter around the sample's own share, which ties may keep off one half.
    misses = np.quantile(shares - below.mean(), [tail, 1 - tail])
    ends = np.clip(0.5 + misses, 0.0, 1.0) * 100
    low, high = np.percentile(values, ends, method="inverted_cdf")
    middle = np.median(values)
    # The normal distribution in the binomial's place, with the usual half for whole numbers.
    rank = max(0, math.floor(n / 2 + NormalDist().inv_cdf(tail) * math.sqrt(n) / 2 + 0.5) - 1)
    independent = np.partition(values, (rank, n - 1 - rank))
    return Interval(
        float(min(low, middle, independent[rank])),
        float(max(high, middle, independent[n - 1 - rank])),
        confidence,
    )


@dataclass(frozen=True)
class Summary:
    """Times of one work, in milliseconds, in the order in which they were measured.

    The median of an even number is the mean of the middle two. ``cv`` is the standard deviation
    over the mean; ``drift`` the second half's median over the first half's, less 1. ``step`` is
    what the times are multiples of, where the clock was so coarse that it shows; else None.
    ``interval`` is None of too few times; ``halves_agree``: those of both halves have times in
    common, or cannot be told.
    """

    median: float
    interval: Interval | None
    halves_agree: bool
    mean: float
    min: float
    max: float
    std: float
    cv: float
    drift: float
    percentiles: dict[float, float]
    step: float | None

    @classmethod
    def of(cls, times: Sample, percents: Sequence[float] = (90, 95, 99), seed: int = 0) -> Summary:
        """Summarize at least one time.

        Raises:
            EdgeupError: there is none, or one is not a positive number.
        """
        if not times.size or not (np.isfinite(times) & (times > 0)).all():
            raise EdgeupError(f"{times.size} times cannot be summarized: wanted positive numbers")
        half = times.size // 2
        drift = np.median(times[half:]) / np.median(times[:half]) - 1.0 if half else 0.0
        return cls(
            median=float(np.median(times)),
            interval=median_interval(times, seed=seed),
            halves_agree=_agree(times[:half], times[half:], seed),
            mean=float(times.mean()),
            min=float(times.min()),
            max=float(times.max()),
            std=float(times.std()),
            cv=float(times.std() / times.mean()),
            drift=float(drift),
            percentiles={percent: percentile(times, percent) for percent in percents},
            step=_step(times),
        )

    def warnings(self) -> tuple[str, ...]:
        """What makes the figures less than they seem."""
        said = []
        if self.cv > UNSTEADY_CV:
            holds = self.cv <= DISTURBED_CV and self.halves_agree
            said.append(
                f"the times are unsteady: coefficient of variation {self.cv:.1%}, over "
                f"{UNSTEADY_CV:.1%}; {_TRUST if holds else _AGAIN}"
            )
        if abs(self.drift) > DRIFTED:
            said.append(
                f"the times drifted: the second half's median is {self.drift:+.1%} off the "
                f"first's; the machine was warming up, throttling or disturbed"
            )
        if self.step is not None:
            said.append(
                f"the clock is coarse: all times are {self.step:.3g} ms apart, "
                f"{self.step / self.median:.1%} of the median"
            )
        return tuple(said)


_TRUST = "trust the median and its interval rather than the mean"
_AGAIN = (
    "another run may well have its median outside of this one's interval; measure again on a "
    "quiet machine"
)


def no_interval(count: int, confidence: float = 0.95) -> str:
    """Why so many times have no interval of their median."""
    return (
        f"{count} {'time' if count == 1 else 'times'} cannot tell it with {confidence:.0%} "
        f"confidence, {least_for_interval(confidence)} can"
    )


def _agree(first: Sample, second: Sample, seed: int) -> bool:
    a, b = median_interval(first, seed=seed), median_interval(second, seed=seed)
    return a is None or b is None or (a.low <= b.high and b.low <= a.high)


def _step(times: Sample) -> float | None:
    """The clock's step: few distinct times, and the nearest two far apart."""
    distinct = np.unique(times)
    if distinct.size < 2 or distinct.size > times.size // 4:
        return None
    step = float(np.diff(distinct).min())
    return step if step > _COARSE * float(np.median(times)) else None


def histogram(times: Sample) -> dict[str, list[Any]]:
    """Counts between edges; the last bin, open above, takes what lies beyond the 99th percentile.

    Returns:
        ``edges_ms``, one more than ``counts``.
    """
    top = max(percentile(times, 99), float(times.min()) * (1 + 1e-9))
    edges = np.linspace(float(times.min()), top, _BINS)
    counts, _ = np.histogram(times, edges)
    beyond = int(times.size - counts.sum())
    return {
        "edges_ms": [*map(float, edges), float(max(times.max(), top))],
        "counts": [*map(int, counts), beyond],
    }

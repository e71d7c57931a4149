"""Metrics between a reference and a candidate: functions ``(reference, candidate) -> float``.

All are computed in float64 on flat arrays of finite numbers of equal length; that they are is
the driver's business (`edgeup.runtime.parity`). On no elements at all each is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Flat: TypeAlias = npt.NDArray[np.float64]


def max_abs(reference: Flat, candidate: Flat) -> float:
    """The largest ``|c - r|``."""
    return float(np.abs(candidate - reference).max()) if reference.size else math.nan


def mean_abs(reference: Flat, candidate: Flat) -> float:
    """The mean of ``|c - r|``."""
    return float(np.abs(candidate - reference).mean()) if reference.size else math.nan


def max_rel(reference: Flat, candidate: Flat) -> float:
    """The largest ``|c - r| / |r|`` over the elements where r is not 0.

    Where r is 0 no relative error is defined: those elements count in the absolute metrics and
    in the tolerance alone. NaN when r is 0 everywhere, unless c is too: then 0.
    """
    if not (nonzero := reference != 0).any():
        return 0.0 if reference.size and not candidate.any() else math.nan
    kept = reference[nonzero]
    with np.errstate(over="ignore"):  # a denormal r: the quotient may pass the largest float
        return float((np.abs(candidate[nonzero] - kept) / np.abs(kept)).max())


def rmse(reference: Flat, candidate: Flat) -> float:
    """The root of the mean squared error, in the output's own unit."""
    if not reference.size:
        return math.nan
    difference = candidate - reference
    peak = float(np.abs(difference).max())
    # Scaled by the peak, so that squares neither overflow nor vanish.
    return peak and peak * math.sqrt(float(np.square(difference / peak).mean()))


def cosine(reference: Flat, candidate: Flat) -> float:
    """The cosine of the angle between the two as vectors: 1 the same direction, 0 unrelated.

    1 when both are zero, 0 when one is.
    """
    if not reference.size:
        return math.nan
    peaks = float(np.abs(reference).max()), float(np.abs(candidate).max())
    if not all(peaks):
        return float(peaks[0] == peaks[1])
    a, b = reference / peaks[0], candidate / peaks[1]
    return float(np.clip(np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)), -1.0, 1.0))


def psnr(reference: Flat, candidate: Flat) -> float:
    """Peak signal-to-noise ratio in dB, the signal's peak being the reference's range.

    ``20 log10((max r - min r) / rmse)``; infinite where both are equal, NaN where the reference
    has no range.
    """
    if not reference.size or not (span := float(reference.max() - reference.min())):
        return math.nan
    noise = rmse(reference, candidate)
    return 20 * math.log10(span / noise) if noise else math.inf


def percentile(percent: float) -> Callable[[Flat, Flat], float]:
    """The metric "this share of the elements has ``|c - r|`` of at most ..."."""

    def percentile_of_error(reference: Flat, candidate: Flat) -> float:
        if not reference.size:
            return math.nan
        return float(np.percentile(np.abs(candidate - reference), percent))

    return percentile_of_error


METRICS: Mapping[str, Callable[[Flat, Flat], float]] = {
    "max_abs": max_abs,
    "mean_abs": mean_abs,
    "max_rel": max_rel,
    "rmse": rmse,
    "cosine": cosine,
}
"""The metrics of every report, by name."""

ALL_METRICS: Mapping[str, Callable[[Flat, Flat], float]] = {
    **METRICS,
    "psnr": psnr,
    "p50_abs": percentile(50),
    "p90_abs": percentile(90),
    "p99_abs": percentile(99),
    "p99_9_abs": percentile(99.9),
}
"""Those, and what takes a little longer to compute: for `edgeup verify`."""

_BEST_IS_LARGEST = frozenset({"cosine", "psnr"})


def worst_of(metric: str, values: Sequence[float]) -> float:
    """The worst value of a metric over several cases; NaN only where all are."""
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return math.nan
    return min(defined) if metric in _BEST_IS_LARGEST else max(defined)

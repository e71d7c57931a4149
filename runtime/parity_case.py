"""One output in one case: how far the candidate is from the reference, and whether it passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.runtime.error_statistics import ELEMWISE, find_statistic, relative
from edgeup.runtime.metrics import Flat
from edgeup.runtime.parity_report import CaseParity, Needed, Worst
from edgeup.spec import Array, Tolerance

Metrics: TypeAlias = "Mapping[str, Callable[[Flat, Flat], float]]"

_NOTHING_WOULD_DO = Needed(atol=None, atol_of_peak=None, rtol=None)


def incomparable(reference: Array | None, candidate: Array | None) -> str:
    """Why two outputs cannot be compared number by number; empty when they can."""
    if reference is None:
        return "the reference has no such output"
    if candidate is None:
        return "the candidate has no such output"
    if candidate.shape != reference.shape:
        return f"got shape {_size(candidate)}, the reference has {_size(reference)}"
    if candidate.dtype != reference.dtype:
        return f"got dtype {candidate.dtype.name}, the reference has {reference.dtype.name}"
    if reference.dtype.kind not in "fiub":
        return f"dtype {reference.dtype.name} cannot be compared by number"
    return ""


def _size(array: Array) -> str:
    return "x".join(str(size) for size in array.shape) or "a scalar"


def unmeasured(kind: str, shape: tuple[int, ...], reason: str, metrics: Metrics) -> CaseParity:
    """A case that could not be compared by number, for that reason: a failure."""
    return CaseParity(
        kind=kind,
        shape=shape,
        metrics=dict.fromkeys(metrics, math.nan),
        peak=0.0,
        atol=0.0,
        needed=_NOTHING_WOULD_DO,
        worst=None,
        mismatches=0,
        elements=0,
        finite=True,
        passed=False,
        reason=reason,
    )


def compare_case(
    kind: str, reference: Array, candidate: Array, tolerance: Tolerance, metrics: Metrics
) -> CaseParity:
    """Compare two arrays of one shape and dtype.

    NaN and infinity that both sides have in one place are equal, and metrics leave them out. Where
    one side alone has them, the metrics are NaN: no figure over the rest says how far apart the
    two are.
    """
    r, c = (array.astype(np.float64).ravel() for array in (reference, candidate))
    finite = np.isfinite(r) & np.isfinite(c)
    strange = ~finite & ~((np.isnan(r) & np.isnan(c)) | (r == c))
    kept_r, kept_c = (r, c) if finite.all() else (r[finite], c[finite])
    distance, magnitude = np.abs(kept_c - kept_r), np.abs(kept_r)
    peak = float(np.abs(r[np.isfinite(r)]).max(initial=0.0))
    atol = tolerance.atol + tolerance.atol_of_peak * peak
    if reference.dtype.kind == "f":
        outside = int((distance > atol + tolerance.rtol * magnitude).sum()) + int(strange.sum())
    else:  # in their own type: float64 cannot tell large integers apart
        outside = int((reference != candidate).sum())
    if tolerance.statistic == ELEMWISE:
        needed, passed = _needed(distance, magnitude, peak, tolerance), outside == 0
    else:
        needed = _needed_by_statistic(distance, magnitude, peak, tolerance.statistic)
        within = _at_most(needed.atol, atol) or _at_most(needed.rtol, tolerance.rtol)
        passed = within and not strange.any()
    return CaseParity(
        kind=kind,
        shape=reference.shape,
        metrics=dict.fromkeys(metrics, math.nan)
        if strange.any()
        else {name: metric(kept_r, kept_c) for name, metric in metrics.items()},
        peak=peak,
        atol=atol,
        needed=_NOTHING_WOULD_DO if strange.any() else needed,
        worst=_worst(kind, reference, candidate, _flat_worst(r, c, strange, tolerance)),
        mismatches=outside,
        elements=reference.size,
        finite=bool(finite.all()),
        passed=passed,
        reason="",
    )


def _at_most(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _flat_worst(r: Flat, c: Flat, strange: npt.NDArray[np.bool_], tolerance: Tolerance) -> int:
    """Where the largest ``atol`` would be needed; a NaN or infinity out of place comes first."""
    if not r.size:
        return -1
    if strange.any():
        return int(strange.argmax())
    with np.errstate(invalid="ignore"):  # inf - inf, where both agree
        excess = np.abs(c - r) - tolerance.rtol * np.abs(r)
    return int(np.where(np.isfinite(excess), excess, -np.inf).argmax())


def _worst(kind: str, reference: Array, candidate: Array, flat: int) -> Worst | None:
    if flat < 0:
        return None
    index = tuple(int(i) for i in np.unravel_index(flat, reference.shape))
    return Worst(kind, index, float(reference[index]), float(candidate[index]))


def _needed_by_statistic(distance: Flat, magnitude: Flat, peak: float, name: str) -> Needed:
    """The statistic itself, absolute and relative: each is the tolerance that it needs."""
    if not distance.size:
        return Needed(0.0, 0.0, 0.0)
    statistic = find_statistic(name)
    absolute, rtol = statistic(distance), statistic(relative(distance, magnitude))
    of_peak = 0.0 if absolute == 0 else absolute / peak if peak else None
    return Needed(absolute, of_peak, rtol if math.isfinite(rtol) else None)


def _needed(distance: Flat, magnitude: Flat, peak: float, tolerance: Tolerance) -> Needed:
    """The smallest tolerances with which this case passes, one changed at a time."""

    def passes(atol: float, rtol: float) -> bool:
        return bool((distance <= atol + rtol * magnitude).all())

    given_rtol = tolerance.rtol
    given_atol = tolerance.atol + tolerance.atol_of_peak * peak
    atol = max(float((distance - given_rtol * magnitude).max(initial=0.0)), 0.0)
    atol_of_peak = rtol = None
    if atol == 0.0:
        atol_of_peak = 0.0
    elif peak > 0.0:
        step = float(np.spacing(distance.max())) / peak
        atol_of_peak = _least(atol / peak, step, lambda value: passes(value * peak, given_rtol))
    beyond = distance > given_atol
    if not beyond.any():
        rtol = 0.0
    elif (over := magnitude[beyond]).all():
        by = distance[beyond] - given_atol
        step = float((np.spacing(distance[beyond]) / over).max())
        rtol = _least(float((by / over).max()), step, lambda value: passes(given_atol, value))
    return Needed(atol, atol_of_peak, rtol)


def _least(value: float, step: float, holds: Callable[[float], bool]) -> float | None:
    """The algebraic bound, raised by the few roundings that separate it from the real one."""
    while math.isfinite(value) and not holds(value):
        value += step
        step *= 2
    return value if math.isfinite(value) else None

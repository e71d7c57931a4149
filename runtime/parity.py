"""The one parity driver: does a candidate compute what the reference computes?

It streams: one case's outputs are held at a time, and each case is judged by its own peak, so
that a case with large outputs cannot excuse errors in one with small outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError
from edgeup.runtime.inputs import Case
from edgeup.runtime.metrics import METRICS, worst_of
from edgeup.runtime.parity_report import CaseParity, Needed, OutputParity, Worst
from edgeup.runtime.tolerances import EXACT, FP32_TOLERANCE
from edgeup.spec import Array, Feeds, Tolerance

__all__ = ["FP32_TOLERANCE", "CaseParity", "Needed", "OutputParity", "compare", "run_parity"]

Pair: TypeAlias = "tuple[str, Mapping[str, Array], Mapping[str, Array]]"
"""A case's kind, the reference's outputs by name, the candidate's."""

Nearby: TypeAlias = "Callable[[Feeds], Iterable[Mapping[str, Array]]]"
"""The reference's outputs for the same input, moved by as much as rounding moves values."""

Tolerances: TypeAlias = "Tolerance | Mapping[str, Tolerance]"
"""One for all outputs, or one by output name."""

_NOTHING_WOULD_DO = Needed(atol=None, atol_of_peak=None, rtol=None)

_Flat: TypeAlias = npt.NDArray[np.float64]


def run_parity(
    reference: Callable[[Feeds], Mapping[str, Array]],
    candidate: Callable[[Feeds], Mapping[str, Array]],
    cases: Iterable[Case],
    tolerances: Tolerances,
    *,
    nearby: Nearby | None = None,
) -> list[OutputParity]:
    """Run both on every case and compare; see `compare`.

    Args:
        reference: what is right.
        candidate: what is judged.
        cases: the inputs.
        tolerances: for floating outputs.
        nearby: tells how far rounding alone moves the reference. Where a case fails, and
            nearby references differ from the reference by at least half as much, the case is
            unstable: it is shown, and judges nothing. Max unpooling and ArgMax are so where two
            maxima are equal but for rounding. At least one case must judge.
    """
    tracks: dict[str, _Track] = {}
    for case in cases:
        wanted = reference(case.feeds)
        _add(tracks, (case.kind, wanted, candidate(case.feeds)), tolerances)
        failed = [track for track in tracks.values() if track.has_failed_last()]
        if nearby is not None and failed:
            others = list(nearby(case.feeds))
            for track in failed:
                track.excuse_if_unstable(wanted, others)
    return _reports(tracks)


def compare(pairs: Iterable[Pair], tolerances: Tolerances) -> list[OutputParity]:
    """Compare outputs, case by case; a report per output, in the reference's order.

    Floating outputs pass where ``|c - r| <= atol_of_peak * max|r| + rtol * |r|`` for every
    element, the maximum taken over the case; NaN equals only NaN, an infinity only itself.
    Integer and bool outputs must be equal. A missing or additional output, another shape or
    dtype is a failure with a reason.

    Args:
        pairs: consumed one at a time, so an iterator that runs the models holds one case.
        tolerances: for floating outputs.

    Raises:
        EdgeupError: there are no cases, or an output has no tolerance.
    """
    tracks: dict[str, _Track] = {}
    for pair in pairs:
        _add(tracks, pair, tolerances)
        del pair  # before the next case is computed
    return _reports(tracks)


def _reports(tracks: Mapping[str, _Track]) -> list[OutputParity]:
    if not tracks:
        raise EdgeupError("nothing to compare: there was no case with an output")
    return [track.report() for track in tracks.values()]


def _add(tracks: dict[str, _Track], pair: Pair, tolerances: Tolerances) -> None:
    kind, reference, candidate = pair
    for name in [*reference, *(name for name in candidate if name not in reference)]:
        if name not in tracks:
            shown = reference[name] if name in reference else candidate[name]
            tracks[name] = _Track(name, shown, _tolerance_of(name, shown, tolerances))
        tracks[name].add(kind, reference.get(name), candidate.get(name))


def _tolerance_of(name: str, array: Array, tolerances: Tolerances) -> Tolerance:
    if array.dtype.kind in "iub":
        return EXACT
    if isinstance(tolerances, Tolerance):
        return tolerances
    if name not in tolerances:
        named = ", ".join(tolerances) or "no output"
        raise EdgeupError(f"output {name!r} has no tolerance; one was given for {named}")
    return tolerances[name]


class _Track:
    """What is known of one output after the cases so far."""

    def __init__(self, name: str, shown: Array, tolerance: Tolerance) -> None:
        self.name, self.shape, self.dtype = name, shown.shape, shown.dtype.name
        self.tolerance = tolerance
        self.cases: list[CaseParity] = []
        self.low, self.high = math.inf, -math.inf  # of the reference's finite elements
        self.notes: dict[str, None] = {}  # a set that keeps its order

    def add(self, kind: str, reference: Array | None, candidate: Array | None) -> None:
        reason = _incomparable(reference, candidate)
        if reason or reference is None or candidate is None:
            shape = () if candidate is None else candidate.shape
            self.cases.append(_unmeasured(kind, shape, reason))
            return
        flat = reference.astype(np.float64).ravel()
        if np.isnan(flat).any():
            self.notes["the reference holds NaN"] = None
        if (finite := flat[np.isfinite(flat)]).size:
            self.low, self.high = min(self.low, finite.min()), max(self.high, finite.max())
        self.cases.append(_compare_case(kind, reference, candidate, self.tolerance))

    def has_failed_last(self) -> bool:
        """Whether the latest case was compared and failed."""
        return not self.cases[-1].passed and not self.cases[-1].reason

    def excuse_if_unstable(
        self, wanted: Mapping[str, Array], others: Iterable[Mapping[str, Array]]
    ) -> None:
        """Mark the latest case where rounding alone moves the reference as far as it failed."""
        reference = wanted[self.name].astype(np.float64)
        moved = max(
            (float(np.abs(o[self.name].astype(np.float64) - reference).max()) for o in others),
            default=0.0,
        )
        case = self.cases[-1]
        if case.finite and moved >= case.metrics["max_abs"] / 2:
            self.cases[-1] = replace(case, unstable=True)
            note = (
                f"{case.kind} judges nothing: rounding alone moves the reference by {moved:.2g} "
                f"there, and the candidate is {case.metrics['max_abs']:.2g} away"
            )
            self.notes[note] = None

    def report(self) -> OutputParity:
        judging = [case for case in self.cases if not case.unstable] or self.cases
        compared = [case for case in judging if not case.reason]
        worst = max(judging, key=CaseParity.severity)
        notes = list(self.notes)
        if vacuous := bool(compared) and self._is_vacuous():
            notes.append(
                "proves little: the reference hardly varies "
                f"({self.low:.6g} to {self.high:.6g}), so a constant would pass as well"
                if self.low <= self.high
                else "proves little: the reference has no finite element"
            )
        return OutputParity(
            name=self.name,
            shape=self.shape,
            dtype=self.dtype,
            metrics={
                metric: worst_of(metric, [case.metrics[metric] for case in judging])
                for metric in METRICS
            },
            tolerance=self.tolerance,
            atol=worst.atol,
            needed=Needed(
                worst.needed.atol,
                worst.needed.atol_of_peak,
                _largest([case.needed.rtol for case in judging]),
            ),
            worst=worst.worst,
            mismatches=sum(case.mismatches for case in judging),
            elements=sum(case.elements for case in judging),
            finite=all(case.finite for case in self.cases),
            vacuous=vacuous,
            passed=all(case.passed for case in judging),
            reason=next((case.reason for case in self.cases if case.reason), ""),
            notes=tuple(notes),
            cases=tuple(self.cases),
        )

    def _is_vacuous(self) -> bool:
        peak = max(abs(self.low), abs(self.high))
        allowed = (self.tolerance.atol_of_peak + self.tolerance.rtol) * peak
        return not self.high - self.low > (allowed if math.isfinite(peak) else 0.0)


def _largest(values: Sequence[float | None]) -> float | None:
    """The largest, unless one is None: then nothing would do for all."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _incomparable(reference: Array | None, candidate: Array | None) -> str:
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


def _unmeasured(kind: str, shape: tuple[int, ...], reason: str) -> CaseParity:
    return CaseParity(
        kind=kind,
        shape=shape,
        metrics=dict.fromkeys(METRICS, math.nan),
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


def _compare_case(
    kind: str, reference: Array, candidate: Array, tolerance: Tolerance
) -> CaseParity:
    r, c = (array.astype(np.float64).ravel() for array in (reference, candidate))
    finite = np.isfinite(r) & np.isfinite(c)
    strange = ~finite & ~((np.isnan(r) & np.isnan(c)) | (r == c))
    kept_r, kept_c = (r, c) if finite.all() else (r[finite], c[finite])
    distance, magnitude = np.abs(kept_c - kept_r), np.abs(kept_r)
    peak = float(magnitude.max(initial=0.0))
    atol = tolerance.atol_of_peak * peak
    if reference.dtype.kind == "f":
        outside = int((distance > atol + tolerance.rtol * magnitude).sum()) + int(strange.sum())
    else:  # in their own type: float64 cannot tell large integers apart
        outside = int((reference != candidate).sum())
    needed = _needed(distance, magnitude, peak, tolerance)
    return CaseParity(
        kind=kind,
        shape=reference.shape,
        metrics={name: metric(kept_r, kept_c) for name, metric in METRICS.items()},
        peak=peak,
        atol=atol,
        needed=_NOTHING_WOULD_DO if strange.any() else needed,
        worst=_worst(kind, reference, candidate, _flat_worst(r, c, strange, tolerance)),
        mismatches=outside,
        elements=reference.size,
        finite=bool(finite.all()),
        passed=outside == 0,
        reason="",
    )


def _flat_worst(r: _Flat, c: _Flat, strange: npt.NDArray[np.bool_], tolerance: Tolerance) -> int:
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


def _needed(distance: _Flat, magnitude: _Flat, peak: float, tolerance: Tolerance) -> Needed:
    """The smallest tolerances with which this case passes, one changed at a time."""

    def passes(atol_of_peak: float, rtol: float) -> bool:
        return bool((distance <= atol_of_peak * peak + rtol * magnitude).all())

    given_atol, given_rtol = tolerance.atol_of_peak, tolerance.rtol
    atol = max(float((distance - given_rtol * magnitude).max(initial=0.0)), 0.0)
    atol_of_peak = rtol = None
    if atol == 0.0:
        atol_of_peak = 0.0
    elif peak > 0.0:
        step = float(np.spacing(distance.max())) / peak
        atol_of_peak = _least(atol / peak, step, lambda value: passes(value, given_rtol))
    beyond = distance > given_atol * peak
    if not beyond.any():
        rtol = 0.0
    elif (over := magnitude[beyond]).all():
        by = distance[beyond] - given_atol * peak
        step = float((np.spacing(distance[beyond]) / over).max())
        rtol = _least(float((by / over).max()), step, lambda value: passes(given_atol, value))
    return Needed(atol, atol_of_peak, rtol)


def _least(value: float, step: float, holds: Callable[[float], bool]) -> float | None:
    """The algebraic bound, raised by the few roundings that separate it from the real one."""
    while math.isfinite(value) and not holds(value):
        value += step
        step *= 2
    return value if math.isfinite(value) else None

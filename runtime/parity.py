"""The one parity driver: does a candidate compute what the reference computes?

It streams: one case's outputs are held at a time, and each case is judged by its own peak, so
that a case with large outputs cannot excuse errors in one with small outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.inputs import Case
from edgeup.runtime.metrics import METRICS, max_abs, rmse, worst_of
from edgeup.runtime.parity_case import Metrics, compare_case, incomparable, unmeasured
from edgeup.runtime.parity_report import CaseParity, Needed, OutputParity
from edgeup.runtime.tolerances import EXACT, FP32_TOLERANCE
from edgeup.runtime.worst_case import WorstCases
from edgeup.spec import Array, Feeds, Tolerance

__all__ = [
    "FP32_TOLERANCE",
    "CaseParity",
    "Comparison",
    "Needed",
    "OutputParity",
    "compare",
    "run_parity",
]

NO_NUMBER = "failed: there is no number to compare"
NOTHING_JUDGED = "failed: rounding decides on all inputs on which the reference varies"

Pair: TypeAlias = "tuple[str, Mapping[str, Array], Mapping[str, Array]]"
"""A case's kind, the reference's outputs by name, the candidate's."""

Nearby: TypeAlias = "Callable[[Feeds], Iterable[Mapping[str, Array]]]"
"""The reference's outputs for the same input, moved by as much as rounding moves values."""

Tolerances: TypeAlias = "Tolerance | Mapping[str, Tolerance]"
"""One for all outputs, or one by output name."""


def run_parity(
    reference: Callable[[Feeds], Mapping[str, Array]],
    candidate: Callable[[Feeds], Mapping[str, Array]],
    cases: Iterable[Case],
    tolerances: Tolerances,
    *,
    nearby: Nearby | None = None,
    by_rms: bool = False,
) -> list[OutputParity]:
    """Run both on every case and compare; see `compare`.

    Args:
        reference: what is right.
        candidate: what is judged.
        cases: the inputs.
        tolerances: for floating outputs.
        nearby: tells how far rounding alone moves the reference. Where a case fails, and
            nearby references differ from the reference by at least half as much, by the largest
            error and by the RMS error, the case is unstable: it is shown, and judges nothing.
            Max unpooling and ArgMax are so where two maxima are equal but for rounding. The RMS
            error must be: one element that flips says nothing of the others. At least one case
            must judge, and not on a reference that is constant. A strict tolerance is not
            excused.
        by_rms: the RMS error, by which a case is found to be unstable, is its verdict: it passes.
    """
    comparison, worst = Comparison(tolerances, by_rms=by_rms), WorstCases()
    for case in cases:
        wanted = reference(case.feeds)
        again = None if nearby is None else partial(nearby, case.feeds)
        got = candidate(case.feeds)
        comparison.add((case.kind, wanted, got), again)
        worst.see(case.feeds, wanted, got, comparison.latest())
        del case, wanted, got, again  # before the next case is computed
    return [replace(found, views=worst.of(found.name)) for found in comparison.reports()]


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
    comparison = Comparison(tolerances)
    for pair in pairs:
        comparison.add(pair)
        del pair  # before the next case is computed
    return comparison.reports()


class Comparison:
    """A comparison that is told one case after the other, and holds none of them.

    Args:
        tolerances: for floating outputs.
        metrics: what to compute of each output in each case.
        by_rms: unstable cases pass (see `run_parity`).
    """

    def __init__(
        self, tolerances: Tolerances, metrics: Metrics = METRICS, *, by_rms: bool = False
    ) -> None:
        self._by_rms = by_rms
        self._tolerances = tolerances
        self._metrics = metrics
        self._tracks: dict[str, _Track] = {}

    def add(
        self, pair: Pair, nearby: Callable[[], Iterable[Mapping[str, Array]]] | None = None
    ) -> tuple[str, ...]:
        """Take one case, and name the outputs that fail in it.

        Args:
            pair: the case.
            nearby: the reference's outputs for inputs moved by rounding (see `run_parity`);
                called only where an output fails.

        Raises:
            EdgeupError: an output has no tolerance.
        """
        kind, reference, candidate = pair
        names = [*reference, *(name for name in candidate if name not in reference)]
        for name in names:
            if name not in self._tracks:
                shown = reference[name] if name in reference else candidate[name]
                tolerance = _tolerance_of(name, shown, self._tolerances)
                self._tracks[name] = _Track(name, shown, tolerance, self._metrics)
            self._tracks[name].add(kind, reference.get(name), candidate.get(name))
        failed = [name for name in names if self._tracks[name].has_failed_last()]
        compared = [
            name
            for name in failed
            if name in reference and name in candidate and not self._tracks[name].tolerance.strict
        ]
        if nearby is not None and compared:
            others = list(nearby())
            for name in compared:
                self._tracks[name].excuse_if_unstable(reference, others)
        return tuple(name for name in failed if not self._tracks[name].cases[-1].unstable)

    def latest(self) -> dict[str, CaseParity]:
        """What was found of each output in the case that was added last."""
        return {name: track.cases[-1] for name, track in self._tracks.items()}

    def reports(self) -> list[OutputParity]:
        """What was found, by output.

        Raises:
            EdgeupError: there was nothing to compare.
        """
        if not self._tracks:
            raise EdgeupError("nothing to compare: there was no case with an output")
        return [track.report(by_rms=self._by_rms) for track in self._tracks.values()]


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

    def __init__(self, name: str, shown: Array, tolerance: Tolerance, metrics: Metrics) -> None:
        self.name, self.shape, self.dtype = name, shown.shape, shown.dtype.name
        self.tolerance, self.metrics = tolerance, metrics
        self.cases: list[CaseParity] = []
        self.spans: list[tuple[float, float]] = []  # of the reference's finite elements, by case
        self.notes: dict[str, None] = {}  # a set that keeps its order

    def add(self, kind: str, reference: Array | None, candidate: Array | None) -> None:
        self.spans.append((math.inf, -math.inf))
        reason = incomparable(reference, candidate)
        if reason or reference is None or candidate is None:
            shape = () if candidate is None else candidate.shape
            self.cases.append(unmeasured(kind, shape, reason, self.metrics))
            return
        flat = reference.astype(np.float64).ravel()
        if np.isnan(flat).any():
            self.notes["the reference holds NaN"] = None
        if (finite := flat[np.isfinite(flat)]).size:
            self.spans[-1] = (float(finite.min()), float(finite.max()))
        self.cases.append(compare_case(kind, reference, candidate, self.tolerance, self.metrics))

    def has_failed_last(self) -> bool:
        """Whether the latest case failed."""
        return not self.cases[-1].passed

    def excuse_if_unstable(
        self, wanted: Mapping[str, Array], others: Iterable[Mapping[str, Array]]
    ) -> None:
        """Mark the latest case where rounding alone moves the reference as far as it failed.

        By the RMS error, it may also be within the tolerance: a few elements that flip are then
        too few to tell how many would.
        """
        case = self.cases[-1]
        if case.reason:
            return
        if not case.finite:
            return
        reference = wanted[self.name].astype(np.float64).ravel()
        moved = [other[self.name].astype(np.float64).ravel() for other in others]
        with np.errstate(invalid="ignore", over="ignore"):  # infinite where rounding moves it
            most = max((max_abs(reference, other) for other in moved), default=0.0)
            spread = max((rmse(reference, other) for other in moved), default=0.0)
        away, apart = case.metrics["max_abs"], case.metrics["rmse"]
        if most >= away / 2 and apart <= max(case.atol, 2 * spread):
            self.cases[-1] = replace(case, unstable=True)
            note = (
                f"{case.kind}: rounding alone moves the reference by {most:.2g} there (RMS "
                f"{spread:.2g}), and the candidate is {away:.2g} away (RMS {apart:.2g}): no single "
                f"element is judged"
            )
            self.notes[note] = None

    def report(self, *, by_rms: bool) -> OutputParity:
        judging = [case for case in self.cases if not case.unstable] or self.cases
        compared = [case for case in judging if not case.reason]
        worst = max(judging, key=CaseParity.severity)
        notes = list(self.notes)
        low, high = self._span()
        if vacuous := bool(compared) and self._is_vacuous(low, high):
            notes.append(
                f"proves little: the reference hardly varies ({low:.6g} to {high:.6g}), so a "
                "constant would pass as well"
                if low <= high
                else "proves little: the reference has no finite element"
            )
        refused = []
        # Where what varies is excused, what is constant must not carry the verdict.
        if vacuous and len(judging) < len(self.cases) and not by_rms:
            refused.append(NOTHING_JUDGED)
        if vacuous and low > high and any(case.elements for case in compared):
            refused.append(NO_NUMBER)
        passed = all(case.passed or (by_rms and case.unstable) for case in judging)
        return OutputParity(
            name=self.name,
            shape=self.shape,
            dtype=self.dtype,
            metrics={
                metric: worst_of(metric, [case.metrics[metric] for case in self.cases])
                if all(case.is_measured for case in self.cases)
                else math.nan
                for metric in self.metrics
            },
            tolerance=self.tolerance,
            atol=worst.atol,
            needed=Needed(
                _largest([case.needed.atol for case in judging]),
                _largest([case.needed.atol_of_peak for case in judging]),
                _largest([case.needed.rtol for case in judging]),
            ),
            worst=worst.worst,
            mismatches=sum(case.mismatches for case in judging),
            elements=sum(case.elements for case in judging),
            finite=all(case.finite for case in self.cases),
            vacuous=vacuous,
            passed=passed and not refused,
            reason=next((case.reason for case in self.cases if case.reason), ""),
            notes=(*notes, *refused),
            cases=tuple(self.cases),
        )

    def _span(self) -> tuple[float, float]:
        """Of the reference's finite elements in the cases that judge."""
        judging = [
            span for span, case in zip(self.spans, self.cases, strict=True) if not case.unstable
        ] or self.spans
        return min(low for low, _ in judging), max(high for _, high in judging)

    def _is_vacuous(self, low: float, high: float) -> bool:
        peak = max(abs(low), abs(high))
        shares = self.tolerance.atol_of_peak + self.tolerance.rtol
        allowed = self.tolerance.atol + shares * peak
        return not high - low > (allowed if math.isfinite(peak) else 0.0)


def _largest(values: Sequence[float | None]) -> float | None:
    """The largest, unless one is None: then nothing would do for all."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None

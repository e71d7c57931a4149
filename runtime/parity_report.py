"""What a parity comparison found: values that explain themselves, and their JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edgeup.runtime.error_statistics import ELEMWISE
from edgeup.spec import Tolerance

if TYPE_CHECKING:
    from edgeup.runtime.worst_case import Views


@dataclass(frozen=True)
class Needed:
    """The smallest tolerance that would have passed in every case: each with the other as given.

    ``atol`` is in the output's own unit, ``atol_of_peak`` a share of each case's peak. None where
    no value would do: a NaN out of place, another shape, for ``rtol`` an error where the reference
    is 0.
    """

    atol: float | None
    atol_of_peak: float | None
    rtol: float | None


@dataclass(frozen=True)
class Worst:
    """The element that is furthest outside its tolerance, or nearest to its edge."""

    case: str
    index: tuple[int, ...]
    reference: float
    candidate: float

    def to_json(self) -> dict[str, Any]:
        """Numbers that JSON cannot hold become the strings "nan", "inf" and "-inf"."""
        return {
            "case": self.case,
            "index": list(self.index),
            "reference": _number_or_name(self.reference),
            "candidate": _number_or_name(self.candidate),
        }


@dataclass(frozen=True)
class CaseParity:
    """One output in one case.

    ``peak`` is the largest ``|r|``, ``atol`` the absolute tolerance that follows from it;
    ``mismatches`` counts the elements outside the tolerance. Metrics are taken over the
    elements that are finite; they are NaN where one side alone holds NaN or infinity, and where
    ``reason`` says why there are none.
    ``unstable``: the case failed, but rounding alone moves the reference as far (`Nearby`), so
    it judges nothing; ``needed`` and ``mismatches`` of the whole leave it out.
    """

    kind: str
    shape: tuple[int, ...]
    metrics: Mapping[str, float]
    peak: float
    atol: float
    needed: Needed
    worst: Worst | None
    mismatches: int
    elements: int
    finite: bool
    passed: bool
    reason: str
    unstable: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether the two differ by numbers: both are there, and NaN and infinity agree."""
        return self.needed.atol is not None

    def severity(self) -> tuple[bool, float, float]:
        """Orders cases of one output by how far each is outside its own tolerance."""
        needed = self.needed
        if needed.atol is None or needed.atol_of_peak is None:
            return not self.passed, math.inf, math.inf
        near = needed.atol / self.atol if self.atol else needed.atol_of_peak
        return not self.passed, near, self.metrics["max_abs"]

    def to_json(self) -> dict[str, Any]:
        """The fields, without NaN or infinity."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            **{name: _number(value) for name, value in self.metrics.items()},
            "peak": self.peak,
            "atol": self.atol,
            "needed": asdict(self.needed),
            "mismatches": self.mismatches,
            "elements": self.elements,
            "finite": self.finite,
            "passed": self.passed,
            "reason": self.reason,
            "unstable": self.unstable,
        }


@dataclass(frozen=True)
class OutputParity:
    """One output over all cases: each metric is its worst value of any case.

    ``atol`` is that of the worst case, since each case has its own peak.
    ``finite``: every element of both sides was. ``vacuous``: the reference hardly varies over
    all cases, so that passing proves little; a note says so. ``reason``: why the outputs could
    not be compared by number, else empty. ``views``: small pictures of the worst case, where the
    driver held its arrays.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    metrics: Mapping[str, float]
    tolerance: Tolerance
    atol: float
    needed: Needed
    worst: Worst | None
    mismatches: int
    elements: int
    finite: bool
    vacuous: bool
    passed: bool
    reason: str
    notes: tuple[str, ...]
    cases: tuple[CaseParity, ...]
    views: Views | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The entry of a report's ``parity``: undefined metrics are null, never NaN."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            **{name: _number(value) for name, value in self.metrics.items()},
            "tolerance": _tolerance_json(self.tolerance, self.atol),
            "needed": asdict(self.needed),
            "worst": None if self.worst is None else self.worst.to_json(),
            "mismatches": self.mismatches,
            "elements": self.elements,
            "finite": self.finite,
            "vacuous": self.vacuous,
            "passed": self.passed,
            "reason": self.reason,
            "notes": list(self.notes),
            "cases": [case.to_json() for case in self.cases],
        }


def _tolerance_json(tolerance: Tolerance, atol: float) -> dict[str, Any]:
    """``atol`` is the whole of it, in the output's unit, in the worst case."""
    said = {**asdict(tolerance), "atol": atol}
    del said["strict"]  # the reason says it
    if tolerance.statistic == ELEMWISE:
        del said["statistic"]
    return said


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number_or_name(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)

"""How far the candidate may be: what the user says, else what was measured for its precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edgeup.errors import EdgeupError, unknown
from edgeup.runtime.error_statistics import ELEMWISE
from edgeup.runtime.tolerances import tolerance_of
from edgeup.spec import Tolerance

_ORDER = ("fp32", "fp16", "bf16")
"""From the narrowest tolerance to the widest."""


@dataclass(frozen=True)
class ToleranceRequest:
    """What a user said: by output's name, the empty one for all others."""

    rtol: Mapping[str, float] = field(default_factory=dict)
    atol: Mapping[str, float] = field(default_factory=dict)
    statistic: Mapping[str, str] = field(default_factory=dict)


def choose_tolerances(
    request: ToleranceRequest, outputs: Iterable[str], precisions: Iterable[str]
) -> dict[str, Tolerance]:
    """A tolerance for each output.

    Where neither rtol nor atol was given for an output, the one of the coarser side's precision
    holds; where one was given, the other is 0.

    Raises:
        EdgeupError: a tolerance for an output that is not there, or a precision for which none
            is known.
    """
    names = list(outputs)
    for given in (request.rtol, request.atol, request.statistic):
        for name in given:
            if name and name not in names:
                raise unknown("output", name, names)
    sides = list(precisions)
    return {name: _tolerance(request, name, sides) for name in names}


def _tolerance(request: ToleranceRequest, name: str, precisions: list[str]) -> Tolerance:
    rtol = request.rtol.get(name, request.rtol.get(""))
    atol = request.atol.get(name, request.atol.get(""))
    statistic = request.statistic.get(name, request.statistic.get("", ELEMWISE))
    if rtol is None and atol is None:
        return replace(_default(precisions), statistic=statistic)
    return Tolerance(
        rtol=rtol or 0.0,
        atol_of_peak=0.0,
        reason="as it was asked for",
        atol=atol or 0.0,
        statistic=statistic,
        strict=True,
    )


def _default(precisions: list[str]) -> Tolerance:
    if strange := [name for name in precisions if name not in _ORDER]:
        raise EdgeupError(
            f"how far {strange[0]} may be from a reference is not known here: say it with --rtol "
            f"and --atol"
        )
    return tolerance_of(max(precisions, key=_ORDER.index))

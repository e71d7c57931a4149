"""The largest error of a report's ``parity``: what comparisons and regressions judge by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def error_of_peak(parity: Sequence[Mapping[str, Any]]) -> float | None:
    """The largest error of any output on any input, as a share of the output's peak there.

    A share, so that networks with outputs of any size stand on one axis.

    Args:
        parity: the outputs, as a report holds them; cases that judge nothing are left out, where
            others of that output do.

    Returns:
        None where any case has no finite share: an output that could not be compared by number,
        NaN or infinity on one side, an error where the reference is 0 throughout. The largest of
        the rest would hide it. None, too, where there is no case.
    """
    shares = list(_shares(parity))
    return max(shares, default=None) if all(map(math.isfinite, shares)) else None


def _shares(parity: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    for output in parity:
        cases = output.get("cases", ())
        for case in [one for one in cases if not one.get("unstable")] or cases:
            error, peak = case.get("max_abs"), case["peak"]
            if case.get("reason") or error is None:
                yield math.inf
            elif error:
                yield error / peak if peak else math.inf
            else:
                yield 0.0

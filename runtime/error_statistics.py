"""What `Tolerance.statistic` may name: one number of all errors of an output to judge by.

As in Polygraphy (``--check-error-stat``): the statistic passes where that of ``|c - r|`` is within
the absolute tolerance, or that of ``|c - r| / |r|`` within the relative one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.runtime.metrics import Flat

ELEMWISE = "elemwise"
"""No statistic: every element by itself, ``|c - r| <= atol + rtol * |r|``."""

_STATISTICS: Mapping[str, Callable[[Flat], float]] = {
    "max": lambda errors: float(errors.max()),
    "mean": lambda errors: float(errors.mean()),
    "median": lambda errors: float(np.median(errors)),
}
QUANTILE = "quantile"
DEFAULT_QUANTILE = 0.99
NAMES = (ELEMWISE, *_STATISTICS, QUANTILE)


def find_statistic(name: str) -> Callable[[Flat], float]:
    """The statistic of that name; ``quantile:0.95`` is a quantile, not smaller than any error.

    Raises:
        EdgeupError: no such name, or a quantile that is not between 0 and 1.
    """
    if name in _STATISTICS:
        return _STATISTICS[name]
    word, _, share = name.partition(":")
    if word != QUANTILE:
        raise unknown("error statistic", name, NAMES)
    try:
        quantile = float(share or DEFAULT_QUANTILE)
    except ValueError:
        quantile = math.nan
    if not 0 <= quantile <= 1:
        raise EdgeupError(f"quantile {share!r}: wanted a number from 0 to 1, such as 0.95")
    # An error that occurs, never one between two that do: with few elements those are far apart.
    return lambda errors: float(np.quantile(errors, quantile, method="higher"))


def relative(distance: Flat, magnitude: Flat) -> Flat:
    """``|c - r| / |r|``: 0 where both are 0, infinite where only r is."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(distance == 0, 0.0, distance / magnitude)

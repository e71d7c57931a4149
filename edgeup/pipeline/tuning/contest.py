"""Equal models race, and those that are surely slower leave early.

Successive rejection: all are timed briefly; who is not within the noise of the fastest leaves;
those that stay are timed for longer. So the time goes to where the decision is close.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeup.export.passes.tuned import Verdict
from edgeup.runtime.latency import Ratio, ratio
from edgeup.runtime.timer import Budget, Times

HEATS = (
    Budget(warmup_s=0.03, warmup_limit_s=0.3, duration_s=0.15, min_rounds=8),
    Budget(warmup_s=0.03, warmup_limit_s=0.3, duration_s=0.4, min_rounds=16),
    Budget(warmup_s=0.03, warmup_limit_s=0.3, duration_s=1.0, min_rounds=30),
)
"""A heat each: most sites take 0.1 to 10 ms, so the first gives some hundred rounds or its 8."""

SURE = 0.99
"""Confidence: a network has dozens of comparisons, and at 0.95 some would be wrong."""

Race = Callable[[Sequence[str], Budget], dict[str, Times]]
"""Times the models of these names, interleaved."""


def contest(names: Sequence[str], race: Race, heats: Sequence[Budget] = HEATS) -> Verdict:
    """The fastest; the first of ``names`` unless another is faster beyond the noise."""
    first = names[0]
    standing = list(names)
    for heat in heats:
        times = race(standing, heat)
        best = min(standing, key=lambda name: float(np.median(times[name])))
        gain = _faster(times[first], times[best])
        rivals = [n for n in standing if n == best or _faster(times[n], times[best]).low <= 1]
        if rivals == [best]:
            break
        standing = list(dict.fromkeys((first, *rivals)))
    winner = best if gain.low > 1 else first
    if best == first:
        gain = _runner_up(times, first)
    return Verdict(winner, gain.median, gain.low, gain.high)


def _runner_up(times: dict[str, Times], first: str) -> Ratio:
    """Of the others, the best against the first; below 1, since the first was faster."""
    others = [name for name in times if name != first]
    second = min(others, key=lambda name: float(np.median(times[name])))
    return _faster(times[first], times[second])


def _faster(a: Times, b: Times) -> Ratio:
    return ratio(a, b, confidence=SURE)

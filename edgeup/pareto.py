"""Which of several candidates no other one beats: as drawn, and beyond what noise decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ERROR_FLOOR = 1e-4
"""Of the peak. Below it fp32's own rounding decides: networks of 11 to 38 convolutions needed up
to 1.6e-5 for sums in another order (`edgeup.runtime.tolerances`), and typical were 1e-6 to 6e-6.
"""
_ENERGY_STEP = 1.1
"""Two runs of one model differ by some percent, and a report has no interval of the energy."""


def efficient(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each candidate is Pareto-efficient: less is better in every cost.

    One beats another where it is no worse in all costs and better in one; equals do not beat each
    other. Costs are compared as they are given, however close they are: that is for a line
    through what is drawn. `marked` says which differ beyond noise.
    """
    return [not any(_dominates(other, one) for other in costs) for one in costs]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@dataclass(frozen=True)
class Costs:
    """What a candidate costs, as far as it was measured.

    Attributes:
        low: of the interval that holds its time, in a unit common to all candidates.
        high: of the same.
        error: as a share of the output's peak.
        energy: of an inference, above 0; None where it does not count.
    """

    low: float
    high: float
    error: float
    energy: float | None = None

    @property
    def steps(self) -> tuple[int, int]:
        """Error and energy on grids of which the lines are further apart than noise."""
        return (
            math.floor(math.log10(max(self.error, ERROR_FLOOR / 10))),
            math.floor(math.log(self.energy, _ENERGY_STEP)) if self.energy is not None else 0,
        )


def marked(costs: Sequence[Costs]) -> list[bool]:
    """Whether each candidate is marked: of the others, each is beaten by a marked one.

    One beats another where it is better in one cost and no worse in the rest. A time is less
    where the intervals are apart; error and energy are compared by `Costs.steps` (boxes: Laumanns
    et al. 2002, Combining convergence and diversity). "No worse within a tolerance" alone would
    not do: it is not transitive, and four candidates can beat each other in a circle. Steps are,
    so that around a circle they would all be equal, each time would be less than the next, and
    intervals that are apart have an order. So beating has no circles, there is one set that is
    marked, and it has at least one member.
    """
    found: set[int] = set()
    # What beats another comes before it in this order.
    for index in sorted(range(len(costs)), key=lambda i: (*costs[i].steps, costs[i].low)):
        if not any(_beats(costs[better], costs[index]) for better in found):
            found.add(index)
    return [index in found for index in range(len(costs))]


def _beats(one: Costs, other: Costs) -> bool:
    if other.high < one.low or any(a > b for a, b in zip(one.steps, other.steps, strict=True)):
        return False
    return one.high < other.low or one.steps != other.steps


def rule(*, energy: bool) -> str:
    """What the marks mean, for those who read them."""
    costs = "latency, error and energy" if energy else "latency and error"
    return (
        f"Pareto-efficient: each of the others is beaten by a marked one of its input shape, which "
        f"is better in one of {costs} and no worse in the rest. Noise does not count: a latency is "
        f"less where the intervals of the ratios are apart, an error where its power of ten is"
        f"{', an energy by a step of 10 %' if energy else ''}; errors below {ERROR_FLOOR:.0e} of "
        f"the peak, where fp32's own rounding decides, are equal."
    )

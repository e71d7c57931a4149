"""Which of several candidates no other one beats."""

from __future__ import annotations

from collections.abc import Sequence


def efficient(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each candidate is Pareto-efficient: less is better in every cost.

    One beats another where it is no worse in all costs and better in one; equals do not beat each
    other. Costs are compared as they are given: of two median latencies the smaller one is the
    better, however close they are. Whether they differ beyond noise, only their ratio's interval
    says.
    """
    return [not any(_beats(other, one) for other in costs) for one in costs]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

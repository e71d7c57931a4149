"""What no other candidate beats, against the definition written out another way."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.pareto import Costs, efficient, marked, rule

COST = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf])  # few, so that ties are common


@st.composite
def candidates(draw: st.DrawFn) -> list[tuple[float, ...]]:
    width = draw(st.integers(1, 3))
    return draw(st.lists(st.tuples(*[COST] * width), max_size=9))


def brute_force(costs: list[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Remove what is beaten by one of the rest, pair by pair, until nothing is."""
    left = set(costs)
    for one, other in itertools.permutations(sorted(set(costs)), 2):
        if tuple(map(min, one, other)) == one:
            left.discard(other)
    return left


@settings(max_examples=200, deadline=None)
@given(candidates())
def test_the_efficient_are_those_of_the_definition(costs: list[tuple[float, ...]]) -> None:
    found = efficient(costs)
    best = brute_force(costs)
    assert found == [cost in best for cost in costs]
    assert any(found) or not costs


def test_equals_do_not_beat_each_other_and_one_cost_is_enough_to_lose() -> None:
    assert efficient([(1, 2), (1, 2), (1, 3), (0, 9)]) == [True, True, False, True]
    assert efficient([(1, 5, 5), (1, 5, 4)]) == [False, True]
    assert efficient([]) == []


LOW, WIDTH = st.sampled_from([1.0, 1.1, 2.0, 3.0]), st.sampled_from([0.0, 0.2, 1.5, 5.0])
ERRORS = st.sampled_from([0.0, 3e-7, 2e-6, 5e-5, 2e-4, 9e-4, 3e-3, 0.5])


@st.composite
def measured(draw: st.DrawFn) -> list[Costs]:
    energies = draw(st.sampled_from([st.none(), st.sampled_from([0.2, 5.0, 5.1, 9.0])]))
    made = []
    for low, width, error in draw(st.lists(st.tuples(LOW, WIDTH, ERRORS), max_size=8)):
        made.append(Costs(low, low + width, error, draw(energies)))
    return made


def is_better(one: Costs, other: Costs) -> bool:
    """By the rule as it is told."""
    steps = [(a, b) for a, b in zip(one.steps, other.steps, strict=True)]
    faster, slower = one.high < other.low, other.high < one.low
    return not slower and all(a <= b for a, b in steps) and (faster or any(a < b for a, b in steps))


@settings(max_examples=300, deadline=None)
@given(measured())
def test_each_that_is_not_marked_is_beaten_by_a_marked_one_and_no_marked_one_is(
    costs: list[Costs],
) -> None:
    found = marked(costs)
    best = [cost for cost, good in zip(costs, found, strict=True) if good]
    for cost, good in zip(costs, found, strict=True):
        assert good != any(is_better(other, cost) for other in best)
    assert best or not costs
    assert marked(costs[::-1])[::-1] == found, "the order in which they are given says nothing"


def test_noise_beats_nothing() -> None:
    # The median of one is 1.04 of the other's, between 0.76 and 1.07; the errors are fp32's.
    assert marked([Costs(1, 1, 1.76e-6), Costs(0.76, 1.07, 1.35e-6)]) == [True, True]
    # Least rounding is no merit of what is slower beyond noise; nor is to be the reference.
    assert marked([Costs(1, 1, 1.76e-6), Costs(1.5, 1.6, 1.35e-6)]) == [True, False]
    assert marked([Costs(1, 1, 1.76e-6), Costs(1.5, 1.6, 0.0)]) == [True, False]
    assert marked([Costs(1, 1, 1e-6, 5.0), Costs(1, 1, 1e-6, 5.01)]) == [True, True]


def test_what_is_beyond_noise_counts() -> None:
    assert marked([Costs(1, 1, 1e-6), Costs(0.8, 0.9, 2e-3)]) == [True, True]
    assert marked([Costs(1, 1, 1e-6), Costs(0.9, 1.1, 2e-3)]) == [True, False]
    assert marked([Costs(1, 1, 1e-3, 5.0), Costs(1, 1, 1e-3, 9.0)]) == [True, False]
    assert marked([Costs(1, 1, 1e-3, 5.0), Costs(1, 1, 1e-3, 0.1)]) == [False, True]


def test_what_is_beaten_beats_no_other() -> None:
    """Of three that are each no slower than the next beyond noise, the last is faster."""
    costs = [Costs(3, 5, 1e-6), Costs(2, 4, 2e-4), Costs(1, 2.5, 2e-3)]
    assert is_better(costs[0], costs[1])
    assert is_better(costs[1], costs[2])
    assert not is_better(costs[0], costs[2])
    assert marked(costs) == [True, False, True]


def test_the_rule_names_what_counts() -> None:
    assert "latency and error and no worse" in rule(energy=False)
    assert "latency, error and energy and no worse" in rule(energy=True)
    assert "an energy by a step of 10 %" in rule(energy=True)

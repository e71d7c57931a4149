"""What no other candidate beats, against the definition written out another way."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.pareto import efficient

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

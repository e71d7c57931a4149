"""The search over cuts, on trails made by hand, and its judgement of one value."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.runtime.bisect import (
    Step,
    Trail,
    becomes_nonfinite,
    differs,
    error_of_peak,
    first_made,
    first_where,
    peak_of,
)
from edgeup.runtime.parity import compare
from edgeup.runtime.tolerances import FP32_TOLERANCE
from edgeup.spec import Array, Tolerance


class Chain:
    """Values v0, v1, ...; from the wrong one on, all differ. Keeps count of what is fetched."""

    def __init__(self, length: int, wrong: int, hidden: frozenset[int] = frozenset()) -> None:
        self.wrong = wrong
        self.asked: list[str] = []
        shown = [index not in hidden for index in range(length)]
        self.trail = Trail(
            steps=tuple(Step(f"n{i}", "Op", (f"v{i}",) * shown[i]) for i in range(length)),
            cuts=tuple((f"v{i}",) if shown[i] else None for i in range(length)),
            sizes={f"v{i}": 40 for i in range(length) if shown[i]},
        )

    def fetch(self, names: Sequence[str]) -> list[dict[str, Array]]:
        self.asked += names
        right = {name: np.ones(10, np.float32) for name in names}
        return [right, {n: a + (int(n[1:]) >= self.wrong) for n, a in right.items()}]


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 300), data=st.data())
def test_chain_is_halved(length: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, length - 1))
    chain = Chain(length, wrong)
    found = first_where(chain.trail, chain.fetch, differs(FP32_TOLERANCE), budget=80)
    assert found is not None
    assert (found.step.node, found.value, found.among) == (f"n{wrong}", f"v{wrong}", (f"n{wrong}",))
    assert found.runs == len(chain.asked) <= 1 + math.ceil(math.log2(length))
    assert found.peak_bytes == 80


@settings(max_examples=60, deadline=None)
@given(length=st.integers(2, 60), data=st.data())
def test_values_that_cannot_be_compared_widen_the_answer(length: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, length - 1))
    hidden = frozenset(data.draw(st.lists(st.integers(0, length - 2))))
    chain = Chain(length, wrong, hidden)
    found = first_where(chain.trail, chain.fetch, differs(FP32_TOLERANCE))
    shown = next(index for index in range(wrong, length) if index not in hidden)
    assert found is not None
    assert found.step.node == f"n{shown}"
    before = max((i for i in range(wrong) if i not in hidden), default=-1)
    assert found.among == tuple(f"n{i}" for i in range(before + 1, shown + 1))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 60), data=st.data())
def test_what_vanishes_again_is_found_in_order(length: int, data: st.DataObject) -> None:
    """Node i reads node i - 1; the wrong stretch ends before the output. Three values at a time."""
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    names = [f"v{i}" for i in range(length)]
    trail = Trail(
        tuple(Step(f"n{i}", "Op", (f"v{i}",), (f"v{i - 1}",) * (i > 0)) for i in range(length)),
        tuple((name,) for name in names),
        dict.fromkeys(names, 40),
    )
    asked: list[str] = []

    def fetch(wanted: Sequence[str]) -> list[dict[str, Array]]:
        asked.extend(wanted)
        right = {name: np.ones(10, np.float32) for name in wanted}
        return [right, {n: a + (start <= int(n[1:]) < stop) for n, a in right.items()}]

    found = first_made(trail, fetch, differs(FP32_TOLERANCE), budget=240)
    assert found is not None
    assert (found.step.node, found.among) == (f"n{start}", (f"n{start}",))
    assert found.peak_bytes <= 240
    assert found.runs == start // 3 + 1
    assert len(asked) == len(set(asked))
    assert first_made(trail, fetch, becomes_nonfinite, budget=240) is None


def test_no_wrong_output_takes_one_run() -> None:
    chain = Chain(64, wrong=64)
    assert first_where(chain.trail, chain.fetch, differs(FP32_TOLERANCE)) is None
    assert chain.asked == ["v63"]


def test_batches_keep_within_the_budget() -> None:
    """A cut of ten values, of which the last differs: two at a time are held."""
    names = tuple(f"v{i}" for i in range(10))
    trail = Trail((Step("n", "Split", names),), (names,), dict.fromkeys(names, 40))
    sizes: list[int] = []

    def fetch(asked: Sequence[str]) -> list[dict[str, Array]]:
        sizes.append(len(asked))
        right = {name: np.ones(10, np.float32) for name in asked}
        return [right, {n: a + (n == "v9") for n, a in right.items()}]

    found = first_where(trail, fetch, differs(FP32_TOLERANCE), budget=170)
    assert found is not None
    assert found.value == "v9"
    assert sizes == [2] * 5
    assert found.peak_bytes == 160
    with pytest.raises(EdgeupError, match="value v0 takes 80 bytes on both sides, more than"):
        first_where(trail, fetch, differs(FP32_TOLERANCE), budget=79)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    by=st.sampled_from([0.0, 1e-6, 4e-5, 1e-4, 1e-2]),
    strange=st.sampled_from([None, np.nan, np.inf]),
    both=st.booleans(),
    rtol=st.sampled_from([0.0, 1e-4]),
)
def test_judges_as_the_parity_driver_does(
    seed: int, by: float, strange: float | None, both: bool, rtol: float
) -> None:
    rng = np.random.default_rng(seed)
    r = rng.normal(size=(3, 50)).astype(np.float32)
    c = (r + by * rng.uniform(-1, 1, r.shape)).astype(np.float32)
    if strange is not None:
        c[1, 7] = strange
        r[1, 7] = strange if both else r[1, 7]
    tolerance = Tolerance(rtol=rtol, atol_of_peak=5e-5, reason="of the test")
    [report] = compare([("noise", {"y": r}, {"y": c})], tolerance)
    assert differs(tolerance)((r, c)) == (not report.passed)
    assert becomes_nonfinite((r, c)) == (strange is not None and not both)
    assert becomes_nonfinite((c,)) == (strange is not None)


def test_integers_and_shapes() -> None:
    judge = differs(FP32_TOLERANCE)
    assert not judge((np.arange(4), np.arange(4)))
    assert judge((np.arange(4), np.arange(4) + np.eye(4, dtype=np.int64)[2]))
    assert judge((np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)))
    assert not judge((np.ones(4, np.float32), np.ones(4, np.float16)))
    assert peak_of(np.array([1.0, -3.0, np.nan, np.inf])) == 3.0
    assert error_of_peak(np.array([1.0, -4.0]), np.array([1.0, -3.0])) == 0.25
    assert error_of_peak(np.array([1.0, -4.0]), np.array([1.0, np.nan])) == math.inf
    assert error_of_peak(np.array([1.0, -4.0]), np.array([1.0, np.inf])) == math.inf
    assert error_of_peak(np.ones(2), np.ones(3)) == math.inf

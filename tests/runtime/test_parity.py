from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.runtime.inputs import Case, nudged
from edgeup.runtime.parity import (
    FP32_TOLERANCE,
    NOTHING_JUDGED,
    Comparison,
    compare,
    run_parity,
)
from edgeup.spec import Array, Feeds, Tolerance

NONE = Tolerance(0.0, 0.0, "equal bits")
LOOSE = Tolerance(0.1, 0.01, "test")
REFERENCE = np.array([[1.0, -2.0], [10.0, 0.0]], np.float32)


def _one(reference, candidate, tolerance=NONE):
    (parity,) = compare([("noise", {"y": reference}, {"y": candidate})], tolerance)
    json.dumps(parity.to_json(), allow_nan=False)
    return parity


def _changed(index, value):
    array = REFERENCE.copy()
    array[index] = value
    return array


def test_equal_passes_at_zero_tolerance():
    parity = _one(REFERENCE, REFERENCE.copy())
    assert parity.passed
    assert parity.metrics["max_abs"] == 0.0
    assert parity.metrics["cosine"] == 1.0
    assert (parity.needed.atol, parity.needed.atol_of_peak, parity.needed.rtol) == (0, 0, 0)
    assert not parity.vacuous
    assert parity.notes == ()


def test_semantics_of_the_tolerance_by_hand():
    # peak 10: atol = 0.01 * 10 = 0.1; at r = -2: 0.1 + 0.1 * 2 = 0.3; at r = 0: 0.1
    assert _one(REFERENCE, _changed((0, 1), -2.25), LOOSE).passed
    assert not _one(REFERENCE, _changed((0, 1), -2.375), LOOSE).passed
    assert _one(REFERENCE, _changed((1, 1), 0.0625), LOOSE).passed
    assert not _one(REFERENCE, _changed((1, 1), 0.125), LOOSE).passed


def test_a_failure_explains_itself():
    parity = _one(REFERENCE, _changed((0, 1), -2.5), LOOSE)
    assert not parity.passed
    assert parity.mismatches == 1
    assert parity.elements == 4
    assert parity.worst is not None
    assert (parity.worst.case, parity.worst.index) == ("noise", (0, 1))
    assert (parity.worst.reference, parity.worst.candidate) == (-2.0, -2.5)
    assert parity.needed.atol == pytest.approx(0.3)  # 0.5 - 0.1 * 2
    assert parity.needed.atol_of_peak == pytest.approx(0.03)
    assert parity.needed.rtol == pytest.approx(0.2)  # (0.5 - 0.1) / 2
    assert parity.atol == pytest.approx(0.1)


def test_where_the_reference_is_zero_no_rtol_helps():
    parity = _one(REFERENCE, _changed((1, 1), 0.5), LOOSE)
    assert parity.needed.rtol is None
    assert parity.needed.atol_of_peak == pytest.approx(0.05)
    nothing = np.zeros((2, 2), np.float32)
    parity = _one(nothing, nothing + 1, LOOSE)
    assert parity.needed.atol == 1.0
    assert parity.needed.atol_of_peak is None
    assert parity.metrics["cosine"] == 0.0


FLOATS = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=8),
    st.sampled_from([0.0, 1e-6, 1e-3, 0.1]),
    st.sampled_from([0.0, 1e-7, 1e-3, 0.1]),
    st.sampled_from([1.0, 1e-6]),
)
def test_needed_is_the_smallest_that_passes(pairs, rtol, atol_of_peak, noise):
    reference = np.array([r for r, _ in pairs], np.float64)
    candidate = reference + noise * np.array([c for _, c in pairs], np.float64)
    tolerance = Tolerance(rtol, atol_of_peak, "test")
    needed = _one(reference, candidate, tolerance).needed
    for field in ("atol_of_peak", "rtol"):
        if (value := getattr(needed, field)) is None:
            assert not _one(reference, candidate, replace(tolerance, **{field: 1e300})).passed
            continue
        assert _one(reference, candidate, replace(tolerance, **{field: value})).passed
        assume(value > 1e-300)
        less = value - 1e-9 * max(value, np.abs(candidate - reference).max())
        assume(less >= 0)
        assert not _one(reference, candidate, replace(tolerance, **{field: less})).passed


def test_each_case_is_judged_by_its_own_peak():
    bright = {"y": 1000 * REFERENCE}
    dim, wrong = {"y": REFERENCE}, {"y": _changed((1, 1), 1.0)}
    tolerance = Tolerance(0.0, 0.01, "test")  # 1.0 is 0.0001 of the bright peak, 0.1 of its own
    (parity,) = compare([("ones", bright, bright), ("ramp", dim, wrong)], tolerance)
    assert not parity.passed
    assert [case.passed for case in parity.cases] == [True, False]
    assert parity.worst is not None
    assert parity.worst.case == "ramp"
    assert parity.needed.atol_of_peak == pytest.approx(0.1)
    assert parity.to_json()["cases"][1]["kind"] == "ramp"


def test_metrics_are_the_worst_of_all_cases():
    far, near = {"y": REFERENCE + 2}, {"y": REFERENCE + 1}
    pairs = [("noise", {"y": REFERENCE}, far), ("ramp", {"y": REFERENCE}, near)]
    (parity,) = compare(pairs, LOOSE)
    assert parity.metrics["max_abs"] == 2.0
    assert parity.metrics["cosine"] == min(case.metrics["cosine"] for case in parity.cases)
    assert parity.metrics["cosine"] < parity.cases[1].metrics["cosine"]


@pytest.mark.parametrize(
    ("there", "here", "passes"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.nan, np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (1.0, np.inf, False),
    ],
)
def test_nan_and_infinity(there, here, passes):
    tolerance = Tolerance(1.0, 1.0, "anything finite passes")
    parity = _one(_changed((0, 0), there), _changed((0, 0), here), tolerance)
    assert parity.passed is passes
    assert not parity.finite
    assert parity.mismatches == (0 if passes else 1)
    assert ("the reference holds NaN" in parity.notes) is bool(np.isnan(there))
    if not passes:
        assert parity.worst is not None
        assert parity.worst.index == (0, 0)
        assert parity.needed == replace(parity.needed, atol=None, atol_of_peak=None, rtol=None)
    # What is left are equal elements: their figures must not stand for a failing output.
    figures = {parity.to_json()[name] for name in ("max_abs", "rmse", "cosine")}
    assert figures == ({0.0, 1.0} if passes else {None})


def test_figures_of_a_case_with_nan_are_missing_from_the_whole():
    good, broken = {"y": REFERENCE}, {"y": _changed((0, 0), np.nan)}
    (parity,) = compare([("a", good, good), ("b", good, broken)], LOOSE)
    document = parity.to_json()
    assert [case["cosine"] for case in document["cases"]] == [pytest.approx(1.0), None]
    assert [case["max_abs"] for case in document["cases"]] == [0.0, None]
    assert document["max_abs"] is document["rmse"] is document["cosine"] is None
    assert parity.worst is not None
    assert parity.worst.case == "b"


def test_the_tolerance_is_of_the_references_peak_whatever_the_candidate_holds():
    tolerance = Tolerance(0.0, 0.02, "a share of the peak")
    parity = _one(REFERENCE, np.full_like(REFERENCE, np.nan), tolerance)
    peak = float(np.abs(REFERENCE).max())
    assert peak > 0
    assert parity.cases[0].peak == peak
    assert parity.to_json()["tolerance"]["atol"] == pytest.approx(0.02 * peak)


def test_a_nan_in_a_later_case_is_not_forgotten():
    broken = {"y": _changed((0, 0), np.nan)}
    good = {"y": REFERENCE}
    (parity,) = compare([("a", good, broken), ("b", good, good)], LOOSE)
    assert not parity.passed
    assert parity.needed.rtol is None
    assert parity.worst is not None
    assert parity.worst.to_json()["candidate"] == "nan"


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ({"y": REFERENCE.T[:1]}, "got shape 1x2, the reference has 2x2"),
        ({"y": REFERENCE.astype(np.float16)}, "got dtype float16, the reference has float32"),
        ({}, "the candidate has no such output"),
    ],
)
def test_another_interface_fails_with_its_reason(candidate, reason):
    (parity,) = compare([("noise", {"y": REFERENCE}, candidate)], LOOSE)
    assert not parity.passed
    assert parity.reason == reason
    assert not parity.vacuous
    document = json.loads(json.dumps(parity.to_json(), allow_nan=False))
    assert document["max_abs"] is None
    assert document["needed"] == {"atol": None, "atol_of_peak": None, "rtol": None}


def test_an_additional_output_fails():
    y, z = compare([("noise", {"y": REFERENCE}, {"z": REFERENCE, "y": REFERENCE})], LOOSE)
    assert (y.name, y.passed) == ("y", True)
    assert (z.name, z.passed, z.reason) == ("z", False, "the reference has no such output")


def test_text_is_not_compared_by_number():
    words = np.array(["a", "b"])
    assert _one(words, words).reason == "dtype str32 cannot be compared by number"


def test_integers_and_booleans_are_exact():
    classes = np.array([1, 2, 3, 2**53], np.int64)
    assert _one(classes, classes.copy(), LOOSE).passed
    parity = _one(classes, classes + np.array([0, 0, 0, 1]), LOOSE)
    assert not parity.passed  # float64 cannot tell these two apart
    assert parity.mismatches == 1
    assert parity.tolerance.rtol == 0.0
    mask = np.array([True, False, True])
    assert _one(mask, mask.copy(), LOOSE).passed
    assert _one(mask, ~mask, LOOSE).mismatches == 3
    assert _one(classes.astype(np.uint8), classes.astype(np.uint8) + np.uint8(1)).mismatches == 4


def test_a_constant_reference_is_vacuous():
    flat = np.full((4, 4), 0.5, np.float32)
    parity = _one(flat, flat.copy(), LOOSE)
    assert parity.passed
    assert parity.vacuous
    assert "proves little" in parity.notes[0]
    almost = flat + np.linspace(0, 1e-4, 16, dtype=np.float32).reshape(4, 4)
    assert _one(almost, almost.copy(), LOOSE).vacuous
    assert not _one(almost, almost.copy(), NONE).vacuous


def test_constant_in_each_case_but_not_over_all_is_not_vacuous():
    low, high = {"y": np.array([0.5])}, {"y": np.array([2.5])}
    (parity,) = compare([("a", low, low), ("b", high, high)], LOOSE)
    assert not parity.vacuous


def test_all_nan_is_vacuous():
    nothing = np.full(3, np.nan)
    parity = _one(nothing, nothing.copy())
    assert parity.vacuous
    assert "no finite element" in parity.notes[1]
    assert not parity.passed  # two networks that give nothing but NaN may be any two
    some = np.array([np.nan, 1.0, 2.0])
    assert _one(some, some.copy()).passed


def test_tolerance_by_output():
    pairs = [("noise", {"y": REFERENCE, "z": REFERENCE}, {"y": REFERENCE, "z": REFERENCE + 1})]
    tight, loose = compare(pairs, {"y": NONE, "z": Tolerance(0.0, 0.2, "test")})
    assert tight.passed
    assert loose.passed
    with pytest.raises(EdgeupError, match="output 'z' has no tolerance; one was given for y"):
        compare(pairs, {"y": NONE})


def test_no_case_is_refused():
    with pytest.raises(EdgeupError, match="nothing to compare"):
        compare([], NONE)


def test_cases_may_have_different_shapes():
    small, large = {"y": REFERENCE}, {"y": np.arange(9.0, dtype=np.float32).reshape(3, 3)}
    (parity,) = compare([("noise", small, small), ("noise", large, large)], NONE)
    assert parity.passed
    assert [case.shape for case in parity.cases] == [(2, 2), (3, 3)]


def test_one_case_is_held_at_a_time():
    alive: list[weakref.ref] = []
    most = 0

    def run(feeds):
        nonlocal most
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        output = feeds["x"] * 2
        alive.append(weakref.ref(output))
        return {"y": output}

    cases = (Case("noise", {"x": REFERENCE + i}) for i in range(5))
    (parity,) = run_parity(run, run, cases, NONE)
    assert parity.passed
    assert len(alive) == 10
    assert most == 1  # the reference's output while the candidate runs


def test_run_parity_feeds_both_the_same():
    cases = [Case("ramp", {"x": REFERENCE})]
    (parity,) = run_parity(
        lambda feeds: {"y": feeds["x"]}, lambda feeds: {"y": feeds["x"] + 1}, cases, LOOSE
    )
    assert parity.metrics["max_abs"] == 1.0
    assert not parity.passed


def _with_ties(scale: float) -> Callable[[Feeds], dict[str, Array]]:
    """Where x > 0.5 the output jumps: rounding decides for x next to 0.5."""

    def run(feeds: Feeds) -> dict[str, Array]:
        x = feeds["x"]
        return {"y": (np.where(x * np.float32(scale) > 0.5, x + 1, x)).astype(np.float32)}

    return run


def _nearby(run: Callable[[Feeds], dict[str, Array]]) -> Callable[[Feeds], list[dict[str, Array]]]:
    return lambda feeds: [run(nudged(feeds, seed)) for seed in range(3)]


def test_a_case_that_rounding_decides_judges_nothing_and_the_others_still_do() -> None:
    reference, candidate = _with_ties(1.0), _with_ties(1.0 + 1e-6)
    clean = np.linspace(0, 0.4, 50, dtype=np.float32)
    ties = np.full(50, 0.5 - 1e-7, dtype=np.float32)
    cases = [Case("clean", {"x": clean}), Case("ties", {"x": ties})]
    [plain] = run_parity(reference, candidate, cases, FP32_TOLERANCE)
    assert not plain.passed
    [output] = run_parity(reference, candidate, cases, FP32_TOLERANCE, nearby=_nearby(reference))
    assert output.passed
    assert [case.unstable for case in output.cases] == [False, True]
    assert "ties: rounding alone moves the reference by 1 there" in output.notes[0]
    assert output.metrics["max_abs"] == pytest.approx(1)  # shown; it does not judge
    assert output.needed.atol == 0
    [alone] = run_parity(reference, candidate, cases[1:], FP32_TOLERANCE, nearby=_nearby(reference))
    assert not alone.passed


def test_one_element_that_flips_excuses_no_other() -> None:
    reference = _with_ties(1.0)
    x = np.linspace(0, 0.4, 400, dtype=np.float32)
    x[7] = np.float32(0.5)
    feeds = {"x": x}
    nearby = _nearby(reference)
    moved = max(np.abs(o["y"] - reference(feeds)["y"]).max() for o in nearby(feeds))
    assert moved == pytest.approx(1)

    def wrong(flips: int) -> Callable[[Feeds], dict[str, Array]]:
        def run(feeds: Feeds) -> dict[str, Array]:
            y = reference(feeds)["y"].copy()
            y[7 : 7 + flips] += 1
            return {"y": y}

        return run

    clean = Case("clean", {"x": np.linspace(0, 0.4, 50, dtype=np.float32)})
    for flips, passes in ((1, True), (3, True), (6, False), (100, False)):
        # The clean case judges, and passes: it must not carry what is wrong in the other.
        cases = [Case("flip", feeds), clean]
        candidate = wrong(flips)
        [output] = run_parity(
            reference,
            lambda feeds, run=candidate: run(feeds) if feeds["x"].size == 400 else reference(feeds),
            cases, FP32_TOLERANCE, nearby=nearby,
        )  # fmt: skip
        assert output.passed == passes, flips
        assert output.cases[0].unstable == passes


def test_what_is_constant_does_not_carry_the_verdict_of_what_is_excused() -> None:
    reference, candidate = _with_ties(1.0), _with_ties(1.0 + 1e-6)
    ties = Case("ties", {"x": np.full(50, 0.5 - 1e-7, dtype=np.float32)})
    zeros = Case("zeros", {"x": np.zeros(50, dtype=np.float32)})
    nearby = _nearby(reference)
    [output] = run_parity(reference, candidate, [ties, zeros], FP32_TOLERANCE, nearby=nearby)
    assert output.vacuous
    assert not output.passed
    assert output.notes[-1] == NOTHING_JUDGED


def test_a_strict_output_is_excused_by_nothing() -> None:
    reference = {"y": np.array([0, 1, 2], np.float32), "mask": np.array([0, 1, 2])}
    candidate = {"y": np.array([0, 1, 2.5], np.float32), "mask": np.array([0, 1, 1])}
    for strict in (False, True):
        comparison = Comparison(Tolerance(0.0, 0.0, "asked", 0.1, strict=strict))
        failed = comparison.add(("a", reference, candidate), lambda: [candidate])
        # Of whole numbers, no tolerance can be asked for: rounding may flip an ArgMax.
        assert failed == (("y",) if strict else ())


def test_what_rounding_makes_infinite_warns_of_nothing() -> None:
    comparison = Comparison(Tolerance(0.0, 0.0, "test"))
    one, other = {"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.5])}
    with np.errstate(all="raise"):
        assert comparison.add(("a", one, other), lambda: [{"y": np.array([1.0, np.inf])}]) == ("y",)


def test_the_tolerance_needed_serves_every_case() -> None:
    small = np.linspace(0, 1, 9, dtype=np.float32)
    cases = [("large", small * 100, small * 100 + 0.05), ("small", small, small + 0.01)]
    pairs = [(kind, {"y": r}, {"y": c}) for kind, r, c in cases]
    [output] = compare(pairs, Tolerance(0.0, 1e-3, "test"))
    assert output.worst is not None
    assert output.worst.case == "small"  # 1 % of its peak
    assert output.needed.atol == pytest.approx(0.05, rel=1e-3)
    assert output.needed.atol_of_peak == pytest.approx(0.01, rel=1e-3)
    [absolute] = compare(pairs, Tolerance(0.0, 0.0, "asked", 0.001))
    assert absolute.worst is not None
    assert absolute.worst.case == "large"
    assert compare(pairs, Tolerance(0.0, 0.0, "asked", output.needed.atol))[0].passed


def test_an_error_where_the_reference_is_stable_is_not_excused() -> None:
    reference = _with_ties(1.0)
    case = Case("clean", {"x": np.linspace(0, 0.4, 50, dtype=np.float32)})

    def wrong(feeds: Feeds) -> dict[str, Array]:
        return {"y": reference(feeds)["y"] * np.float32(1.01)}

    [output] = run_parity(reference, wrong, [case], FP32_TOLERANCE, nearby=_nearby(reference))
    assert not output.passed
    assert not output.cases[0].unstable

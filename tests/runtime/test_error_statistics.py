"""What `--check-error-stat` judges by, alone and in a comparison."""

from __future__ import annotations

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.error_statistics import find_statistic, relative
from edgeup.runtime.parity import Comparison, compare
from edgeup.spec import Tolerance

ERRORS = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
REFERENCE = np.array([100.0, 10.0, 4.0, 6.0, 20.0], np.float32)


CANDIDATE = REFERENCE + ERRORS.astype(np.float32)


def judged(statistic, rtol=0.0, atol=0.0, candidate=CANDIDATE):
    tolerance = Tolerance(rtol, 0.0, "test", atol, statistic)
    [report] = compare([("noise", {"y": REFERENCE}, {"y": candidate})], tolerance)
    return report


@pytest.mark.parametrize(
    ("name", "absolute", "by_reference"),
    [
        ("max", 10.0, 0.5),
        ("mean", 16 / 5, (0 + 0.1 + 0.5 + 0.5 + 0.5) / 5),
        ("median", 2.0, 0.5),
        ("quantile:0.6", 3.0, 0.5),
        ("quantile:0.25", 1.0, 0.1),
        ("quantile", 10.0, 0.5),
    ],
)
def test_a_statistic_passes_by_either_tolerance(name, absolute, by_reference):
    assert find_statistic(name)(ERRORS) == pytest.approx(absolute)
    report = judged(name)
    assert report.needed.atol == pytest.approx(absolute)
    assert report.needed.rtol == pytest.approx(by_reference)
    assert not report.passed
    assert judged(name, atol=absolute + 1e-6).passed
    assert judged(name, rtol=by_reference + 1e-6).passed
    assert not judged(name, rtol=by_reference * 0.99, atol=absolute * 0.99).passed
    assert report.to_json()["tolerance"]["statistic"] == name


def test_elements_are_judged_by_the_sum_of_both():
    exact = judged("elemwise", rtol=0.25, atol=5.0)  # 10 <= 5 + 0.25 * 20
    assert exact.passed
    assert not judged("elemwise", rtol=0.25, atol=4.99).passed
    assert exact.needed.atol == pytest.approx(5.0)
    assert "statistic" not in exact.to_json()["tolerance"]
    assert exact.to_json()["tolerance"]["atol"] == 5.0


def test_a_nan_out_of_place_fails_whatever_the_statistic():
    broken = REFERENCE.copy()
    broken[0] = np.nan
    assert not judged("median", atol=1e9, rtol=1e9, candidate=broken).passed


def test_relative_errors_where_the_reference_is_zero():
    found = relative(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 2.0]))
    assert found.tolist() == [0.0, np.inf, 0.5]


@pytest.mark.parametrize(
    ("name", "words"),
    [("maximum", "did you mean max"), ("quantile:2", "from 0 to 1"), ("quantile:a", "0 to 1")],
)
def test_statistics_that_are_refused(name, words):
    with pytest.raises(EdgeupError, match=words):
        find_statistic(name)


def test_a_comparison_names_what_failed_in_each_case():
    comparison = Comparison(Tolerance(0.0, 0.0, "test", 0.5))
    ones = np.arange(4, dtype=np.float32)
    assert comparison.add(("a", {"x": ones, "y": ones}, {"x": ones, "y": ones})) == ()
    assert comparison.add(("b", {"x": ones, "y": ones}, {"x": ones, "y": ones + 1})) == ("y",)
    assert comparison.add(("c", {"x": ones, "y": ones}, {"x": ones})) == ("y",)
    unstable = comparison.add(
        ("d", {"x": ones, "y": ones}, {"x": ones + 2, "y": ones}), lambda: [{"x": ones + 1.5}]
    )
    assert unstable == ()
    by_name = {report.name: report for report in comparison.reports()}
    assert by_name["x"].passed
    assert not by_name["y"].passed
    assert [case.passed for case in by_name["y"].cases] == [True, False, False, True]


def test_nothing_to_compare():
    with pytest.raises(EdgeupError, match="nothing to compare"):
        Comparison(Tolerance(0.0, 0.0, "test")).reports()

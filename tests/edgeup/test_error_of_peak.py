"""The largest error as a share of the peak: of what judges, and no number where one is none."""

import json
from typing import Any

import numpy as np
import pytest

from edgeup.error_of_peak import error_of_peak
from edgeup.runtime.parity import compare
from edgeup.spec import Tolerance


def case(max_abs: float | None, peak: float = 2.0, **more: Any) -> dict[str, Any]:
    return {"max_abs": max_abs, "peak": peak, "reason": "", "unstable": False, **more}


@pytest.mark.parametrize(
    ("cases", "found"),
    [
        ([case(0.5), case(1.0)], 0.5),
        ([case(0.5), case(None)], None),
        ([case(0.5), case(float("inf"))], None),
        ([case(0.5), case(0.0, reason="the candidate has no such output")], None),
        ([case(0.5), case(0.0, peak=0.0)], 0.25),
        ([case(0.5), case(1e-9, peak=0.0)], None),
        ([case(0.0, peak=0.0)], 0.0),
        ([], None),
    ],
)
def test_of_every_case_that_judges(cases: list[dict[str, Any]], found: float | None) -> None:
    assert error_of_peak([{"cases": []}, {"cases": cases}]) == found
    assert error_of_peak([{"cases": [one]} for one in cases]) == found


def test_what_judges_nothing_counts_where_nothing_else_does() -> None:
    assert error_of_peak([{"cases": [case(0.5), case(1.0, unstable=True)]}]) == 0.25
    assert error_of_peak([{"cases": [case(1.0, unstable=True)]}]) == 0.5


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_it_reads_what_parity_writes(strange: float) -> None:
    good = np.linspace(-4, 2, 8, dtype=np.float32)
    bad = good.copy()
    bad[3] = strange
    tolerance = Tolerance(rtol=0.0, atol_of_peak=1.0, reason="any")

    def found(candidate: np.ndarray) -> float | None:
        pairs = [
            ("first", {"y": good}, {"y": good + np.float32(1)}),
            ("second", {"y": good}, {"y": candidate}),
        ]
        written = [output.to_json() for output in compare(pairs, tolerance)]
        return error_of_peak(json.loads(json.dumps(written, allow_nan=False)))

    assert found(good) == 0.25
    assert found(bad) is None

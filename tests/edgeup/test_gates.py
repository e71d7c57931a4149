from __future__ import annotations

import pytest

from edgeup.errors import EdgeupError
from edgeup.pipeline.gates import ANY_PERCENTILE, check_judgeable, failures, gated, parse_conditions


def test_conditions_are_read_in_base_units():
    found = parse_conditions(["parity, latency>12ms,p99>20ms ", "size>25MB,throughput<30fps"])
    assert [(one.name, one.limit) for one in found] == [
        ("parity", 0.0),
        ("latency", 12.0),
        ("p99", 20.0),
        ("size", 25e6),
        ("throughput", 30.0),
    ]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency>1.5s", 1500),
        ("latency > 250us", 0.25),
        ("size>1MiB", 2**20),
        ("cv>5%", 0.05),
        ("power>7.5W", 7.5),
        ("energy>0.2J", 200),
        ("ratio>1.1", 1.1),
        ("ratio>1.1x", 1.1),
        ("p99.9>3ms", 3),
    ],
)
def test_units(text, limit):
    (found,) = parse_conditions([text])
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("latency>12", "a number without a unit is no unit of latency: ms, us, s"),
        ("latency>12MB", "MB is no unit of latency"),
        ("latency", "latency needs a limit, as in latency>12ms"),
        ("latency<12ms", "would fail a run for being good.*is written as latency>12ms"),
        ("throughput>30/s", "would fail a run for being good.*throughput<12/s"),
        ("parity>3", "parity passes or fails; leave the limit out"),
        ("latencies>12ms", "unknown quantity of --fail-on 'latencies': did you mean latency"),
        ("p100>3ms", "unknown quantity"),
        (">12ms", "wanted a check"),
        ("latency>-1ms", "wanted a check"),
        ("latency>1e3ms", "wanted a check|no unit"),
    ],
)
def test_what_is_no_condition_is_refused(text, reason):
    with pytest.raises(EdgeupError, match=reason):
        parse_conditions([text])


def test_each_condition_that_fails_is_a_line():
    conditions = parse_conditions(["latency>12ms,p99>20ms,size>25MB,throughput<60fps,cv>3%"])
    facts = {"latency": 12.5, "p99": 19.0, "size": 30.2e6, "throughput": 80.0, "cv": 0.05}
    assert failures(conditions, facts) == (
        "latency>12ms: median latency is 12.5 ms",
        "size>25MB: bytes of the model's file is 30.2 MB",
        "cv>3%: coefficient of variation of the latency is 5%",
    )
    assert failures(conditions, facts | {"throughput": 59.0})[2].startswith("throughput<60fps")
    assert failures((), facts) == ()


def test_the_limit_itself_passes_unless_it_is_included():
    facts = {"latency": 12.0}
    assert failures(parse_conditions(["latency>12ms"]), facts) == ()
    assert len(failures(parse_conditions(["latency>=12ms"]), facts)) == 1


def test_a_check_fails_with_its_reason():
    conditions = parse_conditions(["parity,precision"])
    facts = {"parity": "depth needs 3e-3, 1e-4 is allowed", "precision": ""}
    assert failures(conditions, facts) == ("parity: depth needs 3e-3, 1e-4 is allowed",)


def test_what_was_not_measured_fails():
    conditions = parse_conditions(["energy>5mJ"])
    assert failures(conditions, {}) == ("energy>5mJ: energy was not measured",)


def test_what_a_verb_cannot_judge_is_refused():
    check_judgeable(
        parse_conditions(["latency>1ms,p99.9>2ms"]), ("latency", ANY_PERCENTILE), "profile"
    )
    with pytest.raises(EdgeupError, match="this run of profile does not find parity out"):
        check_judgeable(parse_conditions(["parity"]), ("latency",), "profile")
    with pytest.raises(EdgeupError, match=r"p99\.9"):
        check_judgeable(parse_conditions(["p99.9>2ms"]), ("latency", "p99"), "export")


REPORT = {
    "passed": True,
    "onnx": {"bytes": 3_000_000, "data": {"bytes": 1_000_000}},
    "parity": [{"name": "depth", "passed": True}],
    "latency": {
        **{f"{name}_ms": 10.0 for name in ("median", "mean", "min", "std", "p90", "p95", "p99")},
        **{"cv": 0.1, "drift": -0.2},
    },
}


def test_reports_of_export_and_optimize_are_judged():
    conditions = parse_conditions(["parity,latency>12ms,p99>20ms,size>5MB"])
    assert gated(REPORT, conditions) == {
        "gates": {
            "conditions": ["parity", "latency>12ms", "p99>20ms", "size>5MB"],
            "failures": [],
        },
        "passed": True,
    }
    worse = REPORT | {"parity": [{"name": "depth", "passed": False}], "passed": False}
    found = gated(worse, parse_conditions(["parity,size>3.5MB,drift>10%"]))
    assert found["gates"]["failures"] == [
        "parity: depth beyond the tolerance",
        "size>3.5MB: bytes of the model's file is 4 MB",
        "drift>10%: how far the latency drifted, up or down is 20%",
    ]
    assert found["passed"] is False
    assert gated(REPORT, ()) == {}


def test_what_a_report_did_not_measure_fails():
    report = REPORT | {"latency": {"not_measured": "bfloat16"}, "parity": []}
    found = gated(report, parse_conditions(["parity,latency>1ms"]))
    assert found["gates"]["failures"] == [
        "parity: parity was not measured",
        "latency>1ms: latency was not measured",
    ]


def test_a_node_that_stays_fp32_is_not_what_was_asked():
    conditions = parse_conditions(["precision"])
    section = {"asked": "fp16", "kept": []}
    assert gated(REPORT | {"precision": section}, conditions)["passed"] is True
    section["kept"] = [{"node": f"exp_{number}"} for number in range(5)]
    found = gated(REPORT | {"precision": section}, conditions)
    assert found["gates"]["failures"] == [
        "precision: exp_0, exp_1, exp_2 and 2 more kept in fp32 where fp16 was asked"
    ]
    assert gated(REPORT, conditions)["passed"] is True  # nothing was asked

from __future__ import annotations

import pytest

from edgeup.errors import EdgeupError
from edgeup.pipeline.gates import Figure, check_judgeable, failures, gated, parse_conditions
from edgeup.pipeline.quantities import ANY_PERCENTILE


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
        ("latency>1e3ms", 1000),
        ("max_abs>1e-3", 1e-3),
        ("max_rel>1.5e-1%", 1.5e-3),
        ("max_rel>0.5", 0.5),
        ("psnr<40dB", 40),
        ("cosine<0.9999", 0.9999),
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
        ("p0>3ms", "unknown quantity"),
        ("p00.0>3ms", "unknown quantity"),
        (">12ms", "wanted a check"),
        ("", "--fail-on '' has an empty condition"),
        (" ,", "--fail-on ' ,' has an empty condition"),
        ("parity,", "--fail-on 'parity,' has an empty condition"),
        ("latency>-1ms", "wanted a check"),
        ("max_abs", "max_abs needs a limit, as in max_abs>0.001"),
        ("max_abs>1e-3m", "m is no unit of max_abs: it has none, as in max_abs>0.001"),
        ("max_abs>1e999", "nothing is beyond such a limit"),
        ("cosine>0.9", "would fail a run for being good.*cosine<0.9999"),
        ("psnr<40", "a number without a unit is no unit of psnr: dB"),
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


@pytest.mark.parametrize("text", ["p99>1ms", "p99.0>1ms", "p99.000>1ms"])
def test_a_percentile_is_one_however_it_is_spelt(text):
    (found,) = parse_conditions([text])
    assert (found.name, found.percent, found.text) == ("p99", 99.0, text)
    assert len(failures([found], {"p99": 2.0})) == 1
    assert failures([found], {"p99": 0.5}) == ()
    assert parse_conditions(["p09>1ms"])[0].name == "p9"


@pytest.mark.parametrize(
    ("text", "facts", "said"),
    [
        ("size>84.534MB", {"size": 84534001.0}, "84.534001 MB"),
        ("size>84.534MB", {"size": 84540000.0}, "84.54 MB"),
        ("size>=84.534MB", {"size": 84534000.0}, "84.53 MB"),
        ("latency>12ms", {"latency": 12.0000001}, "12.0000001 ms"),
        ("throughput<30/s", {"throughput": 29.99999}, "29.99999/s"),
        ("cv>5%", {"cv": 0.0500001}, "5.00001%"),
    ],
)
def test_a_value_is_shown_to_be_beyond_its_limit(text, facts, said):
    (line,) = failures(parse_conditions([text]), facts)
    assert line.endswith(f" is {said}")


def test_the_limit_itself_passes_unless_it_is_included():
    facts = {"latency": 12.0}
    assert failures(parse_conditions(["latency>12ms"]), facts) == ()
    assert len(failures(parse_conditions(["latency>=12ms"]), facts)) == 1


def test_a_check_fails_with_its_reason():
    conditions = parse_conditions(["parity,precision"])
    facts = {"parity": "depth needs 3e-3, 1e-4 is allowed", "precision": ""}
    assert failures(conditions, facts) == ("parity: depth needs 3e-3, 1e-4 is allowed",)


def test_a_figure_says_where_it_was_found():
    conditions = parse_conditions(["max_abs>1e-3,cosine<0.99999"])
    facts = {"max_abs": Figure(0.25, "depth on noise"), "cosine": Figure(0.999985, "depth")}
    assert failures(conditions, facts) == (
        "max_abs>1e-3: the largest |error| is 0.25 (depth on noise)",
        "cosine<0.99999: the cosine to the reference is 0.999985 (depth)",
    )
    assert failures(conditions, {"max_abs": Figure(1e-4, ""), "cosine": Figure(1.0, "")}) == ()


def test_a_limit_cannot_be_kept_by_what_is_not_defined():
    (condition,) = parse_conditions(["psnr<40dB"])
    assert failures([condition], {"psnr": "psnr of depth is not defined"}) == (
        "psnr<40dB: psnr of depth is not defined",
    )
    assert failures([condition], {"psnr": ""}) == ()  # infinite


def test_what_was_not_measured_fails():
    conditions = parse_conditions(["energy>5mJ"])
    assert failures(conditions, {}) == ("energy>5mJ: energy was not measured",)


def test_what_a_verb_cannot_judge_is_refused():
    check_judgeable(
        parse_conditions(["latency>1ms,p99.9>2ms"]), ("latency", ANY_PERCENTILE), "profile"
    )
    with pytest.raises(EdgeupError, match="this run of profile does not find parity out"):
        check_judgeable(parse_conditions(["parity"]), ("latency",), "profile")
    with pytest.raises(EdgeupError, match=r"out \(it is too early\); it can judge latency$"):
        check_judgeable(
            parse_conditions(["parity"]), ("latency",), "profile", {"parity": "it is too early"}
        )
    with pytest.raises(EdgeupError, match=r"p99\.9"):
        check_judgeable(parse_conditions(["p99.9>2ms"]), ("latency", "p99"), "export")


def test_a_report_passes_where_it_did_and_no_condition_holds():
    conditions = parse_conditions(["size>5MB"])
    good, bad = {"passed": True}, {"passed": False}
    assert gated(good, conditions, {"size": 4e6}) == {
        "gates": {"conditions": ["size>5MB"], "failures": []},
        "passed": True,
    }
    assert gated(bad, conditions, {"size": 4e6})["passed"] is False
    worse = gated(good, conditions, {"size": 6e6})
    assert worse["passed"] is False
    assert worse["gates"]["failures"] == ["size>5MB: bytes of the model's file is 6 MB"]
    assert gated(good, (), {}) == {}

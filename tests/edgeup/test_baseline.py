from __future__ import annotations

import json

import pytest

from edgeup.errors import EdgeupError
from edgeup.pipeline.baseline import (
    Baseline,
    check_setting,
    differences,
    read_baseline,
    regressions,
)

SETTING = {"backend": "onnxruntime", "device": "CPU: x", "threads": 2, "inputs": "1x3x8x8:float32"}
FACTS = {"latency": 10.0, "p99": 15.0, "size": 4e6, "throttled": ""}
MODEL = {"path": "m.onnx", "sha256": "a1"}
ORT = "ONNX Runtime 1.2"


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "B.json"
    path.write_bytes(Baseline.of(SETTING, FACTS, MODEL, ORT).to_bytes("edgeup profile m.onnx"))
    return path


def test_what_was_saved_is_read(saved):
    found = read_baseline(saved)
    assert found.setting == SETTING
    assert found.figures == {"latency": 10.0, "size": 4e6}
    assert (found.model, found.sha256, found.software) == ("m.onnx", "a1", ORT)


def test_worse_by_more_than_allowed_is_a_line(saved):
    baseline = read_baseline(saved)
    rows, failed = regressions(baseline, {"latency": 10.49, "size": 4e6}, 0.05)
    assert failed == ()
    assert [row["change"] for row in rows] == pytest.approx([0.049, 0.0])
    _, failed = regressions(baseline, {"latency": 10.6, "size": 4.4e6}, 0.05)
    assert failed == (
        "latency is 10.6 ms, +6.0% against the baseline's 10 ms; 5.0% is allowed",
        "size is 4.4 MB, +10.0% against the baseline's 4 MB; 5.0% is allowed",
    )
    _, failed = regressions(baseline, {"latency": 1.0, "size": 1e6}, 0.05)
    assert failed == ()


def test_a_figure_that_is_missing_now_fails():
    baseline = Baseline(SETTING, {"latency": 10.0, "energy": 3.0}, "m")
    _, failed = regressions(baseline, {"latency": 10.0}, 0.05)
    assert failed == ("energy was not measured, and the baseline has it",)


@pytest.mark.parametrize("key", list(SETTING))
def test_another_setting_is_refused(saved, key):
    baseline = read_baseline(saved)
    check_setting(baseline, saved, SETTING)
    with pytest.raises(EdgeupError, match=f"was measured with {key} .* no comparison"):
        check_setting(baseline, saved, SETTING | {key: "other"})
    with pytest.raises(EdgeupError, match=f"was measured with {key} .* this run has unknown"):
        check_setting(baseline, saved, {k: v for k, v in SETTING.items() if k != key})


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (
            {"board": "Orin NX", "power_mode": "MAXN"},
            {"board": "Orin NX", "power_mode": "10W"},
            "with power mode MAXN, and this run has 10W",
        ),
        (
            {"board": "Orin NX", "power_mode": "MAXN"},
            {"board": "AGX Orin", "power_mode": "MAXN"},
            "with board Orin NX, and this run has AGX Orin",
        ),
        ({}, {"board": "Orin NX"}, "with board unknown, and this run has Orin NX"),
        ({"board": "Orin NX"}, {}, "with board Orin NX, and this run has unknown"),
        ({"measured": "alone"}, {"measured": "in turns"}, "alone, and this run is measured in"),
    ],
)
def test_another_board_power_mode_or_way_is_refused(saved, then, now, said):
    baseline = Baseline(SETTING | then, {"latency": 1.0}, "m")
    with pytest.raises(EdgeupError, match=f"was measured {said}"):
        check_setting(baseline, saved, SETTING | now)


def test_another_model_or_version_is_noted(saved):
    baseline = read_baseline(saved)
    assert differences(baseline, MODEL, ORT) == ()
    assert differences(baseline, {"path": "x/m.onnx", "sha256": "b2"}, ORT) == ()  # retrained
    assert differences(baseline, {"path": "n.onnx", "sha256": "a1"}, ORT) == ()  # renamed
    assert differences(baseline, {"path": "n.onnx", "sha256": "b2"}, "TensorRT 10.7") == (
        "the baseline is of m.onnx, and this is n.onnx",
        "the baseline was measured by ONNX Runtime 1.2, and this by TensorRT 10.7",
    )


@pytest.mark.parametrize("energy", [-16.3, 0.0, 1e-12, None, True])
def test_an_energy_that_is_none_is_not_saved(tmp_path, energy):
    path = tmp_path / "B.json"
    path.write_bytes(Baseline.of(SETTING, FACTS | {"energy": energy}, MODEL, ORT).to_bytes("x"))
    assert read_baseline(path).figures == {"latency": 10.0, "size": 4e6}


def test_what_is_just_beyond_is_shown_to_be():
    baseline = Baseline(SETTING, {"latency": 10.0}, "m")
    _, (line,) = regressions(baseline, {"latency": 10.500001}, 0.05)
    assert line == (
        "latency is 10.5 ms, +5.00001% against the baseline's 10 ms; 5.00000% is allowed"
    )
    _, (line,) = regressions(baseline, {"latency": 10.0001}, 0.0)
    assert line == "latency is 10.0001 ms, +0.001% against the baseline's 10 ms; 0.000% is allowed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "was not written by --save-baseline"),
        (b'{"kind": "profile"}', "was not written by --save-baseline"),
        (b'{"kind": "baseline", "schema_version": 1}', "another version"),
        (b'{"kind": "baseline", "schema_version": 2}', "lacks its setting or its figures"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, content, reason):
    path = tmp_path / "B.json"
    path.write_bytes(content)
    with pytest.raises(EdgeupError, match=reason):
        read_baseline(path)


@pytest.mark.parametrize(
    "value",
    [0, -1, "10", None, True, float("inf"), float("nan"), 10**400, 1e-320, 1e300, "x" * 9999],
)
def test_figures_that_are_none_are_refused(saved, value):
    document = json.loads(saved.read_text())
    document["figures"]["latency"] = value
    saved.write_text(json.dumps(document))
    with pytest.raises(EdgeupError, match=r"B\.json: latency is .* no such figure") as caught:
        read_baseline(saved)
    assert len(str(caught.value)) < 200 + len(str(saved))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(EdgeupError, match="is not there"):
        read_baseline(tmp_path / "B.json")
    with pytest.raises(EdgeupError, match="is a folder"):
        read_baseline(tmp_path)

"""`edgeup profile` on a made-up Jetson: an Orin Nano's files below a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from edgeup.cli.profile_summary import profile_summary
from edgeup.errors import EdgeupError
from edgeup.html.files import html_of
from edgeup.pipeline.baseline import read_baseline
from edgeup.pipeline.gates import parse_conditions
from edgeup.pipeline.profile.model import profile_file
from edgeup.pipeline.profile.request import Gates, ProfileRequest
from edgeup.runtime.machine import Machine
from edgeup.runtime.timer import Budget

SCHEMA = json.loads((files("edgeup") / "data" / "profile.schema.json").read_text())
GPU = "sys/class/devfreq/17000000.gpu"
SENSOR = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/loadavg": "0.10 0.20 0.30 1/2 3",
    "var/lib/nvpmodel/status": "pmode:0002",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=2 NAME=MAXN_SUPER >",
    **{f"{GPU}/{name}_freq": 1020000000 for name in ("cur", "min", "max")},
    f"{GPU}/device/of_node/name": "gpu",
    f"{GPU}/device/load": 0,
    "sys/class/hwmon/hwmon3/oc3_event_cnt": 7,
    "sys/class/thermal/thermal_zone0/type": "tj-thermal",
    "sys/class/thermal/thermal_zone0/temp": 54321,
    **{f"{SENSOR}/in{n}_input": 5000 for n in (1, 2)},
    f"{SENSOR}/in1_label": "VDD_IN",
    f"{SENSOR}/curr1_input": 1200,
    f"{SENSOR}/in2_label": "VDD_SOC",
    f"{SENSOR}/curr2_input": -4,
}


@pytest.fixture
def orin(tmp_path, monkeypatch):
    """A request on that board, and a way to write one of its files."""
    monkeypatch.setattr("edgeup.runtime.board.watch._IDLE_AT_LEAST_S", 0.3)

    def write(path, value):
        goal = tmp_path / "board" / path
        goal.parent.mkdir(parents=True, exist_ok=True)
        fresh = goal.with_name(goal.name + ".new")
        fresh.write_text(f"{value}\n")
        fresh.replace(goal)

    for path, value in ORIN.items():
        write(path, value)
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 2, 32, 32])],
        [value("y", TensorProto.FLOAT, [1, 4, 32, 32])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    machine = Machine(root=tmp_path / "board", which=lambda name: None, run=lambda command: None)
    budget = Budget(warmup_s=0.05, warmup_limit_s=0.2, duration_s=0.5)
    request = ProfileRequest(
        model=tmp_path / "model.onnx",
        budget=budget,
        threads=1,
        machine=machine,
        power_interval_s=0.02,
    )
    return request, write


def quiet(stage):
    """Progress that nobody reads."""


def valid(report):
    jsonschema.validate(json.loads(json.dumps(report, allow_nan=False)), SCHEMA)
    return report


def test_board_and_power_are_in_the_report(orin):
    request, _ = orin
    report = valid(profile_file(replace(request, locked_clocks=True), quiet).report)
    assert report["board"]["jetson"] == {
        **{"board": "NVIDIA Jetson Orin Nano Developer Kit", "l4t": "36.4.3", "jetpack": "6.2"},
        **{"power_mode": "MAXN_SUPER", "power_mode_id": 2},
    }
    assert report["board"]["clocks_locked"] is True
    (mark,) = report["board"]["marks"]  # nothing moves this board's power
    assert mark.startswith("the board drew no more in the timed runs (6.00 W) than idle")
    assert report["board"]["during"]["looks"] >= 1
    power = report["power"]
    assert (power["source"], power["total_rails"]) == ("sysfs", ["VDD_IN"])
    assert power["mean_mw"] == pytest.approx(6000)
    assert power["rails_mw"]["VDD_SOC"] == pytest.approx(-20)
    assert power["energy_per_inference_mj"] == pytest.approx(0, abs=1e-6)
    assert power["inferences"] == report["latency"]["iterations"]
    gross_mj = 6000 * power["seconds"] / power["inferences"]
    assert power["gross_per_inference_mj"] == pytest.approx(gross_mj)
    console = Console(width=80, no_color=True)
    with console.capture() as caught:
        console.print(*profile_summary(report, []))
    text = " ".join(caught.get().split())
    assert "JetPack 6.2, mode MAXN_SUPER, clocks locked, 54 °C at most" in text
    assert "power: 6.00 W (VDD_IN, the rail of the whole), idle 6.00 W" in text


def test_energy_is_what_the_runs_add(orin):
    request, write = orin
    ran = []

    def stage(words):
        if words.startswith("warm-up") and not ran:
            ran.append(words)
            write(f"{SENSOR}/curr1_input", 3200)

    power = profile_file(request, stage).report["power"]
    assert (power["idle_mw"], power["mean_mw"]) == (pytest.approx(6000), pytest.approx(16000))
    added_mj = 10000 * power["seconds"] / power["inferences"]
    assert power["energy_per_inference_mj"] == pytest.approx(added_mj)


def test_an_energy_below_idle_is_no_measurement(orin):
    request, write = orin
    ran = []

    def stage(words):
        if words.startswith("warm-up") and not ran:
            ran.append(words)
            write(f"{SENSOR}/curr1_input", 200)

    gates = Gates(parse_conditions(["energy>1mJ,power>100W"]))
    done = profile_file(replace(request, gates=gates), stage)
    report = valid(done.report)
    assert report["power"]["energy_per_inference_mj"] < 0
    assert report["gates"]["failures"] == ["energy>1mJ: energy was not measured"]
    (mark,) = report["board"]["marks"]
    assert "(1.00 W) than idle before them (6.00 W)" in mark
    assert mark in report["notices"]
    assert set(done.baseline.figures) == {"latency", "size"}


def test_a_board_that_was_capped_before_the_run_is_marked_or_refused(orin):
    request, write = orin
    cooler = "sys/class/thermal/cooling_device1"
    write(f"{cooler}/type", "devfreq-17000000.gpu")
    write(f"{cooler}/cur_state", 4)
    for name in ("cur", "min", "max"):
        write(f"{GPU}/{name}_freq", 510000000)
    words = "cooling device devfreq-17000000.gpu was at state 4 already before the run"
    gates = Gates(parse_conditions(["throttled"]))
    report = valid(profile_file(replace(request, gates=gates), quiet).report)
    assert report["board"]["throttled"] == [words]
    assert report["gates"]["failures"] == [f"throttled: {words}"]
    with pytest.raises(EdgeupError, match=f"--require-locked-clocks: {words}; let the board cool"):
        profile_file(replace(request, locked_clocks=True), quiet)


@pytest.mark.parametrize("is_jetson", [True, False])
def test_throttling_that_nothing_tells_was_not_measured(orin, is_jetson):
    request, _ = orin
    shutil.rmtree(request.machine.root / "sys")
    if not is_jetson:
        shutil.rmtree(request.machine.root / "etc")
        shutil.rmtree(request.machine.root / "proc")
    gates = Gates(parse_conditions(["throttled,unlocked"]))
    report = valid(profile_file(replace(request, gates=gates), quiet).report)
    assert report["board"]["throttled"] is None
    assert (report["board"]["jetson"] is not None) == is_jetson
    assert report["gates"]["failures"] == [
        "throttled: throttled was not measured",
        "unlocked: unlocked was not measured",
    ]
    assert "whether it did cannot be read" in html_of(report).decode()


def test_a_baseline_of_another_board_or_power_mode_is_refused(orin, tmp_path):
    request, write = orin
    saved = tmp_path / "B.json"
    saved.write_bytes(profile_file(request, quiet).baseline.to_bytes("x"))
    held = Gates((), (saved, read_baseline(saved)), 100.0)
    write("var/lib/nvpmodel/status", "pmode:0001")
    with pytest.raises(EdgeupError, match="with power mode MAXN_SUPER, and this run has mode 1"):
        profile_file(replace(request, gates=held), quiet)
    write("var/lib/nvpmodel/status", "pmode:0002")
    assert profile_file(replace(request, gates=held), quiet).report["passed"]
    write("proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    with pytest.raises(EdgeupError, match=r"Orin Nano .*, and this run has .*AGX Orin"):
        profile_file(replace(request, gates=held), quiet)


def test_clocks_that_can_move_are_marked_or_refused(orin):
    request, write = orin
    write(f"{GPU}/min_freq", 306000000)
    words = "the clocks are not locked: gpu 306 to 1020 MHz"
    report = valid(profile_file(request, quiet).report)
    assert report["board"]["clocks_locked"] is False
    assert words in report["notices"]
    with pytest.raises(EdgeupError, match=f"{words}; run sudo jetson_clocks"):
        profile_file(replace(request, locked_clocks=True), quiet)


def test_a_run_that_throttled_is_marked_or_refused(orin):
    request, write = orin
    counts = iter((8, 9))
    seen = set()

    def throttle(stage):
        stage = stage.partition(":")[0]
        if stage == "measure" and stage not in seen:
            write("sys/class/hwmon/hwmon3/oc3_event_cnt", next(counts))
        seen.add(stage)

    report = valid(profile_file(request, throttle).report)
    seen.clear()
    assert report["board"]["throttled"] == ["over-current alarm oc3 throttled once"]
    assert report["board"]["throttled"][0] in report["notices"]
    with pytest.raises(EdgeupError, match="--require-locked-clocks: over-current alarm oc3"):
        profile_file(replace(request, locked_clocks=True), throttle)


def test_energy_of_two_models_is_not_told_apart(orin):
    request, _ = orin
    report = valid(profile_file(replace(request, other=request.model), quiet).report)
    assert report["power"]["measured"] is False
    assert "two models took turns" in report["power"]["reason"]


def test_too_short_a_run_says_how_many_samples_were_needed(orin):
    request, _ = orin
    short = Budget(warmup_s=0.0, warmup_limit_s=0.05, duration_s=0.0, min_rounds=3)
    report = valid(profile_file(replace(request, budget=short), quiet).report)
    assert "samples of power during the timed runs" in report["power"]["reason"]
    assert "10 are needed" in report["power"]["reason"]


def test_the_options_on_this_machine(edgeup, orin):
    request, _ = orin
    ran = edgeup("profile", request.model, "--tegrastats-interval", 1)
    assert ran.status == 2
    assert "--tegrastats-interval" in ran.err
    ran = edgeup("profile", request.model, "--duration", 0.1, "--format", "json")
    assert ran.status == 0
    assert valid(ran.json)["power"]["measured"] in (False, True)

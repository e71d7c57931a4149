"""`edgeup profile` on ONNX files; what is judged is measured by a stand-in with given times."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper, numpy_helper

from edgeup.html.held import held_against
from edgeup.html.regression import Run
from edgeup.pipeline.profile.subject import Timed, joined
from edgeup.runtime.engine.trtexec_exports import parse_profile, parse_times
from edgeup.runtime.latency import LOADS
from edgeup.runtime.timer import Measurement, WarmUp
from edgeup.runtime.traces import Trace

SCHEMA = json.loads((files("edgeup") / "data" / "profile.schema.json").read_text())
SAMPLES = Path(__file__).parents[1] / "runtime" / "data" / "trtexec"
SHORT = ("--iterations", 12, "--warmup", "1ms", "--threads", 1)


def valid(document):
    Draft202012Validator(SCHEMA).validate(document)
    return document


def decoder(path, batch=1, scale=2.0):
    """Convolution to half the size, nearest resize, convolution."""
    random = np.random.default_rng(0)

    def weights(name, *shape):
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32) * 0.2, name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "down", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Resize", ["r", "", "s"], ["u"], "up", mode="nearest"),
        helper.make_node("Conv", ["u", "w2"], ["y"], "head", pads=[1, 1, 1, 1]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [batch, 3, 16, 16])],
        [value("y", TensorProto.FLOAT, [batch, 2, 16, 16])],
        [
            weights("w", 8, 3, 3, 3),
            weights("w2", 2, 8, 3, 3),
            numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "s"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path):
    return decoder(tmp_path / "m.onnx")


@pytest.fixture
def timed(monkeypatch):
    """Has the times of `model` (and `other`) come out as given: milliseconds."""

    def give(times, other=None):
        given = {"model": np.asarray(times, float)}
        calls = []
        if other is not None:
            given["other"] = np.asarray(other, float)

        def measured(works, budget, *, begin, **_):
            assert list(works) == list(given)
            begin()
            # Two models are loaded anew six times: each load has its own sixth of the rounds.
            parts = 1 if other is None else LOADS
            now = {
                name: np.array_split(ms, parts)[len(calls) % parts] for name, ms in given.items()
            }
            calls.append(budget)
            starts = {name: np.cumsum(ms) - ms for name, ms in now.items()}
            return Measurement(now, starts, WarmUp(20, 0.2, settled=True))

        monkeypatch.setattr("edgeup.pipeline.profile.measure.measure_runs", measured)

    return give


def test_a_report_with_everything(edgeup, model, tmp_path):
    ran = edgeup(
        *("profile", model, *SHORT, "--layers", "--vs", model, "--percentile", "50,99.9"),
        *("-o", tmp_path / "r.json", "--export-times", tmp_path / "t.json"),
        *("--export-profile", tmp_path / "p.json", "--format", "json"),
    )
    assert ran.status == 0
    report = valid(ran.json)
    assert json.loads((tmp_path / "r.json").read_text()) == report
    latency = report["latency"]
    assert latency["iterations"] == 12
    assert list(latency["percentiles_ms"]) == ["p50", "p90", "p95", "p99", "p99.9"]
    interval = latency["median_interval"]
    assert interval["low_ms"] <= latency["median_ms"] <= interval["high_ms"]
    assert latency["parts"] is None  # a CPU copies nothing
    assert report["overhead"]["empty_model_ms"] > 0
    assert report["memory"]["peak_bytes"] > 10e6
    assert report["device_memory"] == {"measured": False, "reason": "the model ran on the CPU"}
    assert report["power"]["measured"] is False
    assert report["versus"]["ratio"]["rounds"] == 12
    queries = parse_times((tmp_path / "t.json").read_text())
    assert len(queries) == 12
    assert np.median([q.latency for q in queries]) == pytest.approx(latency["median_ms"], 1e-4)
    rows = report["layers"]["rows"]
    found = parse_profile((tmp_path / "p.json").read_text())
    assert [layer.name for layer in found.layers] == [row["name"] for row in rows]
    _, *entries = json.loads((tmp_path / "p.json").read_text())
    assert sum(entry["percentage"] for entry in entries) == pytest.approx(100, abs=0.01)


def test_layers_are_those_of_the_users_model_and_stages_of_its_decoder(edgeup, model):
    report = valid(edgeup("profile", model, *SHORT, "--layers", "--format", "json").json)
    rows, stages = report["layers"]["rows"], report["layers"]["stages"]
    assert sorted(node for row in rows for node in row["nodes"]) == ["down", "head", "relu", "up"]
    stage_of = {node: stages[row["stage"]]["name"] for row in rows for node in row["nodes"]}
    assert stage_of["up"] == stage_of["head"] == "decoder 16x16"
    assert stage_of["down"] == stage_of["relu"] == "lowest 8x8"
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    staged = sum(stage["mean_ms"] for stage in stages)
    assert staged == pytest.approx(report["layers"]["total_ms"], rel=0.2)


def test_text_fits_80_columns(edgeup, model, tmp_path):
    ran = edgeup(
        *("profile", model, *SHORT, "--layers", "--vs", model),
        *("--fail-on", "latency>100s", "-o", tmp_path / "r.json"),
    )
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    for words in ("median", "an empty model takes", "decoder 16x16", "passed: within all limits"):
        assert words in ran.out
    assert "the file does not say which nodes are the encoder" in (tmp_path / "r.html").read_text()


def test_limits_fail_with_a_line_each(edgeup, model, timed):
    timed([10.0] * 98 + [30.0] * 2)
    ran = edgeup("profile", model, "--fail-on", "latency>12ms,p99>20ms,size>1KB,cv>1%")
    assert ran.status == 1
    failed = ran.err.splitlines()
    assert len(failed) == 3
    assert failed[0] == "edgeup: failed: p99>20ms: 99th percentile of the latency is 30 ms"
    assert "FAILED: beyond 3 limits" in ran.out
    passing = edgeup("profile", model, "--fail-on", "latency>12ms,p95>20ms,size>1MB")
    assert passing.status == 0


def test_with_json_failures_are_lines_on_stderr_too(edgeup, model, timed):
    timed([10.0, 11.0])
    ran = edgeup("profile", model, "--fail-on", "latency>1ms", "--format", "json")
    assert ran.status == 1
    assert valid(ran.json)["passed"] is False
    assert ran.json["gates"]["failures"] == ["latency>1ms: median latency is 10.5 ms"]
    assert ran.err == "edgeup: failed: latency>1ms: median latency is 10.5 ms\n"


def test_a_baseline_is_saved_and_held_against(edgeup, model, timed, tmp_path):
    saved = tmp_path / "B.json"
    timed([10.0] * 20)
    assert edgeup("profile", model, "--threads", 1, "--save-baseline", saved).status == 0
    timed([10.4] * 20)
    again = ("profile", model, "--baseline", saved, "--max-regression", "5%")
    ran = edgeup(*again, "--threads", 1, "--format", "json")
    assert ran.status == 0
    assert valid(ran.json)["baseline"]["figures"][0]["change"] == pytest.approx(0.04)
    timed([10.6] * 20)
    ran = edgeup(*again, "--threads", 1)
    assert ran.status == 1
    said = "latency is 10.6 ms, +6.0% against the baseline's 10 ms; 5.0% is allowed"
    assert ran.err == f"edgeup: failed: {said}\n"  # 83 characters, on one line
    ran = edgeup(*again, "--threads", 2)
    assert ran.status == 2
    assert "was measured with threads 1, and this run has 2: no comparison" in ran.err


@pytest.mark.parametrize(
    ("factor", "status", "words"),
    [
        (1.0, 0, "no difference beyond noise"),
        (1.001, 0, "no difference beyond noise"),
        (1.2, 1, "takes 1.2"),
        (0.8, 0, "times as long as o.onnx in turns with it: faster"),
    ],
)
def test_two_models_against_each_other(edgeup, model, timed, tmp_path, factor, status, words):
    other = decoder(tmp_path / "o.onnx")
    noise = np.random.default_rng(0).normal(1, 0.01, (2, 200))
    load = np.random.default_rng(1).uniform(1, 3, 200)  # what a round shares
    timed(10 * factor * load * noise[0], 10 * load * noise[1])
    ran = edgeup("profile", model, "--vs", other, "--fail-on", "slower")
    assert ran.status == status
    assert words in " ".join(ran.out.split())


def test_times_in_turns_are_not_those_of_a_model_alone(edgeup, model, timed, tmp_path):
    saved, again = tmp_path / "B.json", ("--max-regression", "5%", "--threads", 1)
    timed([10.0] * 60, [12.0] * 60)
    ran = edgeup(
        *("profile", model, "--vs", model, "--threads", 1, "--save-baseline", saved),
        *("--fail-on", "latency>11ms", "--format", "json"),
    )
    assert ran.status == 0
    report = valid(ran.json)
    assert report["setting"]["measured"] == "in turns with another"
    assert report["versus"]["setting"]["measured"] == "in turns with another"
    (note,) = [line for line in report["notices"] if "took turns" in line]
    assert "limits and baselines are of times in turns" in note
    timed([10.0] * 60)
    ran = edgeup("profile", model, "--baseline", saved, *again)
    assert ran.status == 2
    (line,) = ran.err.splitlines()
    assert "was measured in turns with another, and this run is measured alone" in line
    timed([10.0] * 60, [12.0] * 60)
    assert edgeup("profile", model, "--vs", model, "--baseline", saved, *again).status == 0
    timed([10.0] * 60)
    ran = edgeup("profile", model, "--threads", 1, "--format", "json")
    assert valid(ran.json)["setting"]["measured"] == "alone"
    assert not [line for line in ran.json["notices"] if "took turns" in line]
    held = held_against(Run("alone", ran.json), Run("in turns", report))
    said = "other way of measuring: alone and in turns with another"
    assert held.not_compared["median latency"] == said


def test_what_an_engine_did_in_each_load_comes_after_the_load_before():
    def load(ms):
        trace = Trace((0.0, 1.0), (1.0, 2.0), (2.0, ms), (ms, ms + 1))
        return Timed(np.array([ms]), np.array([0.5]), (trace,))

    found = joined([load(5.0), load(7.0), load(6.0)])
    assert [trace.compute for trace in found.all_traces()] == [(2, 5), (8, 13), (16, 20)]
    assert [trace.enqueue for trace in found.all_traces()] == [(0, 1), (6, 7), (14, 15)]
    assert found.starts.tolist() == [0.5, 6.5, 14.5]
    assert found.latencies.tolist() == [load(ms).latencies[0] for ms in (5.0, 7.0, 6.0)]


@pytest.mark.parametrize(("asked", "made"), [(10, 10), (13, 13), (6, 6), (3, 6)])
def test_runs_of_both_models_are_as_many_as_asked(edgeup, model, tmp_path, asked, made):
    out = tmp_path / "t.json"
    ran = edgeup(
        *("profile", model, "--vs", model, "--iterations", asked, "--warmup", "1ms"),
        *("--threads", 1, "--export-times", out, "--format", "json"),
    )
    assert valid(ran.json)["latency"]["iterations"] == made
    said = f"{made} runs were made and not {asked}"
    assert any(said in line for line in ran.json["notices"]) == (asked != made)
    starts, ends = (
        [entry[key] for entry in json.loads(out.read_text())]
        for key in ("startComputeMs", "endComputeMs")
    )
    assert len(starts) == made
    assert all(end <= start * 1.001 for end, start in zip(ends, starts[1:], strict=False))


def test_what_a_baseline_holds_is_shown_where_it_passes(edgeup, model, timed, tmp_path):
    saved, other = tmp_path / "B.json", decoder(tmp_path / "o.onnx", batch=1)
    changed = onnx.load(other)
    changed.graph.name = "retrained"
    onnx.save(changed, other)
    timed([10.0] * 20)
    assert edgeup("profile", model, "--threads", 1, "--save-baseline", saved).status == 0
    document = json.loads(saved.read_text())
    saved.write_text(json.dumps(document | {"software": "ONNX Runtime 0.1"}))
    timed([10.0001] * 20)
    again = ("--threads", 1, "--baseline", saved, "--max-regression", "5%")
    ran = edgeup("profile", other, *again)
    assert ran.status == 0
    held = " ".join(ran.out.split()).partition("then now change allowed ")[2]
    assert held.startswith("latency 10 ms 10.0001 ms +0.0% +5.0% size 1.7")
    notices = valid(edgeup("profile", other, *again, "--format", "json").json)["notices"]
    assert f"the baseline is of {model}, and this is {other}" in notices
    (line,) = [line for line in notices if "measured by" in line]
    assert line.startswith("the baseline was measured by ONNX Runtime 0.1, and this by ONNX R")
    ran = edgeup("profile", model, *again, "--format", "json")
    assert not any("the baseline is of" in line for line in valid(ran.json)["notices"])


def test_a_regression_just_over_what_is_allowed_is_told_from_it(edgeup, model, timed, tmp_path):
    saved = tmp_path / "B.json"
    timed([10.0] * 20)
    assert edgeup("profile", model, "--threads", 1, "--save-baseline", saved).status == 0
    timed([10.5001] * 20)
    ran = edgeup(
        *("profile", model, "--threads", 1, "--baseline", saved, "--max-regression", "5%"),
    )
    assert ran.status == 1
    assert "+5.001% against the baseline's 10 ms; 5.000% is allowed" in ran.err


def test_percentiles_are_judged_however_they_are_spelt(edgeup, model, timed):
    timed(np.arange(1.0, 1001.0))
    ran = edgeup(
        *("profile", model, "--fail-on", "p99.0>990ms,p99.9>999ms,p09>90ms"),
        *("--percentile", "9,99.900", "--format", "json"),
    )
    assert ran.status == 0
    assert valid(ran.json)["latency"]["percentiles_ms"]["p99.9"] == 999
    failing = edgeup("profile", model, "--fail-on", "p99.0>989ms,p09>89ms")
    assert failing.err.splitlines() == [
        "edgeup: failed: p99.0>989ms: 99th percentile of the latency is 990 ms",
        "edgeup: failed: p09>89ms: 9th percentile of the latency is 90 ms",
    ]


def test_few_times_have_no_interval_of_their_median(edgeup, model, timed):
    timed([10.0, 11.0, 12.0, 10.5, 11.5])
    report = valid(edgeup("profile", model, "--format", "json").json)
    assert report["latency"]["median_interval"] is None
    words = "5 times cannot tell it with 95% confidence, 6 can"
    assert report["latency"]["no_interval"] == words
    assert f"(no interval: {words})" in " ".join(edgeup("profile", model).out.split())


def test_a_report_beside_the_model_that_does_not_fit_is_passed_over(edgeup, model, tmp_path):
    sha = hashlib.sha256(model.read_bytes()).hexdigest()
    good = {"pass": "p", "form": "resize", "sites": 2}
    for forms, taken in (([good], True), (["x"], False), ([good | {"sites": 0}], False)):
        stages = [{"side": side, "forms": forms} for side in ("lowest", "decoder")]
        beside = {"onnx": {"sha256": sha}, "stages": stages}
        model.with_suffix(".json").write_text(json.dumps(beside))
        ran = edgeup("profile", model, *SHORT, "--layers", "-o", tmp_path / "p.json")
        assert ran.status == 0
        layers = valid(json.loads((tmp_path / "p.json").read_text()))["layers"]
        assert (layers["stages"][0].get("forms") == [good]) == taken
        assert ("no_forms" in layers) != taken


def test_layers_of_no_stage_are_counted_too(edgeup, model, tmp_path):
    profile = [
        {"count": 100},
        {"name": "down + relu", "timeMs": 60, "averageMs": 0.6, "percentage": 60},
        {"name": "Reformatting CopyNode", "timeMs": 10, "averageMs": 0.1, "percentage": 10},
        {"name": "head", "timeMs": 30, "averageMs": 0.3, "percentage": 30},
    ]
    (tmp_path / "p.json").write_text(json.dumps(profile))
    load = ("--load-times", SAMPLES / "times_8.2.json", "--load-profile", tmp_path / "p.json")
    layers = valid(edgeup("profile", model, *load, "--format", "json").json)["layers"]
    assert layers["unstaged"] == {"layers": 1, "mean_ms": 0.1, "share": pytest.approx(0.1)}
    staged = sum(stage["mean_ms"] for stage in layers["stages"])
    assert staged + layers["unstaged"]["mean_ms"] == pytest.approx(layers["total_ms"])
    ran = edgeup("profile", model, *load, "-o", tmp_path / "r.json")
    assert "(no stage) 1 0.100 ms 10.0%" in " ".join(ran.out.split())
    assert "1 layer of no stage took" in (tmp_path / "r.html").read_text()


def test_two_models_of_one_name_are_told_apart_by_their_folders(edgeup, model, timed, tmp_path):
    (tmp_path / "old").mkdir()
    other = decoder(tmp_path / "old" / model.name)
    timed([30.0] * 100, [10.0] * 100)
    ran = edgeup("profile", model, "--vs", other, "--fail-on", "slower", "--format", "json")
    here = model.parent.name
    assert ran.json["versus"]["words"] == (
        f"{here}/m.onnx takes 3.000 times as long as old/m.onnx in turns with it: slower"
    )
    assert f"{here}/m.onnx takes" in ran.err


def test_loads_that_differ_are_noise_however_sure_each_is(edgeup, model, timed):
    """Each load is 3 % off, one way or the other, and all of its rounds agree."""
    where = np.repeat([1.03, 0.97, 1.03, 1.0, 0.97, 1.02], 50)
    times = 10 * np.random.default_rng(0).normal(1, 0.001, 300)
    timed(times * where, times)
    report = edgeup("profile", model, "--vs", model, "--format", "json").json
    assert valid(report)["versus"]["verdict"] == "equal"
    assert report["versus"]["words"] == "no difference beyond noise"
    assert report["versus"]["ratio"]["loads"] == 6


def test_unsteady_and_drifting_times_are_noted(edgeup, model, timed):
    timed(np.linspace(10, 12, 100))
    ran = edgeup("profile", model, "--format", "json")
    notices = " ".join(valid(ran.json)["notices"])
    assert "the times are unsteady" in notices
    assert "the times drifted" in notices


def test_open_dimensions(edgeup, tmp_path):
    model = decoder(tmp_path / "m.onnx", batch="n")
    ran = edgeup("profile", model, *SHORT, "--format", "json")
    report = valid(ran.json)
    assert report["model"]["inputs"][0]["shape"] == [1, 3, 16, 16]
    assert "input x: its open first dimension is taken as 1" in report["notices"]
    ran = edgeup("profile", model, *SHORT, "--batch", 3, "--layers", "--format", "json")
    assert valid(ran.json)["model"]["inputs"][0]["shape"] == [3, 3, 16, 16]
    both = ("--shape", "x:2x3x16x16", "--batch")
    assert edgeup("profile", model, *SHORT, *both, 2).status == 0
    refused = edgeup("profile", model, *SHORT, *both, 4)
    assert refused.status == 2
    assert "--batch 4: --shape gives input x the first dimension 2; leave one" in refused.err
    ran = edgeup("profile", model, *SHORT, "--shapes=x:2x3x16x16", "--format", "json")
    assert valid(ran.json)["model"]["inputs"][0]["shape"] == [2, 3, 16, 16]


def test_trtexecs_spellings(edgeup, model, tmp_path):
    ran = edgeup(
        *("profile", model, "--threads", 1, "--warmUp=1", "--iterations=10", "--duration=0"),
        *("--percentile=90,99", f"--exportTimes={tmp_path / 't.json'}", "--dumpProfile"),
        *("--format", "json"),
    )
    assert ran.status == 0
    assert valid(ran.json)["layers"] is not None
    assert len(parse_times((tmp_path / "t.json").read_text())) == 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--streams", "2"], "--streams: ONNX Runtime has no streams"),
        (["--infStreams=2"], "--streams: ONNX Runtime has no streams"),
        (["--useCudaGraph"], "--use-cuda-graph: ONNX Runtime runs on the CPU"),
        (["--noDataTransfers"], "--no-data-transfers: ONNX Runtime runs on the CPU"),
        (["--trust"], "--trust: ONNX Runtime loads no engine"),
        (["--batch", "4"], "--batch 4: m.onnx has no open first dimension"),
        (["--shape", "1x3x8x8"], "input x is 1x3x16x16, which 1x3x8x8 does not fit"),
        (["--shape", "z:1x3x16x16"], "unknown input of m.onnx 'z'"),
        (["--warmup", "20"], "wanted a time or runs, as in 200ms, 2s or 20it"),
        (["--warmup", "1ms", "--warmUp=2"], "say the same; leave one out"),
        (["--percentile", "101"], "wanted numbers between 0 and 100"),
        (["--percentile", "0.0"], "wanted numbers between 0 and 100"),
        (["--fail-on", "p0>1ms"], "unknown quantity of --fail-on 'p0'"),
        (["--save-baseline", "/proc/b.json"], "output folder /proc is not writable"),
        (["--fail-on", "parity"], "this run of profile does not find parity out"),
        (["--fail-on", "h2d>1ms"], "does not find h2d out"),
        (["--fail-on", "slower"], "does not find slower out"),
        (["--fail-on", "latency>12"], "a number without a unit is no unit of latency"),
        (["--baseline", "B.json"], "--baseline and --max-regression go together"),
        (["--max-regression", "5%"], "--baseline and --max-regression go together"),
        (["--vs", "gone.onnx"], "gone.onnx does not exist"),
        (["--onnx", "m.onnx"], "--onnx names the layers of an engine"),
        (["-o", "m.onnx"], "m.onnx would be overwritten, and it is read"),
        (["-o", "r.json", "--export-times", "r.json"], "r.json would be written twice"),
        (["--load-profile", "p.json"], "go with --load-times"),
        (["--load-times", "t.json", "--layers"], "--layers: with --load-times nothing is run"),
        (["--load-times", "t.json", "--streams", "2"], "--streams: with --load-times nothing"),
        (["--load-times", "t.json", "--use-cuda-graph"], "--use-cuda-graph: with --load-times"),
        (["--load-times", "t.json", "--onnx", "m.onnx"], "--onnx: with --load-times nothing"),
        (["--load-times", "t.json", "--warmUp=0"], "--warmup: with --load-times nothing is run"),
        (["--load-times", "t.json"], "t.json does not exist"),
        (["--require-locked-clocks"], "--require-locked-clocks: .*clocks"),
    ],
)
def test_what_is_refused_in_a_line(edgeup, model, monkeypatch, options, reason):
    import re

    monkeypatch.chdir(model.parent)
    ran = edgeup("profile", "m.onnx", *options)
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1
    assert re.search(reason, ran.err)
    assert [path.name for path in model.parent.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("name", ["m.txt", "m.engine"])
def test_files_that_are_no_models(edgeup, tmp_path, name):
    (tmp_path / name).write_bytes(b"no model")
    ran = edgeup("profile", tmp_path / name)
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1
    assert edgeup("profile", tmp_path / "gone.onnx").status == 2
    assert edgeup("profile", tmp_path).status == 2


def test_what_trtexec_measured_is_reported(edgeup, model, tmp_path):
    ran = edgeup(
        *("profile", model, "--load-times", SAMPLES / "times_8.4.json"),
        *("--load-profile", SAMPLES / "profile_8.4.json", "-o", tmp_path / "r.json"),
        *("--fail-on", "latency>0.5ms,compute>1ms", "--format", "json"),
    )
    page = (tmp_path / "r.html").read_text()
    assert "copy to the device" in page
    assert "Not measured: nothing was run here." in page
    assert ran.status == 1
    report = valid(ran.json)
    assert report["latency"]["median_ms"] == pytest.approx(0.8448)
    assert report["latency"]["parts"]["h2d"]["median_ms"] == 0
    assert report["gates"]["failures"] == ["latency>0.5ms: median latency is 844.8 us"]
    assert "nothing was run here" in report["notices"][0]
    assert report["warmup"] is None


@pytest.mark.parametrize("option", ["--load-times", "--load-profile", "--load-layer-info"])
def test_refusals_of_trtexecs_files_name_the_file(edgeup, model, tmp_path, option):
    files = {
        "--load-times": SAMPLES / "times_8.4.json",
        "--load-profile": SAMPLES / "profile_8.4.json",
        option: tmp_path / "cut.json",
    }
    (tmp_path / "cut.json").write_text('[{"count": 1}')
    ran = edgeup("profile", model, *(word for item in files.items() for word in item))
    assert ran.status == 2
    (line,) = ran.err.splitlines()
    assert f"{tmp_path / 'cut.json'}: " in line


def test_layers_that_trtexec_measured_are_traced_to_nodes(edgeup, model, tmp_path):
    profile = [
        {"count": 100},
        {"name": "down + relu", "timeMs": 60, "averageMs": 0.6, "medianMs": 0.5, "percentage": 60},
        {"name": "up", "timeMs": 10, "averageMs": 0.1, "medianMs": 0.1, "percentage": 10},
        {"name": "head", "timeMs": 30, "averageMs": 0.3, "medianMs": 0.3, "percentage": 30},
    ]
    (tmp_path / "p.json").write_text(json.dumps(profile))
    ran = edgeup(
        *("profile", model, "--load-times", SAMPLES / "times_8.2.json"),
        *("--load-profile", tmp_path / "p.json", "--format", "json"),
    )
    assert ran.status == 0
    layers = valid(ran.json)["layers"]
    assert [row["nodes"] for row in layers["rows"]] == [["down", "relu"], ["up"], ["head"]]
    assert [(s["name"], round(s["share"], 6)) for s in layers["stages"] if s["layers"]] == [
        ("lowest 8x8", 0.6),
        ("decoder 16x16", 0.4),
    ]
    text = edgeup(
        *("profile", model, "--load-times", SAMPLES / "times_8.2.json"),
        *("--load-profile", tmp_path / "p.json"),
    )
    assert text.status == 0
    assert "trtexec's profile" in text.out


def test_optimize_keeps_to_the_same_limits(edgeup, model, tmp_path):
    out = tmp_path / "o.onnx"
    ran = edgeup(
        *("optimize", model, "-o", out, "--format", "json"),
        *("--fail-on", "parity,latency>100s,size>1KB"),
    )
    assert ran.status == 1
    schema = json.loads((files("edgeup") / "data" / "report.schema.json").read_text())
    Draft202012Validator(schema).validate(ran.json)
    assert ran.json["passed"] is False
    (line,) = ran.json["gates"]["failures"]
    assert line.startswith("size>1KB: bytes of the model's file is ")
    assert f"edgeup: failed: {line}" in ran.err
    assert out.is_file()  # it was done, and then judged
    passing = edgeup("optimize", model, "-o", out, "--fail-on", "parity,size>1MB")
    assert passing.status == 0
    refused = edgeup("optimize", model, "-o", out, "--fail-on", "energy>1mJ")
    assert refused.status == 2
    assert "this run of optimize does not find energy out" in refused.err

"""`edgeup profile` on an engine, through the simulated TensorRT and CUDA."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper, numpy_helper

from edgeup.runtime.engine.device import Device
from edgeup.runtime.engine.sidecar import Sidecar, sha256, sidecar_path
from edgeup.runtime.engine.trtexec_exports import parse_profile, parse_times
from edgeup.runtime.latency import LOADS
from edgeup.runtime.timer import Measurement, WarmUp

SCHEMA = json.loads((files("edgeup") / "data" / "profile.schema.json").read_text())
SHORT = ("--iterations", 5, "--warmup", "1it", "--trust")


@pytest.fixture
def model(tmp_path):
    """Resize, convolution, rectifier: named nodes."""
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Resize", ["x", "", "s"], ["u"], "up", mode="nearest"),
            helper.make_node("Conv", ["u", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [value("y", TensorProto.FLOAT, ["n", 4, 16, 16])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s"),
        ],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


@pytest.fixture
def engine(simulate, model, tmp_path, monkeypatch):
    """The file of an engine of the model, without a sidecar; and the simulation as ``.sim``."""
    device = Device("Orin Nano", "8.7", shares_memory=True)
    monkeypatch.setattr("edgeup.runtime.engine.device.find_device", lambda machine: device)

    def make(release="10.3.0", **options):
        sim = simulate(release, **options)
        limits = {"x": [[1, 2, 8, 8], [1, 2, 8, 8], [4, 2, 8, 8]]}
        path = tmp_path / "m.engine"
        path.write_bytes(sim.engine(model.read_bytes(), profiles=[limits]))
        return path, sim

    return make


def report_of(ran, status=0):
    assert ran.status == status, ran.err
    Draft202012Validator(SCHEMA).validate(ran.json)
    return ran.json


def test_parts_in_trtexecs_definitions(edgeup, engine, tmp_path):
    path, _ = engine()
    ran = edgeup(
        *("profile", path, *SHORT, "--export-times", tmp_path / "t.json", "--format", "json"),
        *("--fail-on", "latency>1.1ms,compute>1.1ms,h2d>50us"),
    )
    report = report_of(ran, status=1)
    latency, parts = report["latency"], report["latency"]["parts"]
    assert latency["median_ms"] == pytest.approx(1.2)
    assert [parts[name]["median_ms"] for name in ("h2d", "compute", "d2h")] == pytest.approx(
        [0.1, 1.0, 0.1]
    )
    assert latency["iterations"] == 5
    assert len(report["gates"]["failures"]) == 2
    assert report["setting"]["device"] == "GPU: Orin Nano"
    assert report["overhead"] is None
    (first, *_) = queries = parse_times((tmp_path / "t.json").read_text())
    assert len(queries) == 5
    assert (first.h2d, first.compute, first.latency) == pytest.approx((0.1, 1.0, 1.2))


@pytest.mark.parametrize(("release", "told"), [("8.2.1", False), ("10.3.0", False), ("11.1", True)])
def test_memory_of_the_gpu(edgeup, engine, release, told):
    path, sim = engine(release, integrated=True)
    ran = edgeup("profile", path, *SHORT, "--streams", 2, "--format", "json")
    used = report_of(ran)["device_memory"]
    weights = (4 * 2 * 3 * 3 + 4) * 4
    buffers = (2 * 8 * 8 + 4 * 16 * 16) * 4
    assert used == {
        "measured": True,
        "activations_bytes": 2 << 20,
        "weights_bytes": 2 * weights if told else None,
        "buffers_bytes": 2 * buffers,
        "free_before_bytes": sim.gpu.total,
        "free_bytes": sim.gpu.total - used["taken_bytes"],
        "taken_bytes": 2 * ((1 << 20) + weights + 2 * buffers),  # on the host, too: it is shared
        "total_bytes": sim.gpu.total,
        "shared_with_cpu": True,
    }
    text = " ".join(edgeup("profile", path, *SHORT).out.split())
    known = "weights 0.0 MB" if told else "weights not told"
    assert f"MB taken, shared with the CPU: activations 1.0 MB, {known}, inputs and" in text


def test_without_transfers_with_a_graph_and_with_streams(edgeup, engine):
    path, sim = engine(cuda=("cuda-bindings 13.5.0",))
    ran = edgeup(
        *("profile", path, *SHORT, "--noDataTransfers", "--useCudaGraph", "--infStreams=2"),
        *("--format", "json"),
    )
    report = report_of(ran)
    assert report["latency"]["iterations"] == 10  # two streams
    assert report["latency"]["median_ms"] == pytest.approx(1.0)
    assert (
        report["setting"] | {"streams": 2, "cuda_graph": True, "data_transfers": False}
        == (report["setting"])
    )
    assert "launch" in sim.gpu.calls
    assert "copy_out" not in sim.gpu.calls


@pytest.mark.parametrize("release", ["8.2.1", "10.3.0"])
def test_layers_by_tensorrts_profiler(edgeup, engine, model, tmp_path, release):
    path, _ = engine(release)
    ran = edgeup(
        *("profile", path, *SHORT, "--layers", "--onnx", model, "--batch", 2),
        *("--export-profile", tmp_path / "p.json", "--format", "json"),
    )
    layers = report_of(ran)["layers"]
    assert layers["source"] == "TensorRT's profiler"
    assert [row["nodes"] for row in layers["rows"]] == [["up"], ["conv"], ["relu"]]
    assert {layers["stages"][row["stage"]]["name"] for row in layers["rows"]} == {"decoder 16x16"}
    assert sum(row["share"] for row in layers["rows"]) == pytest.approx(1)
    found = parse_profile((tmp_path / "p.json").read_text())
    assert [layer.name for layer in found.layers] == ["up", "conv", "relu"]
    assert found.iterations == layers["runs"] == 50


def test_without_the_onnx_file_layers_keep_tensorrts_names(edgeup, engine):
    path, _ = engine()
    report = report_of(edgeup("profile", path, *SHORT, "--layers", "--format", "json"))
    assert [row["name"] for row in report["layers"]["rows"]] == ["up", "conv", "relu"]
    assert all(row["nodes"] == [] for row in report["layers"]["rows"])
    assert report["layers"]["stages"] == []
    assert any("--onnx names what it was built from" in line for line in report["notices"])


def test_an_engine_against_its_model(edgeup, engine, model):
    path, _ = engine()
    report = report_of(edgeup("profile", path, *SHORT, "--vs", model, "--format", "json"))
    assert report["versus"]["ratio"]["rounds"] == 6  # one of each load
    assert report["versus"]["setting"]["backend"].startswith("onnxruntime")


@pytest.mark.parametrize("other", ["engine", "onnx"])
def test_several_streams_against_another_model(edgeup, engine, model, monkeypatch, other):
    """Times are made up: 4 ms a run; with two inferences in it, and with one."""
    path, _ = engine()
    made = []

    def measured(works, budget, *, begin, **_):
        begin()
        for work in works.values():
            work(), work()
        made.append(list(works))
        ms = {"model": np.array([4.0, 4.4]), "other": np.array([4.0, 4.4])}
        starts = {name: np.cumsum(times) - times for name, times in ms.items()}
        return Measurement(ms, starts, WarmUp(1, 0.1, settled=True))

    monkeypatch.setattr("edgeup.pipeline.profile.measure.measure_runs", measured)
    against = path if other == "engine" else model
    ran = edgeup(
        *("profile", path, "--trust", "--vs", against, "--streams", 2, "--batch", 1),
        *("--fail-on", "slower,ratio>1.1", "--format", "json"),
    )
    report = report_of(ran)
    versus = report["versus"]
    assert made == [["model", "other"]] * LOADS
    assert (report["setting"]["streams"], report["latency"]["iterations"]) == (2, 4 * LOADS)
    assert (versus["ratio"]["of"], versus["ratio"]["rounds"]) == ("time per inference", 2 * LOADS)
    # Two inferences in the time of one of ONNX Runtime's, which has no streams.
    wanted = {"engine": (1.0, "equal"), "onnx": (0.5, "faster")}[other]
    assert (pytest.approx(versus["ratio"]["median"]), versus["verdict"]) == wanted
    if other == "onnx":
        assert versus["words"] == (
            "m.engine takes 0.500 times as long per inference as m.onnx in turns with it: faster"
        )


def test_text_fits_80_columns(edgeup, engine, model):
    path, _ = engine()
    ran = edgeup("profile", path, *SHORT, "--layers", "--onnx", model)
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    for words in ("copy in", "network", "1 stream, with copies", "decoder 16x16"):
        assert words in ran.out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--threads", "2"], "--threads is for ONNX Runtime, and m.engine runs on the GPU"),
        (["--batch", "9", "--trust"], "was built for 1x2x8x8 to 4x2x8x8"),
        (["--onnx", "m.onnx"], "it goes with --layers"),
        (["--layers", "--onnx", "gone.onnx", "--trust"], "--onnx gone.onnx does not exist"),
        ([], "has no sidecar"),
    ],
)
def test_what_is_refused_in_a_line(edgeup, engine, model, monkeypatch, options, reason):
    path, _ = engine()
    monkeypatch.chdir(model.parent)
    ran = edgeup("profile", path, *options)
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1
    assert reason in ran.err


def test_a_sidecar_vouches_for_an_engine(edgeup, engine):
    path, _ = engine()
    sidecar = Sidecar(
        *(sha256(path.read_bytes()), "0" * 64, "tensorrt", "10.3.0"),
        *("Orin Nano", "8.7", "fp16", {}, {}),
    )
    sidecar_path(path).write_bytes(sidecar.to_bytes())
    ran = edgeup("profile", path, "--iterations", 2, "--warmup", "1it", "--format", "json")
    assert report_of(ran)["latency"]["iterations"] == 2

"""`edgeup compare --backend tensorrt`, through the simulated TensorRT and CUDA."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from edgeup.runtime.engine import bindings_tensorrt, device, session

SCHEMA = json.loads((files("edgeup") / "data" / "compare.schema.json").read_text())
ORIN = device.Device("NVIDIA Jetson Orin Nano Developer Kit", "8.7", shares_memory=True)
UNET = (
    *("compare", "--decoder", "nearest", "--model", "unet", "--option", "width=0.0625"),
    *("--option", "padding=same", "--shape", "1x1x32x32", "--duration", "0.05", "--threads", "1"),
)


@pytest.fixture
def board(simulate, monkeypatch, tmp_path):
    """``board(release)``: this machine is a Jetson with that TensorRT."""
    import torch._dynamo  # noqa: F401 - it looks for a tensorrt that was really installed

    def make(release, gpu=ORIN, **options):
        simulate(release, **options)
        monkeypatch.setattr(device, "find_device", lambda machine: gpu)
        monkeypatch.setattr(device, "free_memory", lambda machine: 3 << 30)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        return tmp_path / "out"

    return make


def compared(ran, status=0):
    assert ran.status == status, ran.err
    jsonschema.validate(ran.json, SCHEMA)
    return ran.json


def test_an_engine_is_built_run_and_compared_itself(board, edgeup, monkeypatch):
    out = board("10.3.0")
    run = session.TensorRTSession.run

    def wrong(self, feeds):
        return {name: array * 1.0625 for name, array in run(self, feeds).items()}

    monkeypatch.setattr(session.TensorRTSession, "run", wrong)
    backends = ("--backend", "onnxruntime,torch,tensorrt")
    ran = edgeup(*UNET, *backends, "-o", out, "--format", "json")
    report = compared(ran, status=1)
    here, module, engine = report["models"]
    assert (here["passed"], module["passed"], engine["passed"]) == (True, True, False)
    assert here["error_of_peak"] < 1e-5
    assert engine["error_of_peak"] == pytest.approx(0.0625, rel=1e-3)
    assert engine["onnx"]["sha256"] == here["onnx"]["sha256"]
    assert engine["latency"]["backend"] == "TensorRT"
    assert engine["latency"]["device"] == f"GPU: {ORIN.name}"
    assert engine["latency"]["iterations"] == here["latency"]["iterations"]
    assert engine["engine"]["read_back"]["verified"] is True
    assert any("without TF32" in notice for notice in report["notices"])
    assert any("without the copies to and from the GPU" in notice for notice in report["notices"])


@pytest.mark.parametrize(("target", "release"), [("jetpack-6.2", "10.3.0"), ("trt-8.5", "8.5.3")])
def test_fp16_by_the_graph_and_by_flag(board, edgeup, target, release):
    out = board(release)
    ran = edgeup(
        *(*UNET, "--backend", "tensorrt,onnxruntime", "--precision", "fp32,fp16"),
        *("--target", target, "-o", out, "--format", "json"),
    )
    report = compared(ran)
    rows = [(entry["name"], entry["backend"]) for entry in report["models"]]
    weak = release.startswith("8.")
    assert rows == [
        ("nearest fp32 tensorrt", "tensorrt"),
        ("nearest fp32 onnxruntime", "onnxruntime"),
        ("nearest fp16 tensorrt", "tensorrt"),
        *([] if weak else [("nearest fp16 onnxruntime", "onnxruntime")]),
    ]
    assert any("takes fp16 from flags" in notice for notice in report["notices"]) == weak
    half = report["models"][2]["engine"]
    assert half["read_back"]["fp16_share"] > 0.5
    assert half["bytes"] > 0


def test_a_downgraded_engine_fails_and_is_named(board, edgeup, monkeypatch):
    out = board("10.3.0")
    inspect = bindings_tensorrt.inspect
    monkeypatch.setattr(
        *(bindings_tensorrt, "inspect"), lambda *given: inspect(*given).replace("FP32", "FP16")
    )
    ran = edgeup(*UNET, "--backend", "tensorrt", "-o", out, "--format", "json")
    report = compared(ran, status=1)
    assert report["models"][0]["passed"] is False
    assert any("was asked for fp32, got fp16" in notice for notice in report["notices"])
    assert "though its outputs are equal" in (out / "compare.html").read_text()


def test_what_tensorrt_refuses_is_a_line_and_the_rest_is_compared(
    board, edgeup, simulators, monkeypatch
):
    out = board("10.3.0")
    monkeypatch.setattr(simulators.builder, "REFUSED", {"Relu"})
    ran = edgeup(*UNET, "--backend", "tensorrt,onnxruntime", "-o", out)
    assert ran.status == 1
    report = json.loads((out / "compare.json").read_text())
    jsonschema.validate(report, SCHEMA)
    [refused] = report["refused"]
    assert (refused["name"], refused["backend"]) == ("nearest tensorrt", "tensorrt")
    assert refused["reason"].startswith("no engine was built: Relu")
    [here] = report["models"]
    assert here["passed"] is True
    assert report["reference"] == here["name"] == "nearest onnxruntime"
    assert report["passed"] is False
    assert "REFUSED by tensorrt: nearest tensorrt: no engine was built: Relu" in ran.out
    page = (out / "compare.html").read_text()
    assert "nearest tensorrt was refused by tensorrt: no engine was built: Relu" in page


def test_nothing_but_refusals_is_one_line(board, edgeup, simulators, monkeypatch):
    out = board("10.3.0")
    monkeypatch.setattr(simulators.builder, "REFUSED", {"Relu"})
    ran = edgeup(*UNET, "--backend", "tensorrt", "-o", out)
    assert ran.status == 2
    [line] = ran.err.splitlines()
    assert "nothing is left to compare: nearest: no engine was built: Relu" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("release", "gpu", "cuda", "target", "said"),
    [
        ("10.3.0", None, ("pycuda",), "jetpack-6.2", "no NVIDIA GPU to build for jetpack-6.2 on"),
        ("10.7.0", ORIN, ("pycuda",), "jetpack-6.2", "build with --target trt-10.7 for this"),
        ("10.3.0", ORIN, (), "jetpack-6.2", "needs the package pycuda, which is not installed"),
        ("rtx-1.7.1", None, ("pycuda",), "rtx", "no NVIDIA GPU to run engines for rtx on"),
    ],
)
def test_without_what_runs_engines_nothing_is_begun(
    board, edgeup, monkeypatch, release, gpu, cuda, target, said
):
    from edgeup.pipeline.compare import subjects

    monkeypatch.setattr(subjects, "candidates", None)
    out = board(release, gpu, cuda=cuda)
    ran = edgeup(*UNET, "--backend", "onnxruntime,tensorrt", "--target", target, "-o", out)
    assert ran.status == 2
    [line] = ran.err.splitlines()
    assert line.startswith("edgeup: --backend tensorrt: ")
    assert said in line

"""`edgeup build` where TensorRT is simulated: a Jetson of each generation, and a desktop."""

from __future__ import annotations

import json

import jsonschema
import onnx.parser
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine import bindings_tensorrt, device, timing_cache
from edgeup.runtime.engine.sidecar import Here, load_engine

NET = """<ir_version: 8, opset_import: ["" : 13]>
net (float[1,4,8,8] x) => (float[1,4,8,8] y)
<float[4,4,3,3] w1 = {WEIGHTS}, float[4,4,1,1] w2 = {POINTWISE}> {
  [big] a = Conv<pads = [1, 1, 1, 1]>(x, w1)
  [middle] b = Relu(a)
  [small] y = Conv(b, w2)
}""".replace("WEIGHTS", ", ".join(f"0.{i % 7 + 1}" for i in range(144))).replace(
    "POINTWISE", ", ".join(f"-0.{i % 5 + 1}" for i in range(16))
)
ORIN = device.Device("NVIDIA Jetson Orin Nano Developer Kit", "8.7", shares_memory=True)
BOARDS = {
    "jetpack-5.0.2": "8.4.1",
    "jetpack-5.1.2": "8.5.3",
    "jetpack-6.0": "8.6.1",
    "jetpack-6.2": "10.3.0",
    "orin-nano-8gb@6.2": "10.3.0",
    "jetpack-7.1": "10.13.3",
    "trt-11.0": "11.0",
}


def schema(name):
    from importlib.resources import files

    return json.loads((files("edgeup") / "data" / f"{name}.schema.json").read_text())


@pytest.fixture
def board(simulate, monkeypatch, tmp_path):
    """``board(release)``: this machine is a Jetson with that TensorRT, and a model lies on it."""

    def make(release, gpu=ORIN):
        simulate(release)
        monkeypatch.setattr(device, "find_device", lambda machine: gpu)
        monkeypatch.setattr(device, "free_memory", lambda machine: 3 << 30)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        path = tmp_path / "net.onnx"
        onnx.save(onnx.parser.parse_model(NET), path)
        return path

    return make


@pytest.mark.parametrize("target", BOARDS)
def test_builds_reads_back_and_describes(board, edgeup, tmp_path, target):
    model = board(BOARDS[target])
    out = tmp_path / "e.engine"
    ran = edgeup("build", model, "--target", target, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    report = ran.json
    jsonschema.validate(report, schema("build"))
    assert report["using"] == "tensorrt"
    assert report["options"]["workspace_bytes"] == (3 << 30) // 2
    assert report["options"]["strongly_typed"] is not BOARDS[target].startswith("8.")
    read_back = report["read_back"]
    assert (read_back["verified"], read_back["compared"]) == (True, 3)
    described = json.loads(out.with_name("e.engine.json").read_text())
    jsonschema.validate(described, schema("engine"))
    here = Here("tensorrt", report["tensorrt"]["version"], ORIN.name, "8.7")
    assert load_engine(out, here).content == out.read_bytes()


@pytest.mark.parametrize("target", ["jetpack-5.1.2", "jetpack-6.2", "trt-11.0"])
def test_fp16_by_flag_and_by_graph(board, edgeup, tmp_path, target):
    model = board(BOARDS[target])
    out = tmp_path / "e.engine"
    ran = edgeup("build", model, "--target", target, "--fp16", "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    report = ran.json
    jsonschema.validate(report, schema("build"))
    weak = BOARDS[target].startswith("8.")
    assert report["options"]["fp16_flag"] is weak
    assert report["precision"]["is"] == "fp16"
    assert report["read_back"]["fp16_share"] == 1
    assert report["read_back"]["verified"]


@pytest.mark.parametrize("target", ["jetpack-5.1.2", "jetpack-6.2"])
def test_a_downgrade_is_an_error_with_the_layer_named(board, edgeup, tmp_path, monkeypatch, target):
    model = board(BOARDS[target])
    inspect = bindings_tensorrt.inspect

    def lie(*given):
        told = json.loads(inspect(*given))
        for layer in told["Layers"]:
            for tensor in layer["Outputs"]:
                tensor["Format/Datatype"] = "Row major linear FP32"
        return json.dumps(told)

    monkeypatch.setattr(bindings_tensorrt, "inspect", lie)
    ran = edgeup("build", model, "--target", target, "--fp16", "-o", tmp_path / "e.engine")
    assert ran.status == 1
    assert "DOWNGRADED" in ran.out
    if target == "jetpack-6.2":
        assert "big: asked for fp16, got fp32" in ran.out
    else:
        assert "0% of the multiply-accumulates run in fp16" in " ".join(ran.out.split())
        assert "in fp32: big" in ran.out
    described = json.loads((tmp_path / "e.engine.json").read_text())
    assert described["read_back"]["passed"] is False


def test_a_timing_cache_is_kept_between_builds(board, edgeup, tmp_path):
    model, cache = board("10.3.0"), tmp_path / "t.cache"
    command = ("build", model, "-o", tmp_path / "e.engine", "--timingCacheFile", cache)
    assert edgeup(*command).status == 0
    first = cache.read_bytes()
    assert b"Conv" in first
    assert edgeup(*command).status == 0
    assert cache.read_bytes() == first


def test_a_cache_that_cannot_be_kept_does_not_cost_the_engine(board, edgeup, tmp_path, monkeypatch):
    def full(*arguments):
        raise EdgeupError("could not write t.cache: No space left on device")

    monkeypatch.setattr(timing_cache, "store_timings", full)
    command = ("build", board("10.3.0"), "--timing-cache", tmp_path / "t.cache")
    ran = edgeup(*command, "-o", tmp_path / "e.engine", "--format", "json")
    assert ran.status == 0, ran.err
    assert any("cache was not kept: could not write" in notice for notice in ran.json["notices"])
    assert (tmp_path / "e.engine").exists()


def test_a_refused_model_is_status_1_and_writes_nothing(board, edgeup, tmp_path):
    path = board("10.3.0")
    onnx.save(onnx.parser.parse_model(NET.replace("Relu", "Unique")), path)
    ran = edgeup("build", path, "-o", tmp_path / "e.engine", "--format", "json")
    assert ran.status == 1
    report = ran.json
    jsonschema.validate(report, schema("build"))
    assert report["errors"][0]["node"] == "middle"
    assert "edgeup optimize" in report["notices"][-1]
    assert not list(tmp_path.glob("e.engine*"))


@pytest.mark.parametrize(
    ("release", "gpu", "target", "said"),
    [
        ("10.3.0", None, "jetpack-6.2", "no NVIDIA GPU to build for jetpack-6.2 on"),
        (
            "10.3.0",
            device.Device("NVIDIA GeForce RTX 3060", "8.6", shares_memory=False),
            "jetpack-6.2",
            "jetpack-6.2 is a Jetson, this machine has a NVIDIA GeForce RTX 3060",
        ),
        ("10.3.0", ORIN, "xavier-nx@5.1.2", "Jetson Xavier NX has compute capability 7.2, this"),
        ("10.7.0", ORIN, "jetpack-6.2", "build with --target trt-10.7 for this machine"),
    ],
)
def test_where_it_cannot_build_it_says_what_to_type_on_the_board(
    board, edgeup, tmp_path, release, gpu, target, said
):
    model = board(release, gpu)
    ran = edgeup("build", model, "--target", target, "-o", tmp_path / "e.engine")
    assert ran.status == 2
    assert said in ran.err
    [line] = ran.out.splitlines()
    assert line.startswith("/usr/src/tensorrt/bin/trtexec --onnx=net.onnx --saveEngine=e.engine")
    assert line in ran.err
    assert not list(tmp_path.glob("e.engine*"))


def test_a_desktop_builds_for_its_own_tensorrt(board, edgeup, tmp_path):
    desktop = device.Device("NVIDIA GeForce RTX 3060", "8.6", shares_memory=False)
    model = board("10.7.0", desktop)
    ran = edgeup(
        *("build", model, "--target", "trt-10.7", "-o", tmp_path / "e.engine"),
        *("--format", "json"),
    )
    assert ran.status == 0, ran.err
    assert ran.json["options"]["workspace_bytes"] is None
    assert any("--no-tf32" in notice for notice in ran.json["notices"])

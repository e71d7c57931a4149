"""--fail-on precision of `edgeup build` and `edgeup verify`, on the simulated TensorRT."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import onnx.parser
import pytest

from edgeup.runtime.engine import bindings_tensorrt, device

NET = """<ir_version: 8, opset_import: ["" : 13]>
net (float[1,4,8,8] x) => (float[1,4,8,8] y)
<float[4,4,3,3] w1 = {WEIGHTS}> {
  [big] a = Conv<pads = [1, 1, 1, 1]>(x, w1)
  [small] y = Relu(a)
}""".replace("WEIGHTS", ", ".join(f"0.{i % 7 + 1}" for i in range(144)))
ORIN = device.Device("NVIDIA Jetson Orin Nano Developer Kit", "8.7", shares_memory=True)
RELEASES = {"jetpack-5.1.2": "8.5.3", "jetpack-6.2": "10.3.0"}


@pytest.fixture
def build(simulate, monkeypatch, tmp_path, edgeup):
    """``build(target, ...)``: on a board of that target, with --fp16 and --fail-on precision."""
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(NET), path)
    monkeypatch.setattr(device, "find_device", lambda machine: ORIN)
    monkeypatch.setattr(device, "free_memory", lambda machine: 3 << 30)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def run(target, *options, conditions="parity,precision"):
        simulate(RELEASES[target])
        command = ("build", path, "--target", target, "--fp16", "-o", tmp_path / "e.engine")
        ran = edgeup(*command, *options, "--fail-on", conditions, "--format", "json")
        schema = json.loads((files("edgeup") / "data" / "build.schema.json").read_text())
        if ran.status < 2:
            jsonschema.validate(ran.json, schema)
        return ran

    return run


def in_fp32(monkeypatch, *names):
    """Make the inspector say that layers whose names hold one of these are in fp32."""
    inspect = bindings_tensorrt.inspect

    def lie(*given):
        told = json.loads(inspect(*given))
        for layer in told["Layers"]:
            if any(name in layer["Name"] for name in names):
                for tensor in layer["Outputs"]:
                    tensor["Format/Datatype"] = "Row major linear FP32"
        return json.dumps(told)

    monkeypatch.setattr(bindings_tensorrt, "inspect", lie)


@pytest.mark.parametrize("target", RELEASES)
def test_an_engine_as_asked_passes(build, target):
    ran = build(target)
    assert ran.status == 0, ran.err
    assert ran.json["gates"] == {"conditions": ["parity", "precision"], "failures": []}


@pytest.mark.parametrize("target", RELEASES)
def test_an_fp16_engine_that_is_fp32_fails(build, monkeypatch, target):
    in_fp32(monkeypatch, "big", "small")
    ran = build(target)
    assert ran.status == 1
    [line] = ran.json["gates"]["failures"]
    assert line.startswith("precision: ")
    assert "is in fp32 where fp16 was asked" in line
    assert ran.err == f"edgeup: failed: {line}\n"


def test_a_layer_that_the_builder_chose_to_leave_in_fp32_fails_by_condition_alone(
    build, monkeypatch
):
    in_fp32(monkeypatch, "small")
    ran = build("jetpack-5.1.2", conditions="parity")
    assert ran.status == 0, ran.err  # flags are a wish: most of the work is in fp16
    ran = build("jetpack-5.1.2")
    assert ran.status == 1
    assert ran.json["read_back"]["passed"] is True
    assert ran.json["gates"]["failures"] == ["precision: small in fp32 where fp16 was asked"]


def test_layers_that_cannot_be_read_back_are_not_as_asked(build, monkeypatch):
    monkeypatch.setattr(bindings_tensorrt, "inspect", lambda *given: None)
    ran = build("jetpack-6.2")
    assert ran.status == 1
    [line] = ran.json["gates"]["failures"]
    assert line.startswith("precision: the layers were not compared: not verifiable: ")


@pytest.mark.parametrize("target", RELEASES)
def test_what_the_user_kept_in_fp32_is_said_by_build_and_by_verify(build, edgeup, tmp_path, target):
    keep = tmp_path / "keep.txt"
    keep.write_text("small\n")
    said = "precision: small kept in fp32 where fp16 was asked"
    ran = build(target, "--keep-fp32", keep)
    assert (ran.status, ran.json["gates"]["failures"]) == (1, [said])
    sidecar = json.loads((tmp_path / "e.engine.json").read_text())
    schema = json.loads((files("edgeup") / "data" / "engine.schema.json").read_text())
    jsonschema.validate(sidecar, schema)
    assert sidecar["kept_fp32"] == ["small"]
    again = verified(edgeup, tmp_path)
    assert again.status == 1
    assert again.err == f"edgeup: failed: {said}\n"


def verified(edgeup, tmp_path, *options):
    pair = ("verify", tmp_path / "net.onnx", tmp_path / "e.engine", "--kinds", "noise,ramp")
    return edgeup(*pair, "--fail-on", "parity,precision,size>1GB", *options)


def test_verify_judges_an_engine_by_what_was_read_back(build, edgeup, tmp_path):
    assert build("jetpack-6.2").status == 0
    passed = verified(edgeup, tmp_path, "--format", "json")
    assert passed.status == 0, passed.err
    assert passed.json["gates"]["failures"] == []
    beside = tmp_path / "e.engine.json"
    sidecar = json.loads(beside.read_text())
    sidecar["read_back"]["downgrades"] = [
        {"layer": "big", "asked": "fp16", "got": "fp32", "reason": "the graph's types are binding"}
    ]
    beside.write_text(json.dumps(sidecar))
    failed = verified(edgeup, tmp_path)
    assert failed.status == 1
    assert failed.err == "edgeup: failed: precision: big is in fp32 where fp16 was asked\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda told: None, "the engine has no sidecar that says what was asked"),
        (
            lambda told: told | {"engine": {"sha256": "0" * 64}},
            "its sidecar describes another engine",
        ),
        (
            lambda told: told | {"read_back": {"verified": False, "why": "no inspector"}},
            "its layers were not compared: no inspector",
        ),
        (
            lambda told: told | {"read_back": [3]},
            "its sidecar does not hold what the layers were read back as",
        ),
        (
            lambda told: told | {"read_back": {"verified": True}},
            "its sidecar does not hold what the layers were read back as",
        ),
    ],
)
def test_verify_refuses_precision_where_the_sidecar_does_not_tell(
    build, edgeup, tmp_path, change, reason
):
    assert build("jetpack-6.2").status == 0
    beside = tmp_path / "e.engine.json"
    changed = change(json.loads(beside.read_text()))
    beside.unlink() if changed is None else beside.write_text(json.dumps(changed))
    ran = verified(edgeup, tmp_path, "--trust")
    assert ran.status == 2
    assert f"does not find precision out ({reason})" in ran.err
    assert len(ran.err.splitlines()) == 1

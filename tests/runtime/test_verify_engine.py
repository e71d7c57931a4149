"""`edgeup verify` with an engine on one side, on the simulated TensorRT."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.runtime.engine.device import Device
from edgeup.runtime.engine.sidecar import Sidecar, sha256, sidecar_path

VALUE = helper.make_tensor_value_info


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes an engine with its sidecar."""
    device = Device("Orin Nano", "8.7", shares_memory=True)
    monkeypatch.setattr("edgeup.runtime.engine.device.find_device", lambda machine: device)

    def write(content, precision="fp16"):
        path = tmp_path / "model.engine"
        path.write_bytes(content)
        sidecar = Sidecar(
            engine_sha256=sha256(content),
            onnx_sha256="0" * 64,
            package="tensorrt",
            version="10.3.0",
            device="Orin Nano",
            compute_capability="8.7",
            precision=precision,
            options={},
            more={},
        )
        sidecar_path(path).write_bytes(sidecar.to_bytes())
        return path

    return write


@pytest.fixture
def reference(tmp_path, conv_model):
    path = tmp_path / "model.onnx"
    path.write_bytes(conv_model)
    return path


LIMITS = {"x": [[1, 2, 4, 4], [1, 2, 8, 8], [2, 2, 16, 16]]}
SHAPE = ("--shape", "1x2x8x8", "--kinds", "noise,impulse")


def test_an_engine_against_its_model(edgeup, simulate, conv_model, reference, written, tmp_path):
    sim = simulate()
    engine = written(sim.engine(conv_model, profiles=[LIMITS]))
    ran = edgeup(
        "verify", reference, engine, *SHAPE, "--save-outputs", tmp_path, "--format", "json"
    )
    assert ran.status == 0, ran.err
    report = ran.json
    assert report["candidate"]["kind"] == "engine"
    assert report["candidate"]["backend"] == "TensorRT"
    assert report["candidate"]["precision"] == "fp16"
    assert "fp16" in report["parity"][0]["tolerance"]["reason"]
    # What the board saved is compared where there is no board, at the same tolerance.
    again = edgeup("verify", reference, tmp_path / "candidate.npz", "--format", "json")
    assert again.status == 0, again.err
    assert again.json["candidate"]["backend"] == "TensorRT"
    assert again.json["parity"][0]["tolerance"] == report["parity"][0]["tolerance"]
    with np.load(tmp_path / "candidate.npz") as arrays:
        assert arrays["noise/y"].std() > 0


def test_a_wrong_engine_fails(edgeup, simulate, make_model, reference, written):
    weights = np.random.default_rng(1).normal(size=(4, 2, 3, 3)).astype(np.float32)
    other = make_model(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)],
        [VALUE("x", TensorProto.FLOAT, [1, 2, 8, 8])],
        [VALUE("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    engine = written(simulate().engine(other))
    ran = edgeup("verify", reference, engine, "--kinds", "noise", "--format", "json")
    assert ran.status == 1, ran.err
    assert json.dumps(ran.json["inputs"]["inputs"][0]["shape"]) == "[1, 2, 8, 8]"
    assert ran.json["parity"][0]["passed"] is False


def test_engines_that_are_refused(edgeup, simulate, conv_model, reference, written):
    engine = written(simulate().engine(conv_model, profiles=[LIMITS]))
    wide = edgeup("verify", engine, reference, *SHAPE, "--reference-precision", "fp64")
    assert wide.status == 2
    assert "an engine computes in the precision that it was built in" in wide.err
    bare = edgeup("verify", reference, engine)
    assert bare.status == 2
    assert "give their sizes" in bare.err
    looked_into = edgeup("verify", reference, engine, *SHAPE, "--bisect")
    assert looked_into.status == 2
    assert "looks into the nodes of ONNX files" in looked_into.err
    sidecar_path(engine).unlink()
    strange = edgeup("verify", reference, engine, *SHAPE)
    assert strange.status == 2
    assert "has no sidecar" in strange.err
    trusted = edgeup("verify", reference, engine, *SHAPE, "--trust")
    assert trusted.status == 2
    assert "how far unknown may be from a reference" in trusted.err
    said = edgeup("verify", reference, engine, *SHAPE, "--trust", "--atol", "1e-4")
    assert said.status == 0, said.err
    assert "loaded on trust" in said.out

"""onnxsim as a stage: folds, keeps the interface, and steps back with a notice."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import onnxsim
import pytest
from onnx import parser

from edgeup.export import simplify as stage
from edgeup.export.cost import nodes_by_operator

TEXT = (
    '<ir_version: 8, opset_import: ["": 17]> '
    "g (float[1,4,6] image) => (float[2,12] depth) "
    "<float[1] one = {1}, int64[1] two = {2}, int64[1] rest = {-1}> "
    "{ s = Concat<axis=0>(two, rest) r = Reshape(image, s) n = Neg(r) depth = Mul(n, one) }"
)


@pytest.fixture
def model() -> ir.Model:
    return ir.from_proto(parser.parse_model(TEXT))


def test_folds_and_computes_the_same(model: ir.Model, capfd: pytest.CaptureFixture[str]):
    notices: list[str] = []
    after = stage.simplify(model, notice=notices.append)
    assert notices == []
    assert "Concat" not in nodes_by_operator(after)
    assert sum(nodes_by_operator(after).values()) < 4
    assert sum(nodes_by_operator(model).values()) == 4
    assert [v.name for v in (*after.graph.inputs, *after.graph.outputs)] == ["image", "depth"]
    assert not after.metadata_props
    assert (after.opset_imports, after.ir_version) == ({"": 17}, 8)
    x = np.random.default_rng(0).normal(size=(1, 4, 6)).astype(np.float32)
    session = ort.InferenceSession(ir.to_proto(after).SerializeToString())
    np.testing.assert_array_equal(session.run(None, {"image": x})[0], -x.reshape(2, 12))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def renamed(proto: onnx.ModelProto, **_: Any) -> tuple[onnx.ModelProto, bool]:
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    changed.graph.output[0].name = "other"
    return changed, True


def raised(proto: onnx.ModelProto, **_: Any) -> tuple[onnx.ModelProto, bool]:
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    changed.opset_import[0].version = 21
    return changed, True


def failing(proto: onnx.ModelProto, **_: Any) -> tuple[onnx.ModelProto, bool]:
    sys.stdout.write("noise")
    raise RuntimeError("it broke\nhere")


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (renamed, "not simplified: onnxsim changed the outputs"),
        (raised, "not simplified: onnxsim changed the opset"),
        (failing, "not simplified: onnxsim failed with: it broke"),
    ],
)
def test_result_that_cannot_be_taken_is_left_with_a_notice(
    model: ir.Model,
    fake: Any,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(onnxsim, "simplify", fake)
    notices: list[str] = []
    assert stage.simplify(model, notice=notices.append) is model
    assert notices == [reason]
    assert capfd.readouterr().out == ""


def test_near_two_gib_is_left_with_a_notice(model: ir.Model, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage, "SIZE_TO_SKIP", 3)
    notices: list[str] = []
    assert stage.simplify(model, notice=notices.append) is model
    assert notices == ["not simplified: 20 bytes of weights are too near the 2 GiB that fit a file"]

"""Bytes of a model: self-contained, within 2 GiB, and read back for what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from edgeup.errors import EdgeupError
from edgeup.export import serialize
from edgeup.export.serialize import read_back, to_bytes
from edgeup.spec import TensorSpec

TEXT = (
    '<ir_version: 8, opset_import: ["": 17, "mine": 2]> '
    "g (float[n,3,?] x, int64[2] i) => (float16[n,3,?] y, bool[2] z) "
    "<float[1] w = {2.5}> { a = Mul(x, w) y = Cast<to=10>(a) z = Equal(i, i) }"
)


def test_read_back_says_what_the_bytes_say():
    facts = read_back(to_bytes(ir.from_proto(parser.parse_model(TEXT))))
    assert (facts.opset, facts.ir_version) == (17, 8)
    assert facts.inputs == (TensorSpec("x", ("n", 3, "x_2")), TensorSpec("i", (2,), "int64"))
    assert facts.outputs == (
        TensorSpec("y", ("n", 3, "y_2"), "float16"),
        TensorSpec("z", (2,), "bool"),
    )


def test_weights_listed_as_inputs_are_no_inputs():
    proto = parser.parse_model(TEXT)
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [1]))
    assert [i.name for i in read_back(proto.SerializeToString()).inputs] == ["x", "i"]


def test_external_weights_come_inside(tmp_path: Path):
    proto = parser.parse_model(TEXT)
    path = tmp_path / "model.onnx"
    values = np.arange(300, dtype=np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "w"))
    onnx.save(proto, path, save_as_external_data=True, location="w.data", size_threshold=0)
    content = to_bytes(ir.load(path))
    (tmp_path / "w.data").unlink()
    (tensor,) = onnx.load_model_from_string(content).graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), values)


def test_too_large_is_refused_before_serializing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serialize, "SIZE_LIMIT", 3)
    with pytest.raises(EdgeupError, match=r"holds 4 bytes of weights and .* at most 3"):
        to_bytes(ir.from_proto(parser.parse_model(TEXT)))


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(EdgeupError, match="7 bytes that are no ONNX model"):
        read_back(b"\xff\xfe\xfdnope")


def test_model_without_opset_is_refused():
    proto = parser.parse_model(TEXT)
    del proto.opset_import[0]
    with pytest.raises(EdgeupError, match=r"one opset of the default domain; it has \[\]"):
        read_back(proto.SerializeToString())


def test_sequence_interface_is_refused():
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        "g (float[2] x) => (seq(float[2]) s) { s = SequenceConstruct(x) }"
    )
    with pytest.raises(EdgeupError, match="s is no tensor"):
        read_back(proto.SerializeToString())

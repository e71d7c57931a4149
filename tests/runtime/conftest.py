"""Small ONNX models for the tests of the runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def _serialized(nodes, inputs, outputs, initializers=(), *, opset=17, ir_version=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    return model.SerializeToString()


@pytest.fixture
def make_model():
    """Serializes a graph: ``make_model(nodes, inputs, outputs, initializers)``."""
    return _serialized


@pytest.fixture
def conv_model():
    """``y = relu(conv3x3(x))``: x n 2 h w with dynamic n, h, w; weights seeded."""
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    return _serialized(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )


@pytest.fixture
def external_model():
    """``y = x + w``, w of 4 floats in another file: ``external_model(location)``."""

    def make(location):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        value = helper.make_tensor_value_info
        return _serialized(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            [value("x", TensorProto.FLOAT, [4])],
            [value("y", TensorProto.FLOAT, [4])],
            [tensor],
        )

    return make

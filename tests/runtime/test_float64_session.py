from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.errors import EdgeupError
from edgeup.runtime.float64_session import Float64Session
from edgeup.spec import TensorSpec

VALUE = helper.make_tensor_value_info


def test_a_convolution_in_float64(conv_model):
    """Against PyTorch's own, whose float64 convolution is another implementation."""
    import torch

    x = np.random.default_rng(1).normal(size=(2, 2, 7, 5)).astype(np.float32)
    with Float64Session(conv_model) as session:
        assert session.inputs == (TensorSpec("x", ("n", 2, "h", "w"), "float32"),)
        [got] = session.run({"x": x}).values()
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    wanted = torch.nn.functional.conv2d(
        torch.from_numpy(x).double(), torch.from_numpy(weights).double(), padding=1
    ).relu()
    assert got.dtype == np.float64
    assert got.std() > 0.5
    np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=1e-13)


def model_with(nodes, make_model, *, output=TensorProto.FLOAT, weights=()):
    return make_model(
        nodes, [VALUE("x", TensorProto.FLOAT, [2])], [VALUE("y", output, None)], weights
    )


THIRDS = np.array([1 / 3, 2 / 3], np.float32)


@pytest.mark.parametrize(
    ("nodes", "constant"),
    [
        ([helper.make_node("Constant", [], ["c"], value_float=0.1)], np.float32(0.1)),
        (
            [helper.make_node("Constant", [], ["c"], value_floats=[0.1, 0.2])],
            np.float32([0.1, 0.2]),
        ),
        (
            [
                helper.make_node(
                    *("Constant", [], ["c"]),
                    value=numpy_helper.from_array(np.array([0.1], np.float16)),
                )
            ],
            np.float16(0.1),
        ),
        (
            [
                helper.make_node("Shape", ["x"], ["s"]),
                helper.make_node("ConstantOfShape", ["s"], ["c"]),
            ],
            0.0,
        ),
        # Nothing is rounded on the way, though the graph says so.
        ([helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT16)], THIRDS),
    ],
)
def test_whatever_makes_float_makes_double(make_model, nodes, constant):
    nodes = [*nodes, helper.make_node("Add", ["x", "c"], ["y"])]
    with Float64Session(model_with(nodes, make_model)) as session:
        got = session.run({"x": THIRDS})["y"]
    assert got.dtype == np.float64
    wanted = THIRDS.astype(np.float64) + np.asarray(constant).astype(np.float64)
    np.testing.assert_array_equal(got, wanted)


def test_a_branch_is_widened_too(make_model):
    def branch(name, value):
        tensor = numpy_helper.from_array(np.array([value], np.float32))
        return helper.make_graph(
            [helper.make_node("Constant", [], [name], value=tensor)],
            name,
            [],
            [VALUE(name, TensorProto.FLOAT, [1])],
        )

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["positive"], to=TensorProto.BOOL),
        helper.make_node(
            *("If", ["positive"], ["c"]), then_branch=branch("t", 1.5), else_branch=branch("e", 2.5)
        ),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    with Float64Session(model_with(nodes, make_model)) as session:
        got = session.run({"x": np.array([1, 2], np.float32)})["y"]
    assert got.dtype == np.float64
    assert got.tolist() == [2.5, 3.5]


def test_what_does_not_run_is_one_line(make_model, tmp_path):
    strange = make_model(
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="com.example")],
        [VALUE("x", TensorProto.FLOAT, [2])],
        [VALUE("y", TensorProto.FLOAT, [2])],
    )
    with pytest.raises(EdgeupError, match="does not run in float64 by onnx's ReferenceEvaluator"):
        Float64Session(strange).run({"x": np.ones(2, np.float32)})
    with pytest.raises(EdgeupError, match="is not an ONNX model"):
        Float64Session(b"\xff\xff\xff")


def test_a_missing_input(conv_model):
    with Float64Session(conv_model) as session, pytest.raises(EdgeupError, match="needs the input"):
        session.run({})

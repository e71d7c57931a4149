from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeup.errors import EdgeupError
from edgeup.runtime.ort_layers import _node_times, profile_nodes


def node(op, name, inputs, outputs):
    return helper.make_node(op, inputs, outputs, name=name)


def event(name, us):
    return {"cat": "Node", "name": name, "dur": us, "args": {}}


RUN = {"cat": "Session", "name": "model_run", "dur": 1}
GRAPH = [node("Conv", "a", ["x"], ["t"]), node("Relu", "b", ["t"], ["y"])]


def test_runs_are_told_apart_and_those_of_the_warm_up_left_out():
    events = [
        {"cat": "Session", "name": "session_initialization", "dur": 9},
        *(event("a_kernel_time", 900), event("b_kernel_time", 90), RUN),
        *(event("a_kernel_time", 10), event("b_kernel_time", 20), RUN),
        *(event("a_kernel_time", 30), event("b_kernel_time", 40), RUN),
    ]
    first, second = _node_times(events, GRAPH, 1)
    np.testing.assert_allclose(first.times, [0.010, 0.030])
    np.testing.assert_allclose(second.times, [0.020, 0.040])
    assert (first.name, first.op, first.inputs, first.outputs) == ("a", "Conv", ("x",), ("t",))


def test_what_runs_inside_a_loop_is_in_the_loops_time():
    events = [event("a_kernel_time", 10), event("inner_kernel_time", 7), RUN]
    assert [one.name for one in _node_times(events, GRAPH, 0)] == ["a"]


def test_a_node_that_runs_twice_in_a_run_is_added_up():
    events = [event("a_kernel_time", 10), event("a_kernel_time", 5), RUN]
    np.testing.assert_allclose(_node_times(events, GRAPH, 0)[0].times, [0.015])


def test_nodes_without_names_are_found_by_their_numbers():
    graph = [node("Mul", "", ["x"], ["m"]), node("Tanh", "", ["m"], ["t"]), *GRAPH]
    graph.append(node("Mul", "", ["t"], ["z"]))
    events = [
        *(event("Mul_3_kernel_time", 1), event("Tanh_5_kernel_time", 2)),
        *(event("Mul_10_kernel_time", 3), event("a_kernel_time", 4), RUN),
    ]
    found = {one.name: one.outputs for one in _node_times(events, graph, 0)}
    assert found == {"Mul_3": ("m",), "Tanh_5": ("t",), "Mul_10": ("z",), "a": ("t",)}


def test_no_node_is_an_error():
    with pytest.raises(EdgeupError, match="noted no node"):
        _node_times([RUN], GRAPH, 0)


def test_functions_of_the_standard_are_timed_too(make_model):
    """ONNX Runtime makes nodes without names of HardSwish."""
    value = helper.make_tensor_value_info
    model = make_model(
        [helper.make_node("HardSwish", ["x"], ["y"], name="swish")],
        [value("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [value("y", TensorProto.FLOAT, [1, 2, 4, 4])],
    )
    feeds = {"x": np.random.default_rng(0).random((1, 2, 4, 4)).astype(np.float32)}
    found = profile_nodes(model, feeds, threads=1, warmup_s=0, duration_s=0)
    assert found[-1].outputs == ("y",)
    assert all(one.times.size == 10 for one in found)

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeup.errors import EdgeupError
from edgeup.runtime.cpu import cpu_model, cpu_threads
from edgeup.runtime.inputs import test_inputs
from edgeup.runtime.latency import measure_onnx, time_onnx
from edgeup.runtime.ort_session import OnnxRuntimeSession, run_once
from edgeup.runtime.timer import Budget
from edgeup.spec import TensorSpec

VALUE = helper.make_tensor_value_info
FEEDS = {"x": np.arange(4, dtype=np.float32)}


def _image(n=1, h=5, w=6):
    return next(test_inputs([TensorSpec("x", (n, 2, h, w))], 0, ["noise"])).feeds


def test_interface(conv_model):
    with OnnxRuntimeSession(conv_model, threads=1) as session:
        assert session.inputs == (TensorSpec("x", ("n", 2, "h", "w")),)
        assert session.outputs == (TensorSpec("y", ("n", 4, "h", "w")),)
        assert session.threads == 1


@pytest.mark.parametrize("optimize", [True, False])
def test_run_from_bytes_and_from_a_path(conv_model, tmp_path, optimize):
    path = tmp_path / "model.onnx"
    path.write_bytes(conv_model)
    outputs = [run_once(model, _image(2), optimize=optimize)["y"] for model in (conv_model, path)]
    assert outputs[0].shape == (2, 4, 5, 6)
    assert outputs[0].std() > 0.1
    np.testing.assert_array_equal(*outputs)


def test_optimizations_can_be_switched_off(make_model, tmp_path):
    """ONNX Runtime drops an Identity when it may; its profile names the nodes that ran."""
    import json

    import onnxruntime as ort

    nodes = [helper.make_node("Identity", ["x"], ["i"]), helper.make_node("Neg", ["i"], ["y"])]
    model = make_model(
        nodes, [VALUE("x", TensorProto.FLOAT, [4])], [VALUE("y", TensorProto.FLOAT, [4])]
    )
    seen = {}
    for optimize in (True, False):
        real = ort.SessionOptions

        def profiled(real=real, optimize=optimize):
            options = real()
            options.enable_profiling = True
            options.profile_file_prefix = str(tmp_path / f"profile{optimize}")
            return options

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ort, "SessionOptions", profiled)
            session = OnnxRuntimeSession(model, threads=1, optimize=optimize)
        session.run(FEEDS)
        with open(session._session.end_profiling()) as stream:  # noqa: PTH123 - ORT gives a str
            seen[optimize] = {e["args"].get("op_name") for e in json.load(stream) if "args" in e}
    assert "Identity" in seen[False]
    assert "Identity" not in seen[True]


def test_transposed_feeds_are_taken(conv_model):
    array = _image()["x"]
    turned = np.ascontiguousarray(array.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(
        run_once(conv_model, {"x": turned})["y"], run_once(conv_model, {"x": array})["y"]
    )


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ({}, "the model needs the input x:nx2xhxw"),
        ({"x": np.zeros((1, 2, 4, 4), np.float32), "z": FEEDS["x"]}, "has no input 'z'; it has x"),
        ({"x": np.zeros((1, 3, 4, 4), np.float32)}, "x got shape 1x3x4x4, wanted nx2xhxw"),
        ({"x": np.zeros((2, 4, 4), np.float32)}, "x got shape 2x4x4, wanted nx2xhxw"),
        ({"x": np.float32(1).reshape(())}, "x got shape a scalar, wanted"),
        ({"x": np.zeros((1, 2, 4, 4))}, "x got dtype float64, wanted float32"),
    ],
)
def test_wrong_feeds(conv_model, feeds, reason):
    with OnnxRuntimeSession(conv_model) as session:
        for run in (session.run, session.bind):
            with pytest.raises(EdgeupError, match=reason):
                run(feeds)


def _refusal(model):
    with pytest.raises(EdgeupError) as caught:
        OnnxRuntimeSession(model)
    text = str(caught.value)
    assert "\n" not in text
    assert "ONNXRuntimeError" not in text
    assert "onnxruntime_src" not in text
    assert len(text) < 420
    return text


def test_files_that_are_no_models(tmp_path):
    assert _refusal(tmp_path / "no.onnx").endswith("no.onnx does not exist")
    assert _refusal(tmp_path).endswith("is a folder")
    for name, content in (("empty", b""), ("png", b"\x89PNG\r\n\x1a\nabc"), ("text", b"hello you")):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        assert "is not an ONNX model" in _refusal(path)
        assert "is not an ONNX model" in _refusal(content)


def test_models_that_onnx_runtime_refuses(make_model):
    x, y = [VALUE("x", TensorProto.FLOAT, [1, 3])], [VALUE("y", TensorProto.FLOAT, [1, 3])]
    nope = [helper.make_node("Nope", ["x"], ["y"])]
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    product = [helper.make_node("MatMul", ["x", "x"], ["y"])]
    assert "No Op registered for Nope" in _refusal(make_model(nope, x, y))
    assert "Incompatible dimensions" in _refusal(make_model(product, x, y))
    assert "ONNX Runtime refuses the model: Unsupported model IR version: 99" in _refusal(
        make_model(relu, x, y, ir_version=99)
    )


def test_a_run_that_fails_is_one_line(make_model):
    model = make_model(
        [helper.make_node("MatMul", ["x", "x"], ["y"])],
        [VALUE("x", TensorProto.FLOAT, ["a", "b"])],
        [VALUE("y", TensorProto.FLOAT, None)],
    )
    with pytest.raises(EdgeupError, match=r"the model failed to run: .*dimension mismatch"):
        run_once(model, {"x": np.zeros((2, 3), np.float32)})


def test_sequences_are_refused(make_model):
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    model = make_model(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [VALUE("x", TensorProto.FLOAT, [4])],
        [sequence],
    )
    assert "y is a seq(tensor(float)), not a plain tensor" in _refusal(model)


def test_external_data_beside_the_file(external_model, tmp_path):
    FEEDS["x"].tofile(tmp_path / "weights.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(external_model("weights.bin"))
    np.testing.assert_array_equal(run_once(path, FEEDS)["y"], [0, 2, 4, 6])


@pytest.mark.parametrize("location", ["../secret.bin", "{folder}/secret.bin", "link.bin"])
def test_external_data_elsewhere_is_refused(external_model, tmp_path, location):
    FEEDS["x"].tofile(tmp_path / "secret.bin")
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "model.onnx"
    path.write_bytes(external_model(location.format(folder=tmp_path)))
    for optimize in (True, False):
        with pytest.raises(EdgeupError, match="External data path"):
            run_once(path, FEEDS, optimize=optimize)


@pytest.mark.parametrize("optimize", [True, False])
def test_bytes_with_external_data_are_refused(external_model, tmp_path, monkeypatch, optimize):
    """Without the guard ONNX Runtime reads it relative to the process's folder, even above."""
    FEEDS["x"].tofile(tmp_path / "weights.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeupError, match="keeps weights in another file; give its path"):
        run_once(external_model("weights.bin"), FEEDS, optimize=optimize)


def test_external_data_inside_a_subgraph_is_found(external_model, make_model):
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["o"])],
        "inner",
        [],
        [VALUE("o", TensorProto.FLOAT, [4])],
    )
    tensor = inner.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    model = make_model(
        [helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)],
        [VALUE("x", TensorProto.BOOL, [])],
        [VALUE("y", TensorProto.FLOAT, [4])],
    )
    assert "keeps weights in another file" in _refusal(model)


def test_the_word_location_alone_is_no_external_data(make_model):
    model = make_model(
        [helper.make_node("Neg", ["x"], ["y"], name="location")],
        [VALUE("x", TensorProto.FLOAT, [4])],
        [VALUE("y", TensorProto.FLOAT, [4])],
    )
    np.testing.assert_array_equal(run_once(model, FEEDS)["y"], [0, -1, -2, -3])


def test_closed_and_threads(conv_model):
    session = OnnxRuntimeSession(conv_model)
    assert session.threads == cpu_threads() >= 1
    session.close()
    with pytest.raises(EdgeupError, match="was closed"):
        session.run(_image())
    with pytest.raises(EdgeupError, match="at least 1 thread, got 0"):
        OnnxRuntimeSession(conv_model, threads=0)


def test_a_warning_of_onnx_runtime_is_not_printed(make_model, capfd):
    unused = helper.make_tensor("unused", TensorProto.FLOAT, [4], FEEDS["x"])
    model = make_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        [VALUE("x", TensorProto.FLOAT, [4])],
        [VALUE("y", TensorProto.FLOAT, [4])],
        [unused],
    )
    run_once(model, FEEDS, optimize=True)
    out, err = capfd.readouterr()
    assert out + err == ""


def test_measure_onnx_times_rounds_of_every_model(conv_model):
    budget = Budget(warmup_s=0, warmup_limit_s=0, duration_s=0, min_rounds=4)
    times = measure_onnx({"a": conv_model, "b": conv_model}, _image(), threads=1, budget=budget)
    assert {name: one.shape for name, one in times.items()} == {"a": (4,), "b": (4,)}
    assert all((one > 0).all() for one in times.values())
    latency = time_onnx(conv_model, _image(), threads=1, budget=budget)
    assert latency.device == f"CPU: {cpu_model()}"
    assert (latency.threads, latency.iterations) == (1, 4)
    assert latency.backend == "onnxruntime CPUExecutionProvider"


def test_a_bound_run_computes_what_run_does(conv_model):
    feeds = _image()
    with OnnxRuntimeSession(conv_model, threads=1) as session:
        bound = session.bind(feeds)
        bound()
        (value,) = bound._binding.copy_outputs_to_cpu()
        np.testing.assert_array_equal(value, session.run(feeds)["y"])

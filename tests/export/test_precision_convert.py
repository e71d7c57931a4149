"""The conversion to 16 bits: types, casts, constants, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from edgeup.errors import EdgeupError
from edgeup.export.precision.convert import Converted, convert, prepared
from edgeup.export.precision.formats import BF16, FP16
from edgeup.export.precision.twin import rounding_twin

Array = npt.NDArray[Any]
SHAPE = (1, 4, 6, 6)

# Each gives one value of SHAPE from one or two; NumPy computes float16 by way of float32, exactly
# as a device does that rounds what it stores.
STEPS: dict[str, tuple[int, Callable[..., Array]]] = {
    "Relu": (1, lambda a: np.maximum(a, a.dtype.type(0))),
    "Neg": (1, lambda a: -a),
    "Abs": (1, np.abs),
    "Add": (2, lambda a, b: a + b),
    "Sub": (2, lambda a, b: a - b),
    "Mul": (2, lambda a, b: a * b),
    "Max": (2, np.maximum),
    "Transpose": (1, lambda a: a.transpose(0, 1, 3, 2)),
    "Identity": (1, lambda a: a),
    "Scale": (1, lambda a: a * SCALE.astype(a.dtype)),
}
SCALE = np.random.default_rng(3).uniform(0.3, 1.7, (4, 1, 1)).astype(np.float32)
Step = tuple[str, int, int]


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[Step], frozenset[str]]:
    """Steps that read any earlier value (0 is the input), and names of nodes to keep."""
    count = draw(st.integers(1, 8))
    made = [
        (
            draw(st.sampled_from(sorted(STEPS))),
            draw(st.integers(0, index)),
            draw(st.integers(0, index)),
        )
        for index in range(count)
    ]
    return made, frozenset(f"n{i}" for i in draw(st.sets(st.integers(0, count - 1), max_size=3)))


def build(made: Sequence[Step]) -> ir.Model:
    """Every node is ``n<i>`` and makes ``v<i+1>``; ``v0`` is the input, the last the output."""
    nodes = []
    for index, (op, first, second) in enumerate(made):
        inputs = [f"v{first}", f"v{second}"][: STEPS[op][0]]
        extra: dict[str, Any] = {"perm": [0, 1, 3, 2]} if op == "Transpose" else {}
        if op == "Scale":
            op, inputs = "Mul", [*inputs, "scale"]
        nodes.append(helper.make_node(op, inputs, [f"v{index + 1}"], f"n{index}", **extra))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(f"v{len(made)}", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(SCALE, "scale")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def in_numpy(made: Sequence[Step], x: Array, kept: frozenset[str]) -> Array:
    """What the graph gives when all but ``kept`` compute and store float16."""
    values: list[Array] = [x]
    for index, (op, first, second) in enumerate(made):
        dtype = np.float32 if f"n{index}" in kept else np.float16
        read = [v.astype(dtype) for v in (values[first], values[second])[: STEPS[op][0]]]
        values.append(STEPS[op][1](*read))
    return values[-1].astype(np.float32)


def bounds(made: Sequence[Step], x: Array) -> tuple[float, float]:
    """The largest magnitude on the way, and how far any choice of roundings is from exact."""
    unit = 2.0**-11
    peaks, errors = [float(np.abs(x).max())], [0.0]
    for op, first, second in made:
        (p, q), (e, f) = (peaks[first], peaks[second]), (errors[first], errors[second])
        e, f = e + unit * (p + e), f + unit * (q + f)  # of reading
        scale = float(SCALE.max())
        peak, error = {
            "Add": (p + q, e + f),
            "Sub": (p + q, e + f),
            "Mul": (p * q, p * f + q * e + e * f),
            "Max": (max(p, q), max(e, f)),
            "Scale": (p * scale, e * scale + unit * p * scale * (1 + e)),
        }.get(op, (p, e))
        peaks.append(peak)
        errors.append(error + unit * (peak + error) + 2.0**-24)
    return max(peaks), errors[-1]


def run(model: ir.Model, **feeds: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = checked(model).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, feeds)
    return outputs


def checked(model: ir.Model) -> onnx.ModelProto:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def interface(model: ir.Model) -> list[tuple[str | None, Any, str]]:
    values = (*model.graph.inputs, *model.graph.outputs)
    return [(value.name, value.dtype, str(value.shape)) for value in values]


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def node_of(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def types_at(node: ir.Node) -> list[str]:
    return [v.dtype.name for v in (*node.inputs, *node.outputs) if v is not None and v.dtype]


def model_of(text: str) -> ir.Model:
    return ir.from_proto(parser.parse_model(text))


@settings(max_examples=60, deadline=None)
@given(steps())
def test_random_graphs_compute_what_numpy_computes_in_fp16(
    drawn: tuple[list[Step], frozenset[str]],
) -> None:
    made, keep = drawn
    model = build(made)
    converted = convert(model, "fp16", keep_fp32=keep)
    kept = frozenset(name for name, _ in converted.kept)
    x = np.random.default_rng(1).uniform(-2, 2, SHAPE).astype(np.float32)
    peak, error = bounds(made, x)
    assume(peak < 6e4)
    want = in_numpy(made, x, kept)
    assert keep <= kept
    twin = run(rounding_twin(converted.model, FP16), v0=x)[0]
    np.testing.assert_array_equal(twin, want)
    # ONNX Runtime keeps results wide between kernels that it has in float32 alone.
    got = run(converted.model, v0=x)[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * error)


@settings(max_examples=40, deadline=None)
@given(steps())
def test_random_graphs_have_no_idle_cast_and_keep_their_interface(
    drawn: tuple[list[Step], frozenset[str]],
) -> None:
    made, keep = drawn
    model = build(made)
    before = ir.to_proto(model).SerializeToString()
    converted = convert(model, "fp16", keep_fp32=keep).model
    assert ir.to_proto(model).SerializeToString() == before
    assert interface(converted) == interface(model)
    checked(converted)
    for name in keep:
        assert set(types_at(node_of(converted, name))) == {"FLOAT"}
    sources = []
    for node in converted.graph:
        if node.op_type == "Cast":
            source, made_value = node.inputs[0], node.outputs[0]
            assert source is not None
            assert source.dtype != made_value.dtype
            producer = source.producer()
            assert producer is None or producer.op_type != "Cast"
            sources.append(source.name)
        else:
            assert len(set(types_at(node))) == 1
    assert len(sources) == len(set(sources)), "a value is cast twice"


@settings(max_examples=30, deadline=None)
@given(steps())
def test_conversion_is_idempotent(drawn: tuple[list[Step], frozenset[str]]) -> None:
    made, keep = drawn
    once = convert(build(made), "fp16", keep_fp32=keep).model
    twice = convert(once, "fp16", keep_fp32=keep).model
    assert ops(twice) == ops(once)
    assert [types_at(n) for n in twice.graph] == [types_at(n) for n in once.graph]


def test_the_whole_graph_needs_two_casts() -> None:
    made: list[Step] = [("Relu", 0, 0), ("Scale", 1, 1), ("Add", 1, 2)]
    converted = convert(build(made), "fp16")
    assert ops(converted.model) == ["Cast", "Relu", "Mul", "Add", "Cast"]
    assert converted.kept == ()


def test_io_same_lowers_inputs_and_outputs_and_needs_no_cast() -> None:
    made: list[Step] = [("Relu", 0, 0), ("Scale", 1, 1)]
    converted = convert(build(made), "fp16", io="same").model
    assert ops(converted) == ["Relu", "Mul"]
    assert {value.dtype for value in (*converted.graph.inputs, *converted.graph.outputs)} == {
        ir.DataType.FLOAT16
    }
    assert [v.name for v in converted.graph.outputs] == ["v2"]


def test_io_same_around_a_kept_node() -> None:
    converted = convert(build([("Neg", 0, 0)]), "fp16", io="same", keep_fp32=frozenset({"n0"}))
    assert ops(converted.model) == ["Cast", "Neg", "Cast"]
    assert [v.name for v in converted.model.graph.outputs] == ["v1"]
    x = np.linspace(-1, 1, 144, dtype=np.float16).reshape(SHAPE)
    np.testing.assert_array_equal(run(converted.model, v0=x)[0], -x)


def test_a_constant_of_kept_and_converted_nodes_is_doubled() -> None:
    model = build([("Scale", 0, 0), ("Scale", 1, 1)])
    converted = convert(model, "fp16", keep_fp32=frozenset({"n1"})).model
    held = {v.name: v.dtype for v in converted.graph.initializers.values()}
    assert held == {"scale": ir.DataType.FLOAT, "scale/fp16": ir.DataType.FLOAT16}
    rounded = converted.graph.initializers["scale/fp16"].const_value
    assert rounded is not None
    np.testing.assert_array_equal(rounded.numpy(), SCALE.astype(np.float16))


def test_a_mover_between_kept_nodes_stays_with_them() -> None:
    made: list[Step] = [("Neg", 0, 0), ("Transpose", 1, 1), ("Neg", 2, 2), ("Scale", 3, 3)]
    converted = convert(build(made), "fp16", keep_fp32=frozenset({"n0", "n2"}))
    assert ops(converted.model) == ["Neg", "Transpose", "Neg", "Cast", "Mul", "Cast"]
    assert dict(converted.kept)["n1"].startswith("it only moves or compares")


def resize() -> ir.Model:
    return model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2,4,4] x) => (float[1,2,8,8] y)
        <float[8] roi = {0,0,0,0,1,1,1,1}, float[4] scales = {1,1,2,2}>
        { y = Resize <mode = "linear"> (x, roi, scales) }
    """)


def test_a_resize_keeps_roi_and_scales() -> None:
    converted = convert(resize(), "fp16").model
    node = next(n for n in converted.graph if n.op_type == "Resize")
    assert types_at(node) == ["FLOAT16", "FLOAT", "FLOAT", "FLOAT16"]
    checked(converted)


def test_shape_arithmetic_stays_float32_and_integers_stay() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2,H,W] x) => (float[1,2,A,B] y)
        <float[4] by = {1,1,2,2}, float[0] none = {}, float[1] half = {0.5}>
        {
            s = Shape (x)
            f = Cast <to = 1> (s)
            d = Mul (f, by)
            g = Cast <to = 7> (d)
            z = Mul (x, half)
            y = Resize <mode = "nearest"> (z, , , g)
        }
    """)
    converted = convert(model, "fp16")
    assert ops(converted.model) == ["Cast", "Shape", "Cast", "Mul", "Cast", "Mul", "Resize", "Cast"]
    assert {reason for _, reason in converted.kept} == {
        "it is computed from shapes and constants alone"
    }
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    assert run(converted.model, x=x)[0].shape == (1, 2, 6, 4)


def test_branches_stay_float32_and_what_they_read_is_cast() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[3] x, bool c) => (float[3] y)
        {
            a = Neg (x)
            b = If (c) <
                then_branch = t () => (float[3] p) { p = Add (a, a) },
                else_branch = e () => (float[3] q) { q = Mul (a, a) }
            >
            y = Abs (b)
        }
    """)
    converted = convert(model, "fp16")
    assert ops(converted.model) == ["Cast", "Neg", "Cast", "If", "Cast", "Abs", "Cast"]
    assert "holds graphs of its own" in converted.kept[0][1]
    x = np.array([1.0, -2.5, 3.25], np.float32)
    np.testing.assert_array_equal(run(converted.model, x=x, c=np.array(True))[0], 2 * np.abs(x))
    np.testing.assert_array_equal(run(converted.model, x=x, c=np.array(False))[0], x * x)


def test_functions_are_inlined() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[3] x) => (float[3] y) { y = own.double (x) }
        <domain: "own", opset_import: ["" : 17]>
        double (a) => (b) { b = Add (a, a) }
    """)
    converted = convert(model, "fp16")
    assert ops(converted.model) == ["Cast", "Add", "Cast"]
    assert converted.kept == ()


@pytest.mark.parametrize(
    ("body", "constants", "reason"),
    [
        ("y = Mul (x, w)", "float[1] w = {100000.0}", "its constant w holds 100000, beyond 65504"),
        ("y = Add (x, w)", "float[1] w = {0.000000001}", "is 1e-09 at most, and would become 0"),
        ("y = own.thing (x)", "float[1] w = {1}", "own.thing is no operator of ONNX's"),
        ("y = Celu (x)", "float[1] w = {1}", "parser refuses it in fp16"),
        ("y = MeanVarianceNormalization (x)", "float[1] w = {1}", "does not run this"),
        (
            'y = ScatterND <reduction = "add"> (x, i, w)',
            "float[1] w = {1}, int64[1,1] i = {1}",
            "does not run this ScatterND in fp16",
        ),
        ("y = RandomNormalLike <dtype = 1> (x)", "float[1] w = {1}", "an attribute of"),
    ],
)
def test_what_stays_float32_has_its_reason(body: str, constants: str, reason: str) -> None:
    model = model_of(f"""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[3] x) => (float[3] y) <{constants}> {{ {body} }}
    """)
    converted = convert(model, "fp16")
    assert [name for name, _ in converted.kept] == [next(iter(converted.model.graph)).name]
    assert reason in converted.kept[0][1]
    assert "Cast" not in ops(converted.model)


def test_bounds_beyond_the_format_are_pulled_in() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[3] x) => (float[3] y) <float low = {0.0}, float high = {1e30}>
        { y = Clip (x, low, high) }
    """)
    converted = convert(model, "fp16")
    assert converted.kept == ()
    high = converted.model.graph.initializers["high"].const_value
    assert high is not None
    assert float(high.numpy()) == 65504.0


def test_an_input_that_is_given_out_is_left_alone() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[3] x) => (float[3] x, float[3] y) { y = Neg (x) }
    """)
    converted = convert(model, "fp16").model
    assert ops(converted) == ["Cast", "Neg", "Cast"]
    assert [v.name for v in converted.graph.outputs] == ["x", "y"]
    checked(converted)


def test_a_value_that_is_output_and_read_on() -> None:
    model = model_of("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[3] x) => (float[3] a, float[3] y) { a = Neg (x) y = Abs (a) }
    """)
    converted = convert(model, "fp16").model
    assert sorted(ops(converted)) == ["Abs", "Cast", "Cast", "Cast", "Neg"]
    x = np.array([1, -2, 3], np.float32)
    a, y = run(converted, x=x)
    np.testing.assert_array_equal(a, -x)
    np.testing.assert_array_equal(y, np.abs(x))


def conv(opset: int) -> Converted:
    model = model_of(f"""
        <ir_version: 10, opset_import: ["" : {opset}]>
        g (float[1,1,3,3] x) => (float[1,1,3,3] y) <float[1,1,1,1] w = {{0.3}}>
        {{ y = Conv (x, w) }}
    """)
    return convert(model, "bf16")


def test_bf16_follows_the_schema_of_the_opset() -> None:
    assert conv(20).kept[0][1] == "Conv takes no bf16 in opset 20"
    converted = conv(22)
    assert converted.kept == ()
    weight = converted.model.graph.initializers["w"].const_value
    assert weight is not None
    assert weight.dtype == ir.DataType.BFLOAT16
    assert float(weight.numpy().astype(np.float32).item()) == 0.30078125  # 0.3 to 8 bits
    checked(converted.model)
    x = np.full((1, 1, 3, 3), 1.01171875, np.float32)  # between the steps 1.0078125 and 1.015625
    got = run(rounding_twin(converted.model, BF16), x=x)[0]
    assert set(got.ravel()) == {np.float32(0.3046875)}


def test_unknown_names_are_refused() -> None:
    model = build([("Neg", 0, 0)])
    with pytest.raises(EdgeupError, match="unknown node 'n7'"):
        convert(model, "fp16", keep_fp32=frozenset({"n7"}))
    with pytest.raises(EdgeupError, match="unknown 16-bit precision 'fp8'"):
        convert(model, "fp8")


def test_rounding_is_to_nearest_and_tiny_weights_are_not_raised() -> None:
    values = np.array([1e-9, 5.9e-8, 65503.0, 1 + 2.0**-11, -1e-9], np.float32)
    rounded = FP16.rounded(values).astype(np.float32)
    np.testing.assert_array_equal(rounded, [0, 2.0**-24, 65504, 1, -0.0])
    assert np.isinf(FP16.rounded(np.array([7e4], np.float32)))[0]
    assert float(FP16.rounded(np.array([7e4], np.float32), saturate=True)[0]) == 65504


def test_prepared_names_every_node() -> None:
    names = [node.name for node in prepared(resize()).graph]
    assert all(names)
    assert len(names) == len(set(names))

"""The rounding twin of a 16-bit file: the numbers of the converted graph's, and of NumPy's fp16."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeup.errors import EdgeupError
from edgeup.export.precision.convert import convert
from edgeup.export.precision.formats import BF16, FP16, Format
from edgeup.export.precision.twin import rounding_twin, twin_of_file
from edgeup.runtime.ort_session import run_once

Array = npt.NDArray[Any]
SHAPE = (1, 2, 5, 4)
GAIN = np.random.default_rng(0).uniform(1, 300, (2, 1, 1)).astype(np.float32)
OPS: dict[str, tuple[int, Callable[..., Array]]] = {
    "Relu": (1, lambda a: np.maximum(a, a.dtype.type(0))),
    "Neg": (1, lambda a: -a),
    "Add": (2, lambda a, b: a + b),
    "Mul": (2, lambda a, b: a * b),
    "Max": (2, np.maximum),
    "Gain": (1, lambda a: a * GAIN.astype(a.dtype)),
}
Step = tuple[str, int, int]
STEPS = st.integers(1, 8).flatmap(
    lambda count: st.tuples(
        *(
            st.tuples(st.sampled_from(sorted(OPS)), st.integers(0, i), st.integers(0, i))
            for i in range(count)
        )
    )
)


def build(made: Sequence[Step]) -> ir.Model:
    """Node ``n<i>`` makes ``v<i+1>`` of earlier values; ``v0`` is the input; two outputs."""
    nodes = []
    for i, (op, first, second) in enumerate(made):
        inputs = [f"v{first}", f"v{second}"][: OPS[op][0]] + ["gain"] * (op == "Gain")
        name = "Mul" if op == "Gain" else op
        nodes.append(helper.make_node(name, inputs, [f"v{i + 1}"], f"n{i}"))
    names = dict.fromkeys([f"v{(len(made) + 1) // 2}", f"v{len(made)}"])
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in names],
        [numpy_helper.from_array(GAIN, "gain")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)]))


def stored(model: ir.Model) -> ir.Model:
    """As a file gives it back: without the types of inner values."""
    proto = onnx.ModelProto.FromString(ir.to_proto(model).SerializeToString())
    del proto.graph.value_info[:]
    return ir.from_proto(proto)


def run(model: ir.Model, x: Array) -> dict[str, Array]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return run_once(proto.SerializeToString(), {model.graph.inputs[0].name or "": x})


def rounded(form: Format, array: Array) -> Array:
    wide: Array = form.rounded(array).astype(np.float32)
    return wide


@settings(max_examples=40, deadline=None)
@given(made=STEPS, keep=st.sets(st.integers(0, 7), max_size=2), form=st.sampled_from([FP16, BF16]))
def test_the_twin_of_a_file_is_that_of_the_conversion(
    made: tuple[Step, ...], keep: set[int], form: Format
) -> None:
    """To the last bit, overflows included; with 16-bit outputs, those are rounded once more."""
    kept = frozenset(f"n{i}" for i in keep if i < len(made))
    x = np.random.default_rng(1).uniform(-9, 9, SHAPE).astype(np.float32)
    converted = convert(build(made), form.name, keep_fp32=kept).model
    want = run(rounding_twin(converted, form), x)
    for name, array in run(twin_of_file(stored(converted)), x).items():
        np.testing.assert_array_equal(array, want[name])
    narrow = convert(build(made), form.name, keep_fp32=kept, io="same").model
    twin = twin_of_file(stored(narrow))
    assert {v.dtype for v in (*twin.graph.inputs, *twin.graph.outputs)} == {ir.DataType.FLOAT}
    want = run(rounding_twin(converted, form), rounded(form, x))
    got = run(twin, x)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], rounded(form, array))


@settings(max_examples=40, deadline=None)
@given(made=STEPS)
def test_all_in_fp16_it_is_what_numpy_computes_in_fp16(made: tuple[Step, ...]) -> None:
    x = np.random.default_rng(1).uniform(-9, 9, SHAPE).astype(np.float32)
    values: list[Array] = [x.astype(np.float16)]
    with np.errstate(all="ignore"):
        for op, first, second in made:
            values.append(OPS[op][1](*(values[first], values[second])[: OPS[op][0]]))
    twin = twin_of_file(stored(convert(build(made), "fp16", io="same").model))
    got = run(twin, x)
    assert float(np.ptp(x)) > 0
    for name, array in got.items():
        want = values[int(name[1:])].astype(np.float32)
        # NaN of infinity less infinity: Max and Relu pass it on or not, as each backend likes.
        settled = np.isfinite(array) | np.isinf(want)
        np.testing.assert_array_equal(array[settled], want[settled])
    inner = next(iter(got))
    assert {v.name for n in twin.graph for v in n.outputs} >= {inner, f"{inner}/unrounded"}


def half_model(nodes: list[Any], *outputs: str, opset: int = 21, **more: Any) -> ir.Model:
    half = TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", half, (4,))],
        [helper.make_tensor_value_info(name, half, None) for name in outputs],
    )
    ids = [helper.make_opsetid("", opset), helper.make_opsetid("somebody", 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=ids, ir_version=10, **more))


def half(*values: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float16))


def test_files_of_others_have_a_twin_too() -> None:
    """Constant nodes, types set by an attribute or by another input, casts, 16-bit ends."""
    node = helper.make_node
    model = half_model(
        [
            node("Shape", ["x"], ["s"]),
            node("ConstantOfShape", ["s"], ["ones"], value=half(1.5)),
            node("Constant", [], ["k"], value=half(300.0)),
            node("Mul", ["x", "k"], ["big"]),
            node("Cast", ["big"], ["whole"], to=TensorProto.INT64),
            node("CastLike", ["whole", "x"], ["back"]),
            node("Mul", ["back", "k"], ["inf"]),
            node("Add", ["back", "ones"], ["y"]),
        ],
        *("y", "inf", "ones"),
    )
    x = np.array([1.0, 2.0009766, -3.3, 0.1], np.float32)
    got = run_once(ir.to_proto(twin_of_file(model)).SerializeToString(), {"x": x})
    h = x.astype(np.float16)
    back = (h * np.float16(300)).astype(np.int64).astype(np.float16)
    with np.errstate(over="ignore"):
        want = {"y": back + np.float16(1.5), "inf": back * np.float16(300), "ones": np.full(4, 1.5)}
    assert np.isinf(want["inf"]).sum() == 3
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array.astype(np.float32))


def test_what_has_no_twin_says_why() -> None:
    node, value = helper.make_node, helper.make_tensor_value_info
    inner = helper.make_graph(
        [node("Neg", ["x"], ["n"])], "then", [], [value("n", TensorProto.FLOAT16, (4,))]
    )
    other = helper.make_graph(
        [node("Abs", ["x"], ["a"])], "else", [], [value("a", TensorProto.FLOAT16, (4,))]
    )
    yes = numpy_helper.from_array(np.array(True))
    branches = [
        node("Constant", [], ["c"], value=yes),
        node("If", ["c"], ["y"], "choose", then_branch=inner, else_branch=other),
    ]
    for nodes, words in (
        (branches, "inside If, Loop or Scan, is in 16 bits"),
        ([node("Magic", ["x"], ["m"], "spell", domain="somebody"), node("Neg", ["m"], ["y"])],
         "the type of what Magic spell makes is not known"),
        ([node("SequenceConstruct", ["x"], ["q"], "list"), node("ConcatFromSequence", ["q"], ["y"],
         axis=0)], "SequenceConstruct list holds 16 bits in other than a plain tensor"),
    ):  # fmt: skip
        with pytest.raises(EdgeupError, match=words):
            twin_of_file(half_model(nodes, "y"))
    with pytest.raises(EdgeupError, match="BitCast bits reads the bits of a value"):
        twin_of_file(
            half_model([node("BitCast", ["x"], ["b"], "bits", to=TensorProto.INT16),
                        node("Neg", ["x"], ["y"])], "y", opset=26)
        )  # fmt: skip

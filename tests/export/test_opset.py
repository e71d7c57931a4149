"""Moving models between opsets: same numbers in ONNX Runtime, or a refusal that says why."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import defs, parser

from edgeup.errors import EdgeupError
from edgeup.export.opset import NEWEST, OLDEST, OpsetError, convert_opset
from edgeup.export.opset_steps import STEPS
from edgeup.export.serialize import read_back, to_bytes

# Per case: the opset it is written in, the graph's interface, constants and nodes as ONNX text.
# Small odd sizes; every output differs from its input.
X = "(float[1,4,6,5] x) => (float[?] y)"
SAME = "(float[1,4,6,5] x) => (float[1,4,6,5] y)"
GRID = "(float[1,4,6,5] x, float[1,3,2,2] g) => (float[?] y)"
EQUAL: dict[str, tuple[int, str, str, str]] = {
    "average_pool": (
        22,
        X,
        "",
        "y = AveragePool<kernel_shape=[2,2], strides=[2,2], dilations=[1,1]>(x)",
    ),
    "average_pool_ceil": (
        22,
        X,
        "",
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)",
    ),
    "batch_normalization": (
        18,
        X,
        "float[4] s = {1,2,3,4}, float[4] b = {4,3,2,1}, float[4] m = {1,0,1,0}, "
        "float[4] v = {1,2,1,2}",
        "y = BatchNormalization<training_mode=0>(x, s, b, m, v)",
    ),
    "cast": (20, X, "", "h = Cast<to=10, saturate=1>(x) y = Cast<to=1>(h)"),
    "cast_like": (20, X, "int64[1] l = {1}", "i = CastLike(x, l) y = Cast<to=1>(i)"),
    "conv": (
        22,
        X,
        "float[2,4,1,1] w = {1,2,3,4,5,6,7,8}",
        "y = Conv<kernel_shape=[1,1]>(x, w)",
    ),
    "conv_transpose": (
        22,
        X,
        "float[4,1,2,2] w = {1,0,0,0,1,0,0,0,2,0,0,0,1,3,0,0}",
        "y = ConvTranspose<kernel_shape=[2,2], strides=[2,2], group=4>(x, w)",
    ),
    "constant_of_shape": (
        20,
        X,
        "int64[4] s = {1,4,6,5}",
        "c = ConstantOfShape<value = float[1] {2.5}>(s) y = Mul(x, c)",
    ),
    "depth_to_space": (18, X, "", "y = DepthToSpace<blocksize=2, mode=\"CRD\">(x)"),
    "gelu": (20, X, "", "y = Gelu(x)"),
    "gelu_tanh": (20, X, "", "y = Gelu<approximate=\"tanh\">(x)"),
    "grid_sample": (20, GRID, "", "y = GridSample(x, g)"),
    "grid_sample_cubic": (
        20,
        GRID,
        "",
        "y = GridSample<mode=\"cubic\", align_corners=1, padding_mode=\"border\">(x, g)",
    ),
    "group_normalization_21": (
        21,
        SAME,
        "float[4] s = {1,2,3,4}, float[4] b = {4,3,2,1}",
        "y = GroupNormalization<num_groups=2, epsilon=0.01>(x, s, b)",
    ),
    "hard_swish": (18, X, "", "y = HardSwish(x)"),
    "identity": (21, X, "", "i = Identity(x) y = Relu(i)"),
    "if_branch": (
        18,
        SAME,
        "bool yes = {1}",
        "y = If(yes) <then_branch = t () => (float[1,4,6,5] a) { a = HardSwish(x) }, "
        "else_branch = e () => (float[1,4,6,5] b) { b = Relu(x) }>",
    ),
    "is_nan": (20, X, "", "n = IsNaN(x) c = Cast<to=1>(n) y = Add(c, x)"),
    "layer_normalization": (
        18,
        X,
        "float[5] s = {1,2,3,4,5}, float[5] b = {5,4,3,2,1}",
        "y = LayerNormalization<axis=-1>(x, s, b)",
    ),
    "layer_normalization_two_axes": (
        18,
        X,
        "float[6,1] s = {1,2,3,4,5,6}",
        "y = LayerNormalization<axis=2, epsilon=0.1>(x, s)",
    ),
    "max_pool_ceil": (
        22,
        X,
        "",
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)",
    ),
    "mish": (18, X, "", "y = Mish(x)"),
    "pad": (18, X, "int64[4] p = {1,0,2,1}, int64[2] a = {2,-1}", "y = Pad(x, p, , a)"),
    "pad_reflect": (21, X, "int64[8] p = {0,0,1,2,0,0,2,1}", "y = Pad<mode=\"reflect\">(x, p)"),
    "reduce_max": (20, X, "int64[1] a = {1}", "y = ReduceMax<keepdims=0>(x, a)"),
    "reduce_mean": (18, X, "int64[2] a = {-2,3}", "y = ReduceMean(x, a)"),
    "reduce_mean_all": (18, X, "", "m = ReduceMean(x) y = Sub(x, m)"),
    "reduce_nothing": (18, X, "", "m = ReduceMean<noop_with_empty_axes=1>(x) y = Neg(m)"),
    "reduce_sum": (18, X, "int64[1] a = {1}", "y = ReduceSum<keepdims=0>(x, a)"),
    "reshape": (21, X, "int64[3] s = {0,-1,3}", "y = Reshape<allowzero=0>(x, s)"),
    "reshape_allowzero": (18, X, "int64[2] s = {-1,3}", "y = Reshape<allowzero=1>(x, s)"),
    "resize_axes_scales": (
        18,
        X,
        "float[2] k = {2,1.5}",
        "y = Resize<axes=[2,3], mode=\"linear\", antialias=0>(x, , k)",
    ),
    "resize_axes_sizes": (
        18,
        X,
        "int64[2] k = {9,7}",
        "y = Resize<axes=[2,-1], nearest_mode=\"floor\", "
        "coordinate_transformation_mode=\"asymmetric\">(x, , , k)",
    ),
    "resize_cubic": (
        19,
        X,
        "float[4] k = {1,1,2,2}",
        "y = Resize<mode=\"cubic\", cubic_coeff_a=-0.75, keep_aspect_ratio_policy=\"stretch\">"
        "(x, , k)",
    ),
    "scatter_elements": (
        18,
        X,
        "int64[1,1,1,5] i = {3,2,1,0,4}, float[1,1,1,5] u = {9,8,7,6,5}",
        "y = ScatterElements<axis=3, reduction=\"none\">(x, i, u)",
    ),
    "scatter_nd": (
        18,
        X,
        "int64[1,4] i = {0,1,2,3}, float[1] u = {9}",
        "y = ScatterND<reduction=\"none\">(x, i, u)",
    ),
    "shape_slice": (
        18,
        X,
        "",
        "s = Shape<start=-2>(x) c = Cast<to=1>(s) m = Mul(c, c) r = ReduceSum(m) y = Mul(x, r)",
    ),
    "shape_start_end": (18, X, "", "s = Shape<start=1, end=3>(x) y = Cast<to=1>(s)"),
    "softmax": (18, X, "", "y = Softmax<axis=1>(x)"),
    "space_to_depth": (
        18,
        X,
        "int64[8] p = {0,0,0,0,0,0,0,1}",
        "q = Pad(x, p) y = SpaceToDepth<blocksize=2>(q)",
    ),
    "split_even": (18, X, "", "a, b = Split<axis=1, num_outputs=2>(x) y = Sub(a, b)"),
    "split_uneven": (18, X, "", "a, b = Split<axis=3, num_outputs=2>(x) y = Concat<axis=3>(b, a)"),
    "squeeze": (
        21,
        X,
        "int64[1] a = {0}",
        "s = Squeeze(x, a) u = Unsqueeze(s, a) y = Transpose(u)",
    ),
    "where": (18, X, "float z = {0.5}", "c = Greater(x, z) y = Where(c, x, z)"),
}  # fmt: skip

TARGETS = (13, 16, 17, 18)


def model(opset: int, interface: str, constants: str, nodes: str) -> ir.Model:
    head = f"g {interface} <{constants}>" if constants else f"g {interface}"
    text = f'<ir_version: 10, opset_import: ["": {opset}]> {head} {{ {nodes} }}'
    proto = parser.parse_model(text)
    for index, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{index}"
    # Text needs an output type; the real shape is inferred.
    if "=> (float[?]" in interface:
        proto.graph.output[0].type.tensor_type.ClearField("shape")
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def run(content: bytes, seed: int = 0) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    feeds = {i.name: rng.normal(size=i.shape).astype(np.float32) for i in session.get_inputs()}
    return session.run(None, feeds)[0]


def checked_bytes(converted: ir.Model) -> bytes:
    content = to_bytes(converted)
    onnx.checker.check_model(content, full_check=True)
    return content


@pytest.mark.parametrize("name", EQUAL)
def test_lower_opset_computes_the_same(name: str):
    written, *text = EQUAL[name]
    before = model(written, *text)
    expected = run(checked_bytes(before))
    assert np.ptp(expected) > 0.1
    for opset in TARGETS:
        if opset >= written or (name.startswith("grid_sample") and opset < 16):
            continue
        content = checked_bytes(convert_opset(before, opset))
        facts = read_back(content)
        assert (facts.opset, facts.ir_version) == (opset, 7 if opset < 15 else 8)
        np.testing.assert_allclose(run(content), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", EQUAL)
def test_raising_again_computes_the_same(name: str):
    written, *text = EQUAL[name]
    low = 16 if name.startswith("grid_sample") else 13
    lowered = convert_opset(model(written, *text), low)
    expected = run(to_bytes(lowered))
    for opset in (18, 20, 22):
        content = checked_bytes(convert_opset(lowered, opset))
        assert read_back(content).opset == opset
        np.testing.assert_allclose(run(content), expected, rtol=2e-6, atol=2e-6)


def test_group_normalization_18_has_a_scale_per_group():
    # No runtime implements it, so the expectation is written out.
    before = model(
        18,
        SAME,
        "float[2] s = {1,3}, float[2] b = {0,1}",
        "y = GroupNormalization<num_groups=2>(x, s, b)",
    )
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32)
    groups = x.reshape(1, 2, -1)
    mean, var = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
    normal = (groups - mean) / np.sqrt(var + 1e-5)
    expected = (normal * [[[1.0], [3.0]]] + [[[0.0], [1.0]]]).reshape(x.shape)
    for opset in (13, 17, 21):
        got = run(checked_bytes(convert_opset(before, opset)))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


REFUSED: dict[str, tuple[int, int, str, str, str, str]] = {
    "antialias": (
        18, 17, X, "float[4] k = {1,1,0.5,0.5}",
        "y = Resize<mode=\"linear\", antialias=1>(x, , k)",
        "Resize 'Resize_0': attribute antialias=1 does not exist in opset 17",
    ),
    "keep_aspect": (
        18, 13, X, "int64[4] k = {1,4,9,9}",
        "y = Resize<keep_aspect_ratio_policy=\"not_larger\">(x, , , k)",
        "attribute keep_aspect_ratio_policy='not_larger' does not exist in opset 13",
    ),
    "half_pixel_symmetric": (
        19, 18, X, "float[4] k = {1,1,2,2}",
        "y = Resize<coordinate_transformation_mode=\"half_pixel_symmetric\">(x, , k)",
        "half_pixel_symmetric came with opset 19",
    ),
    "grid_sample": (
        20, 13, GRID, "", "y = GridSample(x, g)",
        "GridSample 'GridSample_0': the operator is not in opset 13; it came with opset 16",
    ),
    "grid_sample_3d": (
        20, 16, "(float[1,1,2,2,2] x, float[1,1,2,2,3] g) => (float[?] y)", "",
        "y = GridSample(x, g)", "this one has 5",
    ),
    "trilu": (
        18, 13, X, "", "y = Trilu(x)", "the operator is not in opset 13; it came with opset 14",
    ),
    "wrap": (
        19, 18, X, "int64[8] p = {0,0,1,1,0,0,1,1}", "y = Pad<mode=\"wrap\">(x, p)",
        "mode wrap came with opset 19",
    ),
    "scatter_add": (
        18, 13, X, "int64[1,1,1,1] i = {0}, float[1,1,1,1] u = {1}",
        "y = ScatterElements<reduction=\"add\">(x, i, u)",
        "attribute reduction='add' does not exist in opset 13",
    ),
    "scatter_max": (
        18, 16, X, "int64[1,1,1,1] i = {0}, float[1,1,1,1] u = {1}",
        "y = ScatterElements<reduction=\"max\">(x, i, u)", "reduction max came with opset 18",
    ),
    "dilated_average": (
        19, 18, X, "", "y = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(x)",
        "dilations [2, 2] do not exist before opset 19",
    ),
    "padding_counted": (
        19, 18, X, "",
        "y = AveragePool<kernel_shape=[2,2], ceil_mode=1, count_include_pad=1>(x)",
        "ceil_mode with count_include_pad",
    ),
    "window_in_padding": (
        22, 21, "(float[1,1,1,1] x) => (float[?] y)", "",
        "y = MaxPool<kernel_shape=[1,1], strides=[2,2], pads=[0,0,1,1], ceil_mode=1>(x)",
        "ceil_mode puts a window into the right padding of axis 2",
    ),
    "allowzero": (
        18, 13, "(float[0,3] x) => (float[?] y)", "int64[2] s = {3,0}",
        "y = Reshape<allowzero=1>(x, s)", "allowzero=1 with a 0 in the shape",
    ),
    "computed_axes": (
        18, 17, "(float[2,3] x, int64[1] a) => (float[?] y)", "", "y = ReduceMean(x, a)",
        "axes must be constant",
    ),
    "integer_relu": (
        18, 13, "(int32[2,3] x) => (int32[?] y)", "", "y = Relu(x)",
        "X is a tensor(int32), which it does not take in opset 13",
    ),
    "training": (
        18, 13, X, "float[4] s = {1,2,3,4}",
        "y = BatchNormalization<training_mode=1>(x, s, s, s, s)",
        "attribute training_mode=1 does not exist in opset 13",
    ),
    "mean_used": (
        18, 13, X, "float[5] s = {1,2,3,4,5}",
        "n, m, d = LayerNormalization(x, s) y = Add(n, m)", "its mean or inverse deviation is used",
    ),
    "split_dynamic": (
        18, 13, "(float[n,3] x) => (float[?] y)", "",
        "a, y = Split<axis=0, num_outputs=2>(x)", "axis 0 of the input must have a fixed size",
    ),
    "crop_axes": (
        18, 17, X, "float[4] r = {0,0,1,1}, float[2] k = {2,2}",
        "y = Resize<axes=[2,3], coordinate_transformation_mode=\"tf_crop_and_resize\">(x, r, k)",
        "axes with a region of interest",
    ),
    "dft": (
        17, 20, "(float[1,8,2] x) => (float[?] y)", "", "y = DFT<axis=1>(x)",
        "made the axis an input",
    ),
    "bitwise": (
        18, 17, "(int32[2] x) => (int32[?] y)", "", "y = BitwiseNot(x)",
        "it came with opset 18",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_node_and_reason_and_changes_nothing(name: str):
    written, opset, interface, constants, nodes, reason = REFUSED[name]
    before = model(written, interface, constants, nodes)
    text = ir.to_proto(before).SerializeToString(deterministic=True)
    with pytest.raises(OpsetError) as refused:
        convert_opset(before, opset)
    (refusal,) = refused.value.refusals
    assert reason in str(refused.value)
    assert refusal.node == f"{refusal.op}_0"
    assert ir.to_proto(before).SerializeToString(deterministic=True) == text


def test_refusal_counts_every_node():
    before = model(18, X, "", "t = Trilu(x) u = Trilu<upper=0>(t) y = Mish(u)")
    with pytest.raises(OpsetError, match=r"Trilu 'Trilu_0': .*; and 1 more nodes$") as refused:
        convert_opset(before, 13)
    assert [r.node for r in refused.value.refusals] == ["Trilu_0", "Trilu_1"]


def test_refuses_node_inside_a_branch():
    before = model(
        18,
        X,
        "bool yes = {1}",
        "y = If(yes) <then_branch = t () => (float[?] a) { a = Trilu(x) }, "
        "else_branch = e () => (float[?] b) { b = Relu(x) }>",
    )
    with pytest.raises(OpsetError, match="Trilu"):
        convert_opset(before, 13)


def test_lowering_leaves_the_given_model_and_drops_replaced_constants():
    before = model(*EQUAL["pad"])
    lowered = convert_opset(before, 13)
    assert before.opset_imports[""] == 18
    assert len(before.graph.node(0).inputs) == 4
    assert set(lowered.graph.initializers) == {"y__pads"}


def test_functions_are_inlined():
    proto = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18, "local": 1]> g (float[2] x) => (float[2] y) '
        "{ y = local.twice(x) } "
        '<domain: "local", opset_import: ["": 18]> '
        "twice (a) => (b) { h = HardSwish(a) b = Add(h, h) }"
    )
    converted = convert_opset(ir.from_proto(proto), 13)
    assert not converted.functions
    assert [n.op_type for n in converted.graph] == ["HardSigmoid", "Mul", "Add"]


def test_nodes_of_other_domains_stay():
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18, "mine": 2]> g (float[2] x) => (float[2] y) '
        "{ y = mine.Strange<depth=3>(x) }"
    )
    converted = convert_opset(ir.from_proto(proto), 13)
    assert converted.opset_imports == {"": 13, "mine": 2}
    assert converted.graph.node(0).attributes["depth"].value == 3


@pytest.mark.parametrize(("source", "wanted"), [(12, 18), (18, 12), (18, 26)])
def test_opset_out_of_range_is_refused(source: int, wanted: int):
    with pytest.raises(EdgeupError, match=r"opset (12|26) is not between 13 and 25"):
        convert_opset(model(source, X, "", "y = Relu(x)"), wanted)


def test_ir_version_is_what_was_asked_for_or_refused():
    before = model(18, X, "", "y = Relu(x)")
    assert convert_opset(before, 18, 9).ir_version == 9
    with pytest.raises(EdgeupError, match="IR version 3 is not between 4"):
        convert_opset(before, 18, 3)


def test_ir_version_knows_its_element_types():
    before = model(21, "(float[2] x) => (int4[?] y)", "", "y = Cast<to=22>(x)")
    assert convert_opset(before, 21).ir_version == 10
    with pytest.raises(EdgeupError, match="y is INT4, which IR version 9 does not know"):
        convert_opset(before, 21, 9)


@given(
    opset=st.integers(OLDEST, NEWEST),
    ir_version=st.none() | st.integers(7, 10),
    name=st.sampled_from(sorted(set(EQUAL) - {"grid_sample", "grid_sample_cubic"})),
)
@settings(max_examples=40, deadline=None)
def test_file_says_the_opset_and_ir_version_asked_for(
    opset: int, ir_version: int | None, name: str
):
    content = checked_bytes(convert_opset(model(*EQUAL[name]), opset, ir_version))
    facts = read_back(content)
    assert facts.opset == opset
    assert ir_version is None or facts.ir_version == ir_version


def _versions() -> dict[str, list[defs.OpSchema]]:
    found: dict[str, list[defs.OpSchema]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= NEWEST:
            found.setdefault(schema.name, []).append(schema)
    return {op: sorted(s, key=lambda s: s.since_version) for op, s in found.items()}


def test_every_change_of_an_attribute_that_is_no_addition_has_a_step():
    """The general check trusts that new attributes have neutral defaults; nothing else changes."""
    seen = 0
    for op, schemas in _versions().items():
        for old, new in pairwise(schemas):
            if new.since_version <= OLDEST:
                continue
            for name, attribute in old.attributes.items():
                later = new.attributes.get(name)
                if later is None or str(later.default_value) != str(attribute.default_value):
                    assert (op, new.since_version) in STEPS, (op, new.since_version, name)
                    seen += 1
    assert seen > 5


def test_every_step_stands_at_a_version_of_its_operator():
    versions = {(op, s.since_version) for op, schemas in _versions().items() for s in schemas}
    assert set(STEPS) <= versions

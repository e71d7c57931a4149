"""Each rule for TensorRT for RTX: NVIDIA's parser and builder refuse what it refuses.

Beside each model stands its twin, as near as can be, which both accept.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir
import pytest

from edgeup.export.capability.check import check_model, is_refused
from edgeup.export.capability.contract import Finding, Verdict
from edgeup.export.capability.rtx.rules import RTX_RULES
from edgeup.export.passes.contract import Aim
from edgeup.runtime.nvidia_parser import NvidiaParser, Profile, nvidia_packages

X = "float[1,4,6,6] x"
Q = "float16[2,4,1,16] q, float16[2,4,8,16] k, float16[2,4,8,16] v"
LSTM = "float[3,2,4] x, float[1,20,4] w, float[1,20,5] r"
BODY = "b (int64 i, bool c, float[1] s) => (bool d, float[1] t{outs}) {{ d = Identity(c) {nodes} }}"
SCAN = BODY.format(outs=", float[1] u", nodes="t = Add(s, s) u = Add(s, s)")
GROWS = BODY.format(outs="", nodes="t = Concat<axis=0>(s, s)").replace("float[1] t", "float[2] t")
KEEPS = BODY.format(outs="", nodes="t = Add(s, s)")
THEN = "then_branch = g () => (float[1] p) {{ p = {then} }}"
BRANCHES = THEN + ", else_branch = h () => ({kind} q) {{ q = Constant<value={kind} {{2}}>() }}"
ONE = "Constant<value=float[1] {1}>()"
IF = BRANCHES.format(then=ONE, kind="float[1]")
IF_SCALAR = BRANCHES.format(then=ONE, kind="float")


def model_of(inputs: str, body: str, constants: str = "", opset: int = 20) -> onnx.ModelProto:
    """The nodes' outputs y, and z if there is one, with their inferred types."""
    text = (
        f'<ir_version: 10, opset_import: ["": {opset}]> g ({inputs}) => () <{constants}> {{{body}}}'
    )
    model = onnx.parser.parse_model(text)
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    model.graph.output.extend(value for value in known if value.name in ("y", "z"))
    return model


# Rule: (refused, its twin), each of (inputs, nodes, constants, opset).
CASES: dict[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "rtx-given": ((f"{X}, uint16[2] w", "y = Relu(x)"), (f"{X}, int32[2] w", "y = Relu(x)")),
    "rtx-operator": ((f"{X}", "y = Det(x)"), (f"{X}", "y = Erf(x)")),
    "rtx-types": (("int32[4] x", "y = Relu(x)"), ("int64[4] x", "y = Relu(x)")),
    "rtx-rank": (
        ("float[4] x", "y = Softmax(x)"),
        ("float[4] x", "y = Softmax<axis=0>(x)", "", 11),
    ),
    "rtx-dimensions": (
        ("float[1,1,1,1,1,1,1,2] x", "y = Unsqueeze(x, a)", "int64[1] a = {0}"),
        ("float[1,1,1,1,1,1,2] x", "y = Unsqueeze(x, a)", "int64[1] a = {0}"),
    ),
    "rtx-quantized-made": ((X, "y = Cast<to=22>(x)"), (X, "y = Cast<to=3>(x)")),
    "rtx-quantize-to": (
        (X, "y = QuantizeLinear<output_dtype=17>(x, s)", "float s = {1}", 21),
        (X, "y = QuantizeLinear<output_dtype=3>(x, s)", "float s = {1}", 21),
    ),
    "rtx-uint8-inside": (
        (X, "b = Cast<to=2>(x) y = Cast<to=1>(b)"),
        (X, "b = Cast<to=6>(x) y = Cast<to=1>(b)"),
    ),
    "rtx-random": (
        (X, "y = RandomUniformLike<dtype=11>(x)"),
        (X, "y = RandomUniformLike<dtype=10>(x)"),
    ),
    "rtx-matmul": (
        ("float[3] x, float[2,3,4] w", "y = MatMul(x, w)"),
        ("float[3] x, float[1,3,4] w", "y = MatMul(x, w)"),
    ),
    "rtx-einsum": (
        ("float[2,3] x, float[3,4] w", 'y = Einsum<equation="Ij,jk->Ik">(x, w)'),
        ("float[2,3] x, float[3,4] w", 'y = Einsum<equation="ij,jk->ik">(x, w)'),
    ),
    "rtx-outputs": (
        (X, "y, z = MaxPool<kernel_shape=[2,2]>(x)"),
        (X, "y = MaxPool<kernel_shape=[2,2]>(x)"),
    ),
    "rtx-training": (
        (X, "y = Dropout(x, r, t)", "float r = {0.5}, bool t = {1}"),
        (X, "y = Dropout(x, r, t)", "float r = {0.5}, bool t = {0}"),
    ),
    "rtx-mod": (
        ("int32[4] a", "x = Cast<to=1>(a) y = Mod(x, x)"),
        ("int32[4] a", "x = Cast<to=1>(a) y = Mod<fmod=1>(x, x)"),
    ),
    "rtx-norm-order": (
        (X, "y = LpPool<kernel_shape=[2,2], p=3>(x)"),
        (X, "y = LpPool<kernel_shape=[2,2], p=1>(x)"),
    ),
    "rtx-reduction": (
        (
            "float[3] x",
            'y = ScatterND<reduction="add">(x, i, u)',
            "int64[1,1] i={1}, float[1] u={2}",
        ),
        (
            "float[3] x",
            'y = ScatterND<reduction="none">(x, i, u)',
            "int64[1,1] i={1}, float[1] u={2}",
        ),
    ),
    "rtx-tensor-scatter": (
        ("float[2,8,4] x, float[2,2,4] u", "y = TensorScatter(x, u)", "", 24),
        ("float[2,3,8,4] x, float[2,3,2,4] u", "y = TensorScatter(x, u)", "", 24),
    ),
    "rtx-topk": (
        ("float[4000] x", "y, z = TopK(x, k)", "int64[1] k = {3900}"),
        ("float[4000] x", "y, z = TopK(x, k)", "int64[1] k = {3800}"),
    ),
    "rtx-clip": (
        ("int8[4] x", "y = Clip(x, , m)", "int8 m = {5}"),
        ("int8[4] x", "y = Clip(x, l, m)", "int8 l = {-128}, int8 m = {5}"),
    ),
    "rtx-split": (
        ("float[5] x", "y, z, w, v = Split<num_outputs=4>(x)"),
        ("float[7] x", "y, z, w, v = Split<num_outputs=4>(x)"),
    ),
    "rtx-zero-point": (
        (X, "y = QuantizeLinear(x, s, p)", "float s = {1}, int8 p = {3}"),
        (X, "y = QuantizeLinear(x, s, p)", "float s = {1}, int8 p = {0}"),
    ),
    "rtx-resize": (
        (X, 'y = Resize<mode="linear", antialias=1>(x, , s)', "float[4] s = {1,1,0.5,0.5}"),
        (X, 'y = Resize<mode="linear", antialias=0>(x, , s)', "float[4] s = {1,1,0.5,0.5}"),
    ),
    "rtx-pool-dilations": (
        (X, "y = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(x)"),
        (X, "y = AveragePool<kernel_shape=[2,2], dilations=[1,1]>(x)"),
    ),
    "rtx-pool-int8": (
        ("int8[1,2,4,4,4] x", "y = MaxPool<kernel_shape=[2,2,2]>(x)"),
        ("int8[1,2,4,4] x", "y = MaxPool<kernel_shape=[2,2]>(x)"),
    ),
    "rtx-average": (
        (X, "y = AveragePool<kernel_shape=[1,1], strides=[4,4], ceil_mode=1>(x)"),
        (X, "y = AveragePool<kernel_shape=[2,2], strides=[4,4], ceil_mode=0>(x)"),
    ),
    "rtx-axes": (
        ("float[1,2,6] x", "y = LpPool<kernel_shape=[2]>(x)"),
        ("float[1,2,6] x", "y = MaxPool<kernel_shape=[2]>(x)"),
    ),
    "rtx-deconvolution": (
        (f"{X}, float[4,2,3,3] w", "y = ConvTranspose<strides=[2,2], dilations=[2,2]>(x, w)"),
        (f"{X}, float[4,2,3,3] w", "y = ConvTranspose<strides=[1,1], dilations=[2,2]>(x, w)"),
    ),
    "conv-transpose-output-shape": (
        (f"{X}, float[4,2,3,3] w", "y = ConvTranspose<output_shape=[12,12]>(x, w)"),
        (f"{X}, float[4,2,3,3] w", "y = ConvTranspose<output_shape=[8,8]>(x, w)"),
    ),
    "rtx-grid-sample": (
        (f"{X}, float16[1,2,2,2] g", "y = GridSample(x, g)"),
        (f"{X}, float[1,2,2,2] g", "y = GridSample(x, g)"),
    ),
    "rtx-reduce-axes": (
        (X, "b = Add(a, a) y = ReduceSum(x, b)", "int64[1] a = {1}"),
        (X, "b = Identity(a) y = ReduceSum(x, b)", "int64[1] a = {1}"),
    ),
    "rtx-squeeze-axes": (
        ("float[1,4] x, int64[1] a", "y = Squeeze(x, a)"),
        ("float[1,4] x", "b = Sub(a, a) y = Squeeze(x, b)", "int64[1] a = {1}"),
    ),
    "rtx-eye": (("float[n,4] x", "y = EyeLike(x)"), ("float[4,4] x", "y = EyeLike(x)")),
    "rtx-size-of-floats": (
        (f"{X}, float[4] s", 'y = Resize<mode="nearest">(x, , s)'),
        (f"{X}, int64[4] s", 'y = Resize<mode="nearest">(x, , , s)'),
    ),
    "rtx-range-type": (
        (
            "float16[4] x",
            "r = Range(a, b, c) y = Add(x, r)",
            "float16 a={0}, float16 b={17408}, float16 c={15360}",
        ),
        ("float[4] x", "r = Range(a, b, c) y = Add(x, r)", "float a={0}, float b={4}, float c={1}"),
    ),
    "rtx-if": (("bool c", f"y = If<{IF_SCALAR}>(c)"), ("bool c", f"y = If<{IF}>(c)")),
    "rtx-loop": (
        ("float[1] x", f"y = Loop<body = {GROWS}>(m, c, x)", "int64 m = {3}, bool c = {1}"),
        ("float[1] x", f"y = Loop<body = {KEEPS}>(m, c, x)", "int64 m = {3}, bool c = {1}"),
    ),
    "rtx-recurrent": (
        (LSTM, "y = LSTM<hidden_size=5, input_forget=1>(x, w, r)"),
        (LSTM, "y = LSTM<hidden_size=5, input_forget=0>(x, w, r)"),
    ),
    "rtx-attention": (
        (Q, "y = Attention<softcap=2.0>(q, k, v)", "", 24),
        (Q, "y = Attention<softcap=0.0>(q, k, v)", "", 24),
    ),
}

MORE = {
    "attention without a kernel": (
        (
            Q.replace("float16", "float").replace("2,4,1,", "2,4,2,"),
            "y = Attention(q, k, v)",
            "",
            24,
        ),
        (Q.replace("2,4,1,", "2,4,2,"), "y = Attention(q, k, v)", "", 24),
    ),
    "attention with values of another size": (
        (Q.replace("16] v", "32] v"), "y = Attention(q, k, v)", "", 24),
        (Q, "y = Attention(q, k, v)", "", 24),
    ),
    "a mask with is_causal": (
        (f"{Q}, bool[1,8] m", "y = Attention<is_causal=1>(q, k, v, m)", "", 24),
        (f"{Q}, bool[1,8] m", "y = Attention<is_causal=0>(q, k, v, m)", "", 24),
    ),
    "a constant of eight bits": (
        ("int8[2] x", "y = Add(x, c)", "int8[2] c = {1, 2}"),
        ("int8[2] x, int8[2] c", "y = Add(x, c)"),
    ),
    "a loop that collects without a trip count": (
        ("bool c, float[1] x", f"y, z = Loop<body = {SCAN}>(, c, x)"),
        ("bool c, float[1] x", f"y = Loop<body = {KEEPS}>(, c, x)"),
    ),
    "a refused operator in a branch": (
        ("bool c, float[1,2,2] x", f"y = If<{BRANCHES.format(then='Det(x)', kind='float[1]')}>(c)"),
        ("bool c, float[1] x", f"y = If<{BRANCHES.format(then='Erf(x)', kind='float[1]')}>(c)"),
    ),
    "a condition that is constant": (
        (
            "float[1,2,2] x",
            f"y = If<{BRANCHES.format(then='Det(x)', kind='float[1]')}>(c)",
            "bool c={1}",
        ),
        (
            "float[1,2,2] x",
            f"y = If<{BRANCHES.format(then='Det(x)', kind='float[1]')}>(c)",
            "bool c={0}",
        ),
    ),
    "what is silent, on axes that are refused": (
        (
            "float[2,3,4,4] x",
            'y = Resize<mode="cubic", coordinate_transformation_mode="tf_half_pixel_for_nn">'
            "(x, , s)",
            "float[4] s = {2,2,2,2}",
        ),
        (
            "float[2,3,4,4] x",
            'y = Resize<mode="cubic", coordinate_transformation_mode="half_pixel">(x, , s)',
            "float[4] s = {1,1,2,2}",
        ),
    ),
    "output_shape along one axis": (
        ("float[1,2,6] x, float[2,1,4] w", "y = ConvTranspose<output_shape=[8]>(x, w)"),
        ("float[1,2,6] x, float[2,1,4] w", "y = ConvTranspose<pads=[0,1]>(x, w)"),
    ),
    "linear on four axes": (
        ("float[2,3,4,4] x", 'y = Resize<mode="linear">(x, , , s)', "int64[4] s = {4,6,8,8}"),
        ("float[2,3,4,4] x", 'y = Resize<mode="linear">(x, , , s)', "int64[4] s = {2,6,8,8}"),
    ),
}

DIFFERENT = {
    "rtx-resize": (
        X,
        'y = Resize<mode="linear", coordinate_transformation_mode="tf_half_pixel_for_nn">(x, , s)',
        "float[4] s = {1,1,2,2}",
    ),
    "rtx-pool-ceil": (
        "float[1,1,4,4] x",
        "y = MaxPool<kernel_shape=[1,1], strides=[4,4], ceil_mode=1, pads=[0,0,1,1]>(x)",
    ),
}


@pytest.fixture(scope="module")
def nvidia() -> Iterator[NvidiaParser]:
    """One process for all questions."""
    if "tensorrt_rtx" not in nvidia_packages():
        pytest.skip("tensorrt-rtx-cu12 is not installed")
    with NvidiaParser("tensorrt_rtx") as parser:
        yield parser


def findings_of(model: onnx.ModelProto) -> list[Finding]:
    opset = model.opset_import[0].version
    return check_model(ir.from_proto(model), Aim("rtx", "tensorrt-rtx", None, opset))


def builds(nvidia: NvidiaParser, model: onnx.ModelProto) -> bool:
    profile = Profile.fixed({"x": [4, 4]}, {"s": [1, 4, 8, 8], "a": [0]})
    return nvidia.ask(model.SerializeToString(), build=True, profile=profile).accepted


@pytest.mark.parametrize("rule", CASES)
def test_nvidia_refuses_what_the_rule_refuses(rule: str, nvidia: NvidiaParser) -> None:
    refused, accepted = (model_of(*case) for case in CASES[rule])  # type: ignore[arg-type]
    found = [one for one in findings_of(refused) if one.verdict is Verdict.REFUSED]
    assert rule in {one.rule for one in found}
    assert all(one.reason and one.evidence for one in found)
    assert not builds(nvidia, refused)
    assert not is_refused(findings_of(accepted))
    assert builds(nvidia, accepted)


@pytest.mark.parametrize("name", MORE)
def test_nvidia_agrees_on(name: str, nvidia: NvidiaParser) -> None:
    refused, accepted = (model_of(*case) for case in MORE[name])  # type: ignore[arg-type]
    assert is_refused(findings_of(refused))
    assert not builds(nvidia, refused)
    assert not is_refused(findings_of(accepted))
    assert builds(nvidia, accepted)


@pytest.mark.parametrize("rule", DIFFERENT)
def test_what_is_silently_different_builds(rule: str, nvidia: NvidiaParser) -> None:
    model = model_of(*DIFFERENT[rule])
    (found,) = findings_of(model)
    assert (found.rule, found.verdict) == (rule, Verdict.DIFFERENT)
    assert builds(nvidia, model)


def test_cubic_by_sizes_on_other_axes_is_a_warning(nvidia: NvidiaParser) -> None:
    model = model_of(X, 'y = Resize<mode="cubic">(x, , , s)', "int64[4] s = {1,8,12,12}")
    (found,) = findings_of(model)
    assert found.verdict is Verdict.WARNING
    assert builds(nvidia, model)


def test_every_rule_is_shown() -> None:
    assert {rule.name for rule in RTX_RULES} == {*CASES, *DIFFERENT, "float64"}


def test_no_rule_speaks_to_another_target() -> None:
    model = model_of(f"{X}, uint16[2] w", "y, z = MaxPool<kernel_shape=[2,2]>(x)")
    assert findings_of(model)
    for aim in (Aim("cpu", "onnxruntime", None, 20), Aim("trt-10.3", "tensorrt", (10, 3), 20)):
        found = check_model(ir.from_proto(model), aim, rules=RTX_RULES)
        assert found == []

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeup.export.passes.max_pooling import MaxPooling
from edgeup.export.passes.plane_starts import PlaneStarts
from edgeup.export.passes.unpool_by_index import UnpoolByIndex

RULES = (PlaneStarts(), MaxPooling(), UnpoolByIndex())
RTX = {"backend": "tensorrt-rtx"}
WINDOW = {"kernel_shape": (2, 2), "strides": (2, 2)}
REFUSED_BY_TENSORRT = {"MaxUnpool", "ScatterND", "ScatterElements", "ArgMax", "TopK"}


def dims(*sizes):
    return f"[{','.join(map(str, sizes))}]"


def pool(source="x", outputs="y, i", **attributes):
    """A MaxPool in ONNX's text form."""
    listed = (f"{k}={list(v) if isinstance(v, tuple) else v}" for k, v in attributes.items())
    return f"{outputs} = MaxPool<{', '.join(listed)}>({source}) "


def unpool(rank, values="v", indices="i", shape="s", output="u"):
    return f"{output} = MaxUnpool<kernel_shape={[1] * rank}>({values}, {indices}, {shape}) "


@st.composite
def windows(draw, most=11):
    """A MaxPool's attributes, and the shape it pools."""
    rank = draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 5 if rank < 3 else 3), min_size=rank, max_size=rank))
    strides, dilations, begins, ends, lengths = [], [], [], [], []
    for k in kernel:
        strides.append(draw(st.integers(1, 4)))
        dilations.append(draw(st.sampled_from([1, 1, 1, 2])))
        begins.append(draw(st.integers(0, k // 2)))
        ends.append(draw(st.integers(0, k // 2)))
        reach = (k - 1) * dilations[-1] + 1 - begins[-1]
        lengths.append(draw(st.integers(max(1, reach), most if rank < 3 else 7)))
    attributes = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(strides),
        "pads": tuple(begins + ends),
        "dilations": tuple(dilations),
        "ceil_mode": draw(st.integers(0, 1)),
    }
    return attributes, (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *lengths)


def counts(attributes, shape):
    """The pooled shape, as ONNX Runtime computes it."""
    rank = len(shape) - 2
    sizes = []
    for i, n in enumerate(shape[2:]):
        k, s, d = (attributes[key][i] for key in ("kernel_shape", "strides", "dilations"))
        b, e = attributes["pads"][i], attributes["pads"][rank + i]
        spare = n + b + e - (k - 1) * d - 1
        assume(spare >= 0)
        count = (-(-spare // s) if attributes["ceil_mode"] else spare // s) + 1
        if attributes["ceil_mode"] and (count - 1) * s >= n + b:
            assume(False)  # ONNX's shape inference gives one more: refused
        sizes.append(count)
    return (*shape[:2], *sizes)


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(0, 5), st.booleans(), st.integers(0, 1), st.data())
def test_unpoolings_equal_onnx_runtime_to_the_bit(
    rewrite, model_text, case, seed, own, order, data
):
    attributes, shape = case
    rank, pooled = len(shape) - 2, counts(case[0], case[1])
    assume(all(a <= b for a, b in zip(pooled, shape, strict=True)))
    larger = [n + data.draw(st.integers(0, 2)) for n in shape[2:]]
    shift = data.draw(st.sampled_from([0, 3]))  # after the ReLU, whole windows are zero
    text = model_text(
        f"d = Sub(x, shift) r = Relu(d) {pool('r', storage_order=order, **attributes)}"
        + unpool(rank, "y" if own else "v"),
        inputs=f"float{dims(*shape)} x, float{dims(*pooled)} v",
        output=f"float{dims(*shape[:2], *larger)} u, float{dims(*pooled)} y",
        s=np.asarray([*shape[:2], *larger]),
        shift=np.float32(shift),
    )
    looked = rewrite(text, *RULES, only_look=True, **RTX)
    assume(not any("padding" in reason for reason in looked.reasons))
    done = rewrite(text, *RULES, seed=seed, **RTX)
    assert not REFUSED_BY_TENSORRT & set(done.nodes)
    assert all(np.array_equal(before, after) for before, after in done.pairs)


@settings(max_examples=20, deadline=None)
@given(windows(), st.integers(0, 5), st.integers(0, 1))
def test_indices_as_numbers_equal_onnx_runtimes(rewrite, model_text, case, seed, order):
    attributes, shape = case
    pooled = counts(attributes, shape)
    text = model_text(
        pool(storage_order=order, **attributes),
        inputs=f"float{dims(*shape)} x",
        output=f"float{dims(*pooled)} y, int64{dims(*pooled)} i",
    )
    looked = rewrite(text, *RULES, only_look=True, **RTX)
    assume(not any("padding" in reason for reason in looked.reasons))
    done = rewrite(text, *RULES, seed=seed, **RTX)
    assert all(np.array_equal(before, after) for before, after in done.pairs)


@settings(max_examples=30, deadline=None)
@given(windows(), st.integers(0, 5))
def test_pairs_equal_pytorchs_to_the_bit(rewrite, model_text, case, seed):
    import torch
    import torch.nn.functional as F

    attributes, shape = case
    rank = len(shape) - 2
    pads = attributes["pads"][:rank]
    attributes = {**attributes, "pads": pads * 2, "dilations": (1,) * rank}
    pooled = counts(attributes, shape)
    assume(all(a <= b for a, b in zip(pooled, shape, strict=True)))
    text = model_text(
        pool(**attributes) + unpool(rank, "y"),
        inputs=f"float{dims(*shape)} x",
        output=f"float{dims(*shape)} u",
        s=np.asarray(shape),
    )
    done = rewrite(text, *RULES, seed=seed, **RTX)
    x = torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32))
    window = (attributes["kernel_shape"], attributes["strides"], pads)
    ceil = bool(attributes["ceil_mode"])
    y, indices = getattr(F, f"max_pool{rank}d")(x, *window, ceil_mode=ceil, return_indices=True)
    size = torch.Size(shape)
    flat = torch.zeros((*size[:2], size[2:].numel()))
    want = flat.scatter(2, indices.flatten(2), y.flatten(2)).view(size)
    assert np.array_equal(done.after[0], want.numpy())
    spare = [
        n - (c - 1) * s - k + 2 * p
        for c, k, s, p, n in zip(pooled[2:], *window, shape[2:], strict=True)
    ]
    if all(abs(pixels) < s for pixels, s in zip(spare, attributes["strides"], strict=True)):
        # max_unpool takes output sizes by less than a stride from its own.
        unpooled = getattr(F, f"max_unpool{rank}d")(y, indices, *window, output_size=size)
        assert torch.equal(unpooled, want)


def test_the_first_of_equal_values_wins(rewrite, model_text):
    text = model_text(
        "r = Sub(x, x) " + pool("r", **WINDOW) + unpool(2, "one"),
        inputs="float[1,1,4,4] x",
        output="float[1,1,4,4] u",
        s=np.asarray([1, 1, 4, 4]),
        one=np.ones((1, 1, 2, 2), np.float32),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.after[0][0, 0].tolist() == [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]


def test_two_by_two_windows_take_few_nodes(rewrite, model_text):
    text = model_text(
        pool(**WINDOW) + "u = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(y, i)",
        inputs="float[n,3,4,6] x",
        output="float[n,3,4,6] u, float[n,3,2,3] y",
    )
    done = rewrite(text, *RULES, dims={"n": 2}, **RTX)
    assert done.error == 0
    assert sum(done.nodes.values()) == 18
    assert (done.nodes["MaxPool"], done.nodes["Slice"]) == (1, 6)
    assert done.nodes["Greater"] + done.nodes["Where"] + done.nodes["Equal"] == 6


def test_many_unpoolings_share_one_pooling(rewrite, model_text):
    text = model_text(
        pool(kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 0))
        + unpool(2, "y")
        + "h = MaxPool<kernel_shape=[1,1],strides=[2,2]>(u) "
        + "w = Add(h, y) "
        + unpool(2, "w", output="u2")
        + "m = Mod(i, plane) g = Cast<to=1>(m)",
        inputs="float[2,3,6,4] x",
        output="float[2,3,6,4] u2, float[2,3,3,2] y, float[2,3,3,2] g, int64[2,3,3,2] i",
        s=np.asarray([2, 3, 6, 4]),
        plane=np.asarray(24),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert done.nodes["MaxPool"] == 2
    assert "MaxUnpool" not in done.nodes
    assert len(done.optimized.rewritten) == 1


STARTS = "z, j = MaxPool<kernel_shape=[1,1]>(x) a = Slice(j, zero, one, axes) t = Sub(i, a) "
SCATTERS = {
    "ScatterND": "b = Add(t, planes) f = Reshape(b, line) g = Unsqueeze(f, last) "
    "o = ConstantOfShape<value=float[1] {0}>(s) k = Reshape(o, line) w = Reshape(v, line) "
    "q = ScatterND(k, g, w) u = Reshape(q, s)",
    "ScatterElements": "f = Reshape(t, rows) w = Reshape(v, rows) o = Expand(nothing, flat) "
    "q = ScatterElements<axis=-1>(o, f, w) u = Reshape(q, s)",
    "MaxUnpool": "b = Add(t, planes) u = MaxUnpool<kernel_shape=[1,1]>(v, b, s)",
    "MaxUnpool of Mod": "m = Mod(i, plane) b = Add(planes, m) "
    "u = MaxUnpool<kernel_shape=[1,1]>(v, b, s)",
}


@pytest.mark.parametrize("larger", [0, 2])
@pytest.mark.parametrize("kind", SCATTERS)
def test_what_exporters_write_is_recognised(rewrite, model_text, kind, larger):
    """torch.onnx: a second MaxPool, Slice and Sub, then an index within the plane is added."""
    h, w = 6 + larger, 6
    text = model_text(
        pool(kernel_shape=(2, 2), strides=(2, 2)) + STARTS + "v = Mul(y, y)" + SCATTERS[kind],
        inputs="float[2,3,6,6] x",
        output=f"float[2,3,{h},{w}] u",
        opset=18,
        s=np.asarray([2, 3, h, w]),
        zero=np.asarray([0, 0]),
        one=np.asarray([1, 1]),
        axes=np.asarray([2, 3]),
        line=np.asarray([-1]),
        last=np.asarray([-1]),
        rows=np.asarray([2, 3, 9]),
        flat=np.asarray([2, 3, h * w]),
        nothing=np.zeros((1, 1, 1), np.float32),
        planes=np.arange(6).reshape(2, 3, 1, 1) * h * w,
        plane=np.asarray([36]),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert not REFUSED_BY_TENSORRT & set(done.nodes)
    assert done.nodes["MaxPool"] == 1


def test_the_plain_export_of_pytorch_is_recognised(builds_for_rtx):
    import onnx_ir as ir
    import onnxruntime as ort
    import torch
    import torch.nn.functional as F

    from edgeup.export.optimize import optimize
    from edgeup.export.passes.contract import Aim, Chosen

    class Net(torch.nn.Module):
        def forward(self, x):
            y, i = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            z, j = F.max_pool2d(y, 3, 2, 1, return_indices=True)
            y = y + F.max_unpool2d(z, j, 3, 2, 1, output_size=y.shape[-2:])
            return F.max_unpool2d(y, i, 2, output_size=x.shape[-2:])

    x = torch.from_numpy(np.random.default_rng(0).integers(-3, 4, (2, 3, 13, 10))).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(Net().eval(), (x,), dynamo=True, verbose=False)
    assert {"ScatterND", "Sub"} <= {node.op_type for node in program.model.graph}
    aim = Aim("rtx", "tensorrt-rtx", None, program.model.opset_imports[""])
    done = optimize(
        program.model, aim, lambda plan, _: Chosen(plan.candidates[0], ""), passes=RULES
    )
    nodes = [node.op_type for node in done.model.graph]
    assert nodes.count("MaxPool") == 2
    assert not REFUSED_BY_TENSORRT & set(nodes)
    proto = ir.to_proto(done.model)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert np.ptp(got) > 0
    assert np.array_equal(got, Net()(x).numpy())
    assert builds_for_rtx(proto) == ""


@pytest.mark.parametrize("kind", ["float16", "int8", "uint8"])
@pytest.mark.parametrize("indices", [True, False])
def test_types(rewrite, model_text, kind, indices):
    text = model_text(
        pool(outputs="y, i" if indices else "y", kernel_shape=(3, 3), pads=(1, 1, 1, 1)),
        inputs=f"{kind}[1,2,5,4] x",
        output=f"{kind}[1,2,5,4] y" + (", int64[1,2,5,4] i" if indices else ""),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert ("Cast" in done.nodes) == (kind != "float16" or indices)


def test_a_dilated_pooling_is_a_maximum_of_slices(rewrite, model_text):
    text = model_text(
        pool(outputs="y", kernel_shape=(3, 2), dilations=(2, 3), pads=(2, 1, 2, 0)),
        inputs="float[n,2,9,7] x",
        output="float[n,2,9,5] y",
    )
    done = rewrite(text, *RULES, dims={"n": 2}, **RTX)
    assert done.error == 0
    assert done.nodes == {"Pad": 1, "Slice": 5, "Max": 2}


def test_an_index_output_that_nobody_reads_is_dropped(rewrite, model_text):
    text = model_text(
        pool(kernel_shape=(2, 2), auto_pad='"SAME_LOWER"', strides=(2, 2)),
        inputs="float[1,2,5,6] x",
        output="float[1,2,3,3] y",
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert done.nodes == {"MaxPool": 1}
    (node,) = done.optimized.model.graph
    assert len(node.outputs) == 1


def test_values_of_unknown_batch_are_reshaped(rewrite, model_text):
    text = model_text(
        pool(**WINDOW) + "w = Reshape(y, line) v = Reshape(w, three) t = Shape(x)"
        + unpool(2, shape="t"),
        inputs="float[n,2,6,4] x",
        output="float[n,2,6,4] u",
        line=np.asarray([-1]),
        three=np.asarray([-1, 2, 3, 2]),
    )  # fmt: skip
    done = rewrite(text, *RULES, dims={"n": 3}, **RTX)
    assert done.error == 0
    assert "MaxUnpool" not in done.nodes


def test_inside_a_branch(rewrite, model_text):
    branch = pool(kernel_shape=(2, 2), strides=(2, 2)) + unpool(2, "y")
    text = model_text(
        "c = Cast<to=9>(flag) o = If<then_branch = then () => (float[1,2,4,4] u) {"
        + branch
        + "}, else_branch = other () => (float[1,2,4,4] e) { e = Neg(x) }>(c)",
        inputs="float[1,2,4,4] x",
        output="float[1,2,4,4] o",
        s=np.asarray([1, 2, 4, 4]),
        flag=np.asarray(1),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert len(done.optimized.rewritten) == 1


def test_unknown_indices_become_a_scatter(rewrite, model_text):
    text = model_text(
        "i = Div(d, two)" + unpool(2),
        inputs="float[1,2,2,2] v",
        output="float[1,2,4,4] u",
        s=np.asarray([1, 2, 4, 4]),
        d=np.asarray([0, 5, 21, 17, 62, 44, 40, 35]).reshape(1, 2, 2, 2) * 1,
        two=np.asarray(2),
    )
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert done.nodes["ScatterElements"] == 1


@pytest.mark.parametrize(
    ("body", "shape", "arrays", "reason"),
    [
        (pool(**WINDOW) + unpool(2, "y"), "[2,3,h,6]", {}, "2x3xhx6 is not fixed: fix it with"),
        (pool(**WINDOW, pads=(1, 1, 1, 1), ceil_mode=1) + unpool(2, "y"), "[2,3,5,5]", {},
         "ONNX Runtime gives 3x3 windows where the model says 4x4"),
        (pool(**WINDOW, ceil_mode=1, auto_pad='"VALID"') + unpool(2, "y"), "[2,3,6,6]", {},
         "auto_pad VALID with ceil_mode"),
        (pool(kernel_shape=(2, 2), dilations=(5, 1), pads=(1, 0, 3, 0)) + unpool(2, "y"),
         "[2,3,2,4]", {}, "axis 2 (length 2) lies wholly in the padding"),
        (pool(**WINDOW) + "m = Mod(i, plane)" + unpool(2, "y", "m"), "[2,3,6,6]",
         {"plane": np.asarray(36)}, "6 planes lie 0 apart"),
        (pool(**WINDOW) + unpool(2, "y"), "[1,1,8,6]", {"s": np.asarray([1, 1, 5, 7])},
         "its indices reach 47, and its output has 35 elements"),
        (pool(**WINDOW) + unpool(2, "y"), "[n,3,6,6]", {"s": np.asarray([2, 3, 7, 7])},
         "its output is not of the pooled shape"),
        (pool(**WINDOW) + "u = Cast<to=1>(i)", "[n,3,6,6]", {}, "its batch is not fixed"),
        (pool(**WINDOW) + "u = Cast<to=1>(i)", "[9999,999,36,36]", {}, "more than an int32 holds"),
        (pool(**WINDOW) + "v = Reshape(y, w) t = Shape(x)" + unpool(2, shape="t"), "[n,k,6,6]",
         {"w": np.asarray([-1, 3, 3, 3])}, "batch and channels are not fixed"),
        (pool(**WINDOW) + "z, j = MaxPool<kernel_shape=[1,1]>(x) u = Slice(j, w, w)", "[n,3,6,6]",
         {"w": np.asarray([0, 0])}, "has no fixed shape"),
        (pool(**WINDOW) + "o = ConstantOfShape(s) k = Reshape(o, line) f = Reshape(i, line) "
         "e = Unsqueeze(f, line) w = Reshape(y, line) q = ScatterND(k, e, w) u = Reshape(q, s)",
         "[n,3,6,6]", {"line": np.asarray([-1])}, "its shapes are not fixed"),
        (pool(**WINDOW) + "z = Shape(y) w = ReduceProd<keepdims=1>(z)" + unpool(2, "y", "i", "w"),
         "[2,3,6,6]", {}, "its output's shape is not known"),
        (unpool(2, "x", "j", "").replace(", )", ")"), "[2,3,h,6]", {"j": np.zeros((1,), int)},
         "the shape of its output is not fixed"),
    ],
)  # fmt: skip
def test_refusals(rewrite, model_text, body, shape, arrays, reason):
    arrays.setdefault("s", np.asarray([2, 3, 6, 6]))
    text = model_text(body, inputs=f"float{shape} x", output="float[a,b,c,d] u", **arrays)
    looked = rewrite(text, *RULES, only_look=True, **RTX)
    assert not looked.optimized.rewritten
    assert any(reason in said for said in looked.reasons), looked.reasons


def test_old_opsets_and_tensorrt_without_scatter_are_refused(model_text):
    import onnx
    import onnx_ir as ir

    from edgeup.export.optimize import optimize
    from edgeup.export.passes.contract import Aim, Chosen

    shapes = {"inputs": "float[1,1,4,4] x", "output": "float[1,1,4,4] u"}
    given = {"inputs": "float[1,1,2,2] v, int64[1,1,2,2] i", "output": "float[1,1,4,4] u"}
    pair = model_text(
        pool(**WINDOW) + unpool(2, "y"), opset=10, s=np.asarray([1, 1, 4, 4]), **shapes
    )
    alone = model_text(unpool(2), s=np.asarray([1, 1, 4, 4]), **given)
    for text, reason in ((pair, "need opset 11"), (alone, "8.0 has no scatter")):
        model = ir.from_proto(onnx.parser.parse_model(text))
        aim = Aim("jetpack-4.6", "tensorrt", (8, 0), model.opset_imports[""])
        done = optimize(model, aim, lambda plan, _: Chosen(plan.candidates[0], ""), passes=RULES)
        assert any(reason in refusal.reason for _, refusal in done.refusals)


def test_onnx_runtime_takes_all_as_written(rewrite, model_text):
    text = model_text(
        pool(**WINDOW, dilations=(2, 1)) + unpool(2, "y"),
        inputs="float[1,2,6,6] x",
        output="float[1,2,6,6] u",
        s=np.asarray([1, 2, 6, 6]),
    )
    done = rewrite(text, *RULES)
    assert done.error == 0
    assert not done.optimized.sites


CASES = [
    *itertools.product((1, 2, 3), ((2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (3, 3, 1)), (0, 1)),
]


@pytest.mark.parametrize(("rank", "window", "larger"), CASES)
def test_tensorrt_for_rtx_builds_it(rewrite, model_text, builds_for_rtx, rank, window, larger):
    import onnx_ir as ir

    k, s, p = window
    shape = (2, 3, *(7, 6, 9)[:rank])
    wanted = [*shape[:2], *(n + larger for n in shape[2:])]
    text = model_text(
        pool(kernel_shape=(k,) * rank, strides=(s,) * rank, pads=(p,) * 2 * rank)
        + unpool(rank, "y") + "m = Mod(i, plane)",
        inputs=f"float{dims(*shape)} x",
        output=f"float{dims(*wanted)} u" + (f", int64{dims(*'abcde'[: rank + 2])} m" * larger),
        s=np.asarray(wanted),
        plane=np.asarray(np.prod(shape[2:])),
    )  # fmt: skip
    done = rewrite(text, *RULES, **RTX)
    assert done.error == 0
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


def operator_tests():
    """ONNX's own tests of both operators."""
    import onnx.backend.test.case.node as node_cases
    from onnx.backend.test.case.node import maxpool, maxunpool

    del maxpool, maxunpool  # importing them writes their cases
    return [case for case in node_cases._NodeTestCases if "_max" in case.name]


@pytest.mark.filterwarnings("ignore")
def test_onnxs_own_operator_tests(builds_for_rtx):
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort

    from edgeup.export.optimize import optimize
    from edgeup.export.passes.contract import Aim, Chosen

    cases = [
        case for case in operator_tests() if {"maxpool", "maxunpool"} & set(case.name.split("_"))
    ]
    assert len(cases) >= 20
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for case in cases:
        model = onnx.shape_inference.infer_shapes(case.model)
        aim = Aim("rtx", "tensorrt-rtx", None, model.opset_import[0].version)
        done = optimize(
            ir.from_proto(model), aim, lambda plan, _: Chosen(plan.candidates[0], ""), passes=RULES
        )
        after = ir.to_proto(done.model)
        feeds = dict(zip((v.name for v in model.graph.input), case.data_sets[0][0], strict=True))
        want, got = (
            ort.InferenceSession(p.SerializeToString(), options, providers=["CPUExecutionProvider"])
            .run(None, feeds) for p in (model, after)
        )  # fmt: skip
        assert all(map(np.array_equal, want, got)), case.name
        assert builds_for_rtx(after) == "", case.name

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.fold_scale import FoldScale
from edgeup.export.passes.interleaved_convs import InterleavedConvolutions

FORMS = ["phase convolutions", "sub-pixel convolution", "transposed convolution"]


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def only(form):
    """Take that form wherever it is offered, and leave the rest as written."""
    return lambda plan: next((c for c in plan.candidates if c.form == form), None)


# Four maps a b c d (float[2,3,4,5]: the phases of rows and columns), interleaved: n 3 8 10.
STACK = " ".join(f"p{name} = Unsqueeze({name}, {{0}})" for name in "abcd")
INTERLEAVES = {
    "Concat, DepthToSpace DCR": (
        'j = Concat<axis=1>(a, b, c, d) y = DepthToSpace<blocksize=2, mode="DCR">(j)',
        {},
    ),
    "Stack, Reshape, DepthToSpace CRD": (
        f"{STACK.format('two')} j = Concat<axis=2>(pa, pb, pc, pd) r = Reshape(j, crd) "
        'y = DepthToSpace<blocksize=2, mode="CRD">(r)',
        {"two": [2], "crd": [2, 12, 4, 5]},
    ),
    "Stack, Reshape, Transpose, Reshape": (
        f"{STACK.format('two')} j = Concat<axis=2>(pa, pb, pc, pd) r = Reshape(j, six) "
        "t = Transpose<perm=[0,1,4,2,5,3]>(r) y = Reshape(t, big)",
        {"two": [2], "six": [2, 3, 2, 2, 4, 5], "big": [2, 3, 8, 10]},
    ),
    "Stack columns, then rows": (
        "pa = Unsqueeze(a, last) pb = Unsqueeze(b, last) pc = Unsqueeze(c, last) "
        "pd = Unsqueeze(d, last) u = Concat<axis=4>(pa, pb) v = Concat<axis=4>(pc, pd) "
        "ru = Reshape(u, wide) rv = Reshape(v, wide) qu = Unsqueeze(ru, three) "
        "qv = Unsqueeze(rv, three) j = Concat<axis=3>(qu, qv) y = Reshape(j, big)",
        {"last": [4], "wide": [2, 3, 4, 10], "three": [3], "big": [2, 3, 8, 10]},
    ),
    # As in FCRN's TensorFlow code, which keeps n h w c.
    "Transpose, Concat, Reshape": (
        "ta = Transpose<perm=[0,2,3,1]>(a) tb = Transpose<perm=[0,2,3,1]>(b) "
        "tc = Transpose<perm=[0,2,3,1]>(c) td = Transpose<perm=[0,2,3,1]>(d) "
        "u = Concat<axis=3>(ta, tb) v = Concat<axis=3>(tc, td) ru = Reshape(u, row) "
        "rv = Reshape(v, row) j = Concat<axis=2>(ru, rv) r = Reshape(j, nhwc) "
        "y = Transpose<perm=[0,3,1,2]>(r)",
        {"row": [2, 4, 10, 3], "nhwc": [2, 8, 10, 3]},
    ),
    "DepthToSpace, cropped": (
        'j = Concat<axis=1>(a, b, c, d) z = DepthToSpace<blocksize=2, mode="DCR">(j) '
        "y = Slice(z, starts, ends, axes)",
        {"starts": [1, 0], "ends": [8, 9], "axes": [2, 3]},
    ),
    "slices of the channels": (
        "j = Concat<axis=1>(d, a, b, c) s = Slice(j, three, twelve, one) "
        "f = Slice(j, zero, three, one) k = Concat<axis=1>(s, f) "
        'y = DepthToSpace<blocksize=2, mode="DCR">(k)',
        {"zero": [0], "one": [1], "three": [3], "twelve": [12]},
    ),
}
PHASES_AS_WRITTEN = ("Concat, DepthToSpace DCR", "DepthToSpace, cropped")
PADDINGS = {"published": (1, 0), "textbook": (0, 1)}


def fcrn(padding, bias=True):
    """The four convolutions of a fast up-convolution; a to d are phases, row by row."""
    begin, end = PADDINGS[padding]
    sizes = {"a": (3, 3), "b": (3, 2), "c": (2, 3), "d": (2, 2)}
    body, arrays = "", {}
    for at, (name, (rows, columns)) in enumerate(sizes.items()):
        top, bottom = (1, 1) if rows == 3 else (begin, end)
        left, right = (1, 1) if columns == 3 else (begin, end)
        body += f"{name} = Conv<pads=[{top},{left},{bottom},{right}]>(x, k{name}"
        body += f", b{name}) " if bias else ") "
        arrays["k" + name] = kernel(3, 4, rows, columns, seed=at)
        if bias:
            arrays["b" + name] = kernel(3, seed=at + 9)
    return body, arrays


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("spelling", INTERLEAVES)
@pytest.mark.parametrize("form", FORMS)
def test_every_spelling_becomes_every_form(rewrite, model_text, spelling, form, padding):
    interleave, shapes = INTERLEAVES[spelling]
    body, arrays = fcrn(padding, bias=form != "transposed convolution")
    text = model_text(
        body + interleave,
        inputs="float[2,4,4,5] x",
        output="float[n,o,h,w] y",
        **arrays,
        **{name: np.asarray(shape) for name, shape in shapes.items()},
    )
    done = rewrite(text, InterleavedConvolutions(), draw=only(form))
    found = [site.form for site in done.optimized.rewritten]
    if form != "phase convolutions" or spelling not in PHASES_AS_WRITTEN:
        assert found == [form]
        assert not {"Unsqueeze", "Reshape", "Transpose"} & set(done.nodes)
    assert done.error == 0


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.sampled_from([(2, 2), (1, 2), (3, 2), (2,), (3,), (2, 1, 2)]),
    st.sampled_from(["DCR", "CRD"]),
    st.sampled_from([1, 2]),
    st.integers(0, 9),
)
def test_one_convolution_and_any_blocks(rewrite, model_text, form, strides, mode, group, seed):
    axes, blocks = len(strides), int(np.prod(strides))
    extents = (4, 5, 3)[:axes]
    lead = [*strides, 4] if mode == "DCR" else [4, *strides]
    channel, phase = (axes + 1, 1) if mode == "DCR" else (1, 2)
    perm = [0, channel, *(a for i in range(axes) for a in (axes + 2 + i, phase + i))]
    text = model_text(
        f"a = Conv<pads={[1] * 2 * axes}, group={group}>(x, k, b) r = Reshape(a, cells) "
        f"t = Transpose<perm={perm}>(r) y = Reshape(t, big)",
        inputs=f"float[1,4,{','.join(map(str, extents))}] x",
        output=f"float[n,o,{','.join('hwd'[:axes])}] y",
        k=kernel(4 * blocks, 4 // group, *[3] * axes, seed=seed),
        b=kernel(4 * blocks, seed=seed),
        cells=np.asarray([1, *lead, *extents]),
        big=np.asarray([1, 4, *(s * n for s, n in zip(strides, extents, strict=True))]),
    )
    done = rewrite(text, InterleavedConvolutions(), draw=only(form), seed=seed)
    assert done.error == 0
    if form == "phase convolutions":
        assert done.nodes["Conv"] == blocks


def test_pads_before_the_convolutions_and_a_batch_norm_behind(rewrite, model_text):
    body, arrays = fcrn("published")
    body = body.replace("Conv<pads=[1,1,1,1]>(x,", "Conv(xp,")
    interleave, _ = INTERLEAVES["Concat, DepthToSpace DCR"]
    text = model_text(
        "xp = Pad(x, one) "
        + body
        + interleave.replace("y =", "z =")
        + " y = BatchNormalization<epsilon=0.0>(z, gamma, beta, mean, variance)",
        inputs="float[1,4,4,5] x",
        output="float[n,o,h,w] y",
        one=np.asarray([0, 0, 1, 1, 0, 0, 1, 1]),
        gamma=np.asarray([2, -4, 8], np.float32),
        beta=np.asarray([1, 2, 3], np.float32),
        mean=np.asarray([1, 0, -1], np.float32),
        variance=np.asarray([4, 16, 1], np.float32),
        **arrays,
    )
    done = rewrite(
        text, FoldScale(), InterleavedConvolutions(), settles=False, form="sub-pixel convolution"
    )
    assert [site.form for site in done.optimized.rewritten] == ["folded", "sub-pixel convolution"]
    assert done.nodes == {"Conv": 1, "DepthToSpace": 1}
    assert done.error == 0


def test_the_exported_fast_up_convolution(rewrite):
    import onnx
    import onnx_ir as ir
    import torch

    from edgeup.export.to_onnx import to_onnx
    from edgeup.models.upsampling.fast_upconv import FastUpConv
    from edgeup.spec import TensorSpec

    block = FastUpConv(4, 3, padding="published", bias=True)
    with torch.no_grad():
        for weight in block.parameters():
            weight.copy_(torch.randint(-3, 4, weight.shape))
        block.norm.running_mean.fill_(2.0)
    exported = to_onnx(block, [TensorSpec("x", (1, 4, 5, 6))], opset=17)
    text = onnx.printer.to_text(ir.to_proto(exported.model))
    done = rewrite(
        text, FoldScale(), InterleavedConvolutions(), form="sub-pixel convolution", settles=False
    )
    assert done.nodes == {"Conv": 1, "DepthToSpace": 1, "Relu": 1}
    assert done.error < 1e-3


CONVS = "a = Conv(x, k) b = Conv(x, k) c = Conv(x, k) d = Conv(x, k) "
JOIN = 'j = Concat<axis=1>(a, b, c, d) y = DepthToSpace<blocksize=2, mode="DCR">(j)'


@pytest.mark.parametrize(
    ("body", "inputs", "reason"),
    [
        (CONVS + JOIN, "float[1,4,h,5] x", "--shape would fix"),
        (
            CONVS.replace("b = Conv(x, k)", "b = Conv(x, w)") + JOIN,
            "float[1,4,4,5] x, float[4,4,2,2] w",
            "weights are not constant",
        ),
        (
            CONVS.replace("b = Conv(x, k)", "b = Conv(x2, k)") + JOIN,
            "float[1,4,4,5] x, float[1,4,4,5] x2",
            "read different maps",
        ),
        (
            CONVS.replace("Conv(x", "Conv<strides=[2,2]>(x") + JOIN,
            "float[1,4,4,6] x",
            "stride [2, 2] is interleaved",
        ),
        (
            CONVS.replace("b = Conv(x, k)", "b = Conv<group=2>(x, half)") + JOIN,
            "float[1,4,4,5] x",
            "differ in their groups",
        ),
        (
            CONVS + JOIN.replace("y =", "z =") + " r = ReduceMean(b) y = Add(z, r)",
            "float[1,4,4,5] x",
            "something else reads a convolution",
        ),
    ],
)
def test_refusals_say_why(rewrite, model_text, body, inputs, reason):
    text = model_text(
        body,
        inputs=inputs,
        output="float[n,o,hh,ww] y",
        k=kernel(4, 4, 2, 2),
        half=kernel(4, 2, 2, 2),
    )
    done = rewrite(text, InterleavedConvolutions(), only_look=True)
    assert not done.optimized.sites
    assert any(reason in given for given in done.reasons), done.reasons


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, k) y = Reshape(a, flat)",
        "a = Conv(x, k) b = Conv(x, k) y = Concat<axis=1>(a, b)",
        "a = Conv(x, k) b = Relu(x) c = Concat<axis=1>(a, a) y = Transpose<perm=[0,1,3,2]>(c)",
    ],
)
def test_other_movements_are_no_near_misses(rewrite, model_text, body):
    text = model_text(
        body,
        inputs="float[1,4,4,5] x",
        output="float y",
        k=kernel(4, 4, 1, 1),
        flat=np.asarray([1, -1]),
    ).replace("float y", "float[a,b] y" if "flat)" in body else "float[a,b,c,d] y")
    done = rewrite(text, InterleavedConvolutions(), only_look=True)
    assert not done.optimized.sites
    assert not done.reasons


def activated(text):
    """An activation behind each of the four convolutions of `fcrn`: A to D."""
    return " ".join(f"{name.upper()} = {text.format(name)}" for name in "abcd")


ACTIVATIONS = {
    "Relu": "Relu({})",
    "LeakyRelu": "LeakyRelu<alpha=0.25>({})",
    "Clip": "Clip({}, low, high)",
    "Sigmoid": "Sigmoid({})",
    "Tanh": "Tanh({})",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_behind_each_convolution_goes_along(rewrite, model_text, kind, form):
    body, arrays = fcrn("published", bias=form != "transposed convolution")
    interleave, shapes = INTERLEAVES["Stack columns, then rows"]
    for name in "abcd":
        interleave = interleave.replace(f"Unsqueeze({name},", f"Unsqueeze({name.upper()},")
    text = model_text(
        body + activated(ACTIVATIONS[kind]) + " " + interleave,
        inputs="float[2,4,4,5] x",
        output="float[n,o,h,w] y",
        low=np.float32(-2),
        high=np.float32(6),
        **arrays,
        **{name: np.asarray(shape) for name, shape in shapes.items()},
    )
    done = rewrite(text, InterleavedConvolutions(), draw=only(form))
    assert [site.form for site in done.optimized.rewritten] == [form]
    assert done.nodes[kind] == (4 if form == "phase convolutions" else 1)
    assert done.error <= (0 if kind not in ("Sigmoid", "Tanh") else 1e-6)


def test_a_relu_between_one_convolution_and_its_interleave_goes_along(rewrite, model_text):
    text = model_text(
        'a = Conv(x, k) r = Relu(a) y = DepthToSpace<blocksize=2, mode="CRD">(r)',
        inputs="float[1,4,4,5] x",
        output="float[1,3,n,m] y",
        k=kernel(12, 4, 1, 1),
    )
    done = rewrite(text, InterleavedConvolutions(), draw=only("transposed convolution"))
    assert done.nodes == {"ConvTranspose": 1, "Relu": 1}
    assert done.error == 0


@pytest.mark.parametrize(
    ("activations", "output", "reason"),
    [
        ("A = Relu(a) B = Relu(b) C = Relu(c) D = Sigmoid(d)", "", "different activations"),
        ("A = Relu(a) B = Relu(b) C = Relu(c) D = Identity(d)", "", "different activations"),
        (
            "A = LeakyRelu<alpha=0.1>(a) B = LeakyRelu<alpha=0.1>(b) C = LeakyRelu<alpha=0.1>(c) "
            "D = LeakyRelu<alpha=0.2>(d)",
            "",
            "different activations",
        ),
        (
            "A = Relu(a) B = Relu(b) C = Relu(c) D = Relu(d) z = Neg(b)",
            ", float[n,o2,h2,w2] z",
            "something else reads",
        ),
        (
            "A = Relu(a) B = Relu(b) C = Relu(c) D = Relu(d) z = Neg(B)",
            ", float[n,o2,h2,w2] z",
            "something else reads",
        ),
        (
            "A = Relu(a) B = Relu(b) C = Relu(c) D = Relu(d)",
            ", float[n,o2,h2,w2] D",
            "something else reads",
        ),
    ],
)
def test_activations_that_do_not_go_along(rewrite, model_text, activations, output, reason):
    body, arrays = fcrn("published")
    text = model_text(
        f"{body} {activations} j = Concat<axis=1>(A, B, C, D) y = DepthToSpace<blocksize=2>(j)",
        inputs="float[2,4,4,5] x",
        output="float[n,o,h,w] y" + output,
        **arrays,
    )
    done = rewrite(text, InterleavedConvolutions())
    assert not done.optimized.rewritten
    assert any(reason in one for one in done.reasons)
    assert done.error == 0

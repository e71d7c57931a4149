from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeup.export.passes.fuse_upsample_conv import FuseUpsampleConv

NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
FORMS = [
    "phase convolutions",
    "sub-pixel convolution",
    "sub-pixel convolution, cropped",
    "transposed convolution",
]
BOXED = [f"{form}, then a box" for form in FORMS]


def kernel(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def scales(*factors):
    return np.asarray([1, 1, *factors], np.float32)


def one_hot(channels, factors, place):
    result = np.zeros((channels, 1, *factors), np.float32)
    result[(..., *place)] = 1
    return result


def only(form):
    """Take that form wherever it is offered, and leave the rest as written."""
    return lambda plan: next((c for c in plan.candidates if c.form == form), None)


@st.composite
def geometries(draw, axes):
    """Numbers of a convolution after an upsampling by ``factors``, one per axis."""
    factors = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    if set(factors) == {1}:
        factors[0] = 2
    taps = draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes))
    dilations = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    pads = draw(st.lists(st.integers(0, 3), min_size=2 * axes, max_size=2 * axes))
    strides = [draw(st.sampled_from([t for t in (1, 2, 4) if f % t == 0])) for f in factors]
    group = draw(st.sampled_from([1, 2, 4]))
    return factors, taps, dilations, pads, strides, group


def conv(geometry):
    _, _, dilations, pads, strides, group = geometry
    return f"<pads={pads}, dilations={dilations}, strides={strides}, group={group}>"


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_form_of_nearest_and_conv_is_equal(rewrite, model_text, axes):
    @settings(max_examples=70 if axes == 2 else 20, deadline=None)
    @given(geometries(axes), st.sampled_from(FORMS + BOXED), st.booleans(), st.integers(0, 9))
    def check(geometry, form, bias, seed):
        factors, taps, *_, group = geometry
        extents = (9, 8, 9)[:axes]
        text = model_text(
            f"u = Resize<{NEAREST}>(x,,s) y = Conv{conv(geometry)}(u, k{', b' if bias else ''})",
            inputs=f"float[2,4,{','.join(map(str, extents))}] x",
            output=f"float[n,{','.join('abcd'[: axes + 1])}] y",
            s=scales(*factors),
            k=kernel(8, 4 // group, *taps, seed=seed) + (seed == 0),
            b=kernel(8, seed=seed + 1) + 5,
        )
        done = rewrite(text, FuseUpsampleConv(), draw=only(form), seed=seed)
        if done.optimized.rewritten:
            assert "Resize" not in done.nodes
            assert done.error == 0

    check()


@pytest.mark.parametrize("form", [form for form in BOXED if "cropped" not in form])  # same here
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_a_box_saves_taps_and_keeps_pads_of_edges(rewrite, model_text, form, taps):
    """U-Net's 2x2 kernel with a row and a column of zeros, and kernels behind an edge pad."""
    pad = [0, 0, 0, 0, 0, 0, 1, 1] if taps == 2 else [0, 0, 1, 1, 0, 0, 1, 1]
    text = model_text(
        f"u = Resize<{NEAREST}>(x,,s) "
        f'p = Pad<mode="{"constant" if taps == 2 else "edge"}">(u, pad) y = Conv(p, k, b)',
        inputs="float[1,4,5,6] x",
        output="float[1,3,n,m] y",
        s=scales(2, 2),
        pad=np.asarray(pad),
        k=kernel(3, 4, taps, taps, seed=taps) + 1,
        b=kernel(3, seed=7) + 4,
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    assert [site.form for site in done.optimized.rewritten] == [form]
    assert done.error == 0
    weights = [v.const_value.shape for v in done.optimized.model.graph.initializers.values()]
    assert (3, 1, 2, 2) in [tuple(shape) for shape in weights]
    if taps == 2 and form.startswith("sub-pixel convolution, then"):
        assert done.nodes == {"Conv": 2, "DepthToSpace": 1}
        (site,) = done.optimized.sites
        # At the small map: 4 of 9 taps, beside the sum of 4 numbers per channel and pixel.
        assert site.macs_after == 5 * 6 * 4 * 4 * 3 + 10 * 12 * 4 * 3


@pytest.mark.parametrize(
    ("body", "backend"),
    [
        (f"u = Resize<{NEAREST}>(x,,s) y = Conv<pads=[1,1,1,1]>(u, k)", "tensorrt-rtx"),
        (f"u = Resize<{NEAREST}>(x,,s) y = Conv<pads=[1,1,1,1], group=4>(u, kd)", "onnxruntime"),
        (f"u = Resize<{NEAREST}>(x,,s) y = Conv<pads=[1,1,1,1], strides=[2,2]>(u, k)",
         "onnxruntime"),
        ("u = ConvTranspose<strides=[2,2], group=4>(x, z) y = Conv<pads=[1,1,1,1]>(u, k)",
         "onnxruntime"),
    ],
)  # fmt: skip
def test_where_no_box_is_offered(rewrite, model_text, body, backend):
    text = model_text(
        body,
        inputs="float[1,4,5,6] x",
        output="float[1,c,n,m] y",
        s=scales(2, 2),
        k=kernel(4, 4, 3, 3),
        kd=kernel(4, 1, 3, 3),
        z=one_hot(4, (2, 2), (0, 0)),
    )
    offered = []
    rewrite(
        text,
        FuseUpsampleConv(),
        draw=lambda plan: offered.extend(c.form for c in plan.candidates),
        backend=backend,
        settles=False,
        tensorrt=None,
    )
    assert offered
    assert not set(offered) & set(BOXED)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FORMS), st.data())
def test_every_form_of_zero_insertion_and_conv_is_equal(rewrite, model_text, form, data):
    geometry = data.draw(geometries(2))
    factors, taps, dilations, pads, _, group = geometry
    place = [data.draw(st.integers(0, f - 1)) for f in factors]
    more = [data.draw(st.integers(0, f - 1)) for f in factors]  # output padding
    begins = [data.draw(st.integers(0, p)) for p in place]
    ends = [data.draw(st.integers(0, f - 1 - p)) for p, f in zip(place, factors, strict=True)]
    for axis, extent in enumerate((7, 8)):  # a convolution needs room for its kernel
        room = extent * factors[axis] + more[axis] - begins[axis] - ends[axis]
        room += pads[axis] + pads[axis + 2]
        assume(room >= dilations[axis] * (taps[axis] - 1) + 1)
    text = model_text(
        f"u = ConvTranspose<group=4, strides={factors}, output_padding={more}, "
        f"pads={begins + ends}>(x, z) y = Conv{conv(geometry)}(u, k)",
        inputs="float[1,4,7,8] x",
        output="float[n,c,h,w] y",
        z=one_hot(4, factors, place),
        k=kernel(4, 4 // group, *taps) + 1,
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    if done.optimized.rewritten:
        assert "ConvTranspose" not in done.nodes or form == "transposed convolution"
        assert sum(done.nodes.values()) >= 1
        assert not done.reasons
    if np.ptp(done.before[0]) > 0:
        assert done.error == 0


SPELLINGS = {
    "pad the ends of cells": (
        "a = Reshape(x, cells) b = Pad(a, ends) u = Reshape(b, big)",
        {"cells": [1, 2, 5, 1, 6, 1], "ends": [0] * 9 + [1, 0, 1], "big": [1, 2, 10, 12]},
        0,
    ),
    "concat with zeros": (
        "a = Unsqueeze(x, last) b = Concat<axis=4>(a, z) c = Reshape(b, rows) "
        "d = Concat<axis=3>(c, zr) u = Reshape(d, big)",
        {
            "last": [4],
            "z": np.zeros((1, 2, 5, 6, 1), np.float32),
            "rows": [1, 2, 5, 12],
            "zr": np.zeros((1, 2, 5, 12), np.float32),
            "big": [1, 2, 10, 12],
        },
        0,
    ),
    "repeat by expand": (
        "a = Reshape(x, cells) b = Expand(a, twice) u = Reshape(b, big)",
        {"cells": [1, 2, 5, 1, 6, 1], "twice": [1, 2, 5, 2, 6, 2], "big": [1, 2, 10, 12]},
        1,
    ),
    "repeat by concat": (
        "a = Reshape(x, cells) b = Concat<axis=3>(a, a) c = Concat<axis=5>(b, b) "
        "u = Reshape(c, big)",
        {"cells": [1, 2, 5, 1, 6, 1], "big": [1, 2, 10, 12]},
        1,
    ),
    "repeat by tile": (
        "a = Reshape(x, cells) b = Tile(a, twice) u = Reshape(b, big)",
        {"cells": [1, 2, 5, 1, 6, 1], "twice": [1, 1, 1, 2, 1, 2], "big": [1, 2, 10, 12]},
        1,
    ),
    "scatter into zeros": (
        "u = ScatterND(zeros, places, x)",
        {
            "zeros": np.zeros((1, 2, 10, 12), np.float32),
            "places": np.stack(
                np.meshgrid([0], [0, 1], range(0, 10, 2), range(0, 12, 2), indexing="ij"), -1
            ),
        },
        0,
    ),
}


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_upsampling_by_movement_is_read_whatever_its_spelling(rewrite, model_text, spelling, form):
    body, constants, _ = SPELLINGS[spelling]
    arrays = {
        name: value if isinstance(value, np.ndarray) else np.asarray(value, np.int64)
        for name, value in constants.items()
    }
    text = model_text(
        f"{body} y = Conv<pads=[2,2,2,2]>(u, k)",
        inputs="float[1,2,5,6] x",
        output="float[1,3,10,12] y",
        k=kernel(3, 2, 5, 5),
        **arrays,
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    assert [site.form for site in done.optimized.rewritten] == [form]
    assert not {"Tile", "Expand", "Pad", "ScatterND"} & set(done.nodes)
    assert done.error == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("mode", "factor", "pad"),
    [
        *(("constant", 2, 1), ("constant", 3, 2), ("edge", 2, 1), ("edge", 2, 2), ("edge", 2, 3)),
        *(("edge", 3, 1), ("reflect", 2, 1), ("reflect", 3, 2), ("reflect", 4, 3)),
    ],
)
def test_a_pad_between_is_part_of_it(rewrite, model_text, mode, factor, pad, form):
    text = model_text(
        f'u = Resize<{NEAREST}>(x,,s) p = Pad<mode="{mode}">(u, pads) y = Conv(p, k, b)',
        inputs="float[2,3,4,5] x",
        output="float[n,c,h,w] y",
        s=scales(factor, factor),
        pads=np.asarray([0, 0, pad, pad, 0, 0, pad, pad - 1]),
        k=kernel(2, 3, 3, 3),
        b=kernel(2),
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    if form in FORMS[:2] or done.optimized.rewritten:
        assert [site.form for site in done.optimized.rewritten] == [form]
        assert "Resize" not in done.nodes
    assert done.error == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 18])
def test_old_opsets(rewrite, model_text, opset, form):
    up = {
        7: 'u = Upsample<mode="nearest", scales=[1.0,1.0,2.0,2.0]>(x)',
        9: 'u = Upsample<mode="nearest">(x, s)',
        10: 'u = Resize<mode="nearest">(x, s)',
        11: f"u = Resize<{NEAREST}>(x, roi, s)",
    }.get(opset, f"u = Resize<{NEAREST}>(x,,s)")
    text = model_text(
        f"{up} y = Conv<pads=[1,1,1,1]>(u, k)",
        inputs="float[1,3,4,5] x",
        output="float[n,c,h,w] y",
        opset=opset,
        s=scales(2, 2),
        roi=np.zeros(0, np.float32),
        k=kernel(2, 3, 3, 3),
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    assert done.optimized.rewritten
    assert done.error == 0


def test_two_convolutions_of_one_map_change_together_and_another_reader_keeps_it(
    rewrite, model_text
):
    text = model_text(
        f"u = Resize<{NEAREST}>(x,,s) a = Conv<pads=[1,1,1,1]>(u, k) r = Relu(u) "
        "b = Conv<pads=[1,1,1,1]>(u, k) c = Add(a, b) y = Concat<axis=1>(c, r)",
        inputs="float[1,3,4,5] x",
        output="float[n,c,h,w] y",
        s=scales(2, 2),
        k=kernel(2, 3, 3, 3),
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only("phase convolutions"))
    assert len(done.optimized.rewritten) == 1
    assert done.nodes["Conv"] == 8
    assert done.nodes["Resize"] == 1
    assert done.error == 0


def test_float16(rewrite, model_text):
    text = model_text(
        f"u = Resize<{NEAREST}>(x,,s) y = Conv<pads=[1,1,1,1]>(u, k)",
        inputs="float16[1,3,4,5] x",
        output="float16[n,c,h,w] y",
        s=scales(2, 2),
        k=kernel(2, 3, 3, 3, dtype=np.float16),
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only("transposed convolution"))
    assert done.nodes == {"ConvTranspose": 1}
    assert done.error == 0


def test_a_batch_of_unknown_size_is_no_hindrance(rewrite, model_text):
    text = model_text(
        f"u = Resize<{NEAREST}>(x,,s) y = Conv<pads=[1,1,1,1]>(u, k)",
        inputs="float[n,3,h,w] x",
        output="float[n,c,hh,ww] y",
        s=scales(2, 2),
        k=kernel(2, 3, 3, 3),
    )
    done = rewrite(
        text,
        FuseUpsampleConv(),
        form="sub-pixel convolution",
        settles=False,
        dims={"n": 2, "h": 4, "w": 5},
    )
    assert done.nodes == {"Conv": 1, "DepthToSpace": 1}
    assert done.error == 0


def test_a_graph_in_a_branch_is_rewritten_there(rewrite):
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    g (bool c, float[1,1,4,5] x) => (float[1,1,8,10] y)
    <float[4] s = {{1, 1, 2, 2}}, float[1,1,3,3] k = {{1, 2, 3, 4, 5, 6, 7, 8, 9}}> {{
      y = If(c) <
        then_branch = t () => (float[1,1,8,10] a) {{
          u = Resize<{NEAREST}>(x,,s) a = Conv<pads=[1,1,1,1]>(u, k) }},
        else_branch = e () => (float[1,1,8,10] b) {{ b = Resize<{NEAREST}>(x,,s) }}>
    }}"""
    done = rewrite(text, FuseUpsampleConv(), draw=only("phase convolutions"), seed=3)
    assert len(done.optimized.rewritten) == 1
    assert done.error == 0


REFUSED = [
    (
        f"u = Resize<{NEAREST}>(x,,s) y = Conv(u, w)",
        "float[1,3,4,5] x, float[2,3,3,3] w",
        {},
        "weights are not constant",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,s) y = Conv(u, k, w)",
        "float[1,3,4,5] x, float[2] w",
        {},
        "bias is not constant",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,s) y = Conv<strides=[3,3]>(u, k)",
        "float[1,3,4,5] x",
        {},
        "has to divide the factor",
    ),
    (
        'u = Resize<mode="nearest", nearest_mode="ceil">(x,,s) y = Conv(u, k)',
        "float[1,3,4,5] x",
        {},
        "under its rounding",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,half) y = Conv(u, k)",
        "float[1,3,4,6] x",
        {"half": np.asarray([1, 1, 1.5, 1.5], np.float32)},
        "nearest by 1.5x1.5",
    ),
    (
        f'u = Resize<{NEAREST}>(x,,s) p = Pad<mode="reflect">(u, two) y = Conv(p, k)',
        "float[1,3,4,5] x",
        {"two": np.asarray([0, 0, 2, 2, 0, 0, 2, 2])},
        "reflects by 2: at factor 2 that is an edge only up to 1",
    ),
    (
        f'u = Resize<{NEAREST}>(x,,s) p = Pad<mode="edge">(u, one) y = Conv<pads=[1,1,1,1]>(p, k)',
        "float[1,3,4,5] x",
        {"one": np.asarray([0, 0, 1, 1, 0, 0, 1, 1])},
        "zeros beyond an edge of 1",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,s) p = Pad(u, one, seven) y = Conv(p, k)",
        "float[1,3,4,5] x",
        {"one": np.asarray([0, 0, 1, 1, 0, 0, 1, 1]), "seven": np.float32(7)},
        "something else than zeros",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,s) p = Pad(u, less) y = Conv(p, k)",
        "float[1,3,4,5] x",
        {"less": np.asarray([0, 0, -1, 1, 0, 0, 1, 1])},
        "it crops",
    ),
    (
        f"u = Resize<{NEAREST}>(x,,s) p = Pad(u, one) q = Conv(p, k) r = ReduceMean(p) "
        "y = Add(q, r)",
        "float[1,3,4,5] x",
        {"one": np.asarray([0, 0, 1, 1, 0, 0, 1, 1])},
        "another node reads what",
    ),
    (
        'u = ConvTranspose<group=3, strides=[2,2]>(x, z) p = Pad<mode="edge">(u, one) '
        "y = Conv(p, k)",
        "float[1,3,4,5] x",
        {"one": np.asarray([0, 0, 1, 1, 0, 0, 1, 1]), "z": one_hot(3, (2, 2), (0, 0))},
        "zero-inserted map has no low-resolution form",
    ),
    (
        "u = ConvTranspose<group=3, strides=[2,2], pads=[1,0,0,0]>(x, z) y = Conv(u, k)",
        "float[1,3,4,5] x",
        {"z": one_hot(3, (2, 2), (0, 0))},
        "crop the unpooled map",
    ),
    (
        "u = ConvTranspose<group=3, strides=[2,2]>(x, z, ones) y = Conv(u, k)",
        "float[1,3,4,5] x",
        {"z": one_hot(3, (2, 2), (0, 0)), "ones": np.ones(3, np.float32)},
        "fills the zeros",
    ),
]


@pytest.mark.parametrize(("body", "inputs", "arrays", "reason"), REFUSED)
def test_refusals_say_why(rewrite, model_text, body, inputs, arrays, reason):
    text = model_text(
        body,
        inputs=inputs,
        output="float[n,c,h,w] y",
        s=scales(2, 2),
        k=kernel(2, 3, 3, 3),
        **arrays,
    )
    done = rewrite(text, FuseUpsampleConv(), only_look=True)
    assert not done.optimized.sites
    assert any(reason in given for given in done.reasons), done.reasons


@pytest.mark.parametrize(
    "body",
    [
        "u = Relu(x) y = Conv(u, k)",
        'u = Resize<mode="linear">(x,,s) y = Conv(u, k)',
        f"u = Resize<{NEAREST}>(x,,one) y = Conv(u, k)",
        "u = Transpose<perm=[0,1,3,2]>(x) y = Conv(u, k)",
        "u = ConvTranspose<group=3, strides=[2,2]>(x, w) y = Conv(u, k)",
    ],
)
def test_other_graphs_are_no_near_misses(rewrite, model_text, body):
    text = model_text(
        body,
        inputs="float[1,3,4,5] x",
        output="float[n,c,h,w] y",
        s=scales(2, 2),
        one=scales(1, 1),
        k=kernel(2, 3, 3, 3),
        w=kernel(3, 1, 2, 2),
    )
    done = rewrite(text, FuseUpsampleConv(), only_look=True)
    assert not done.optimized.sites
    assert not done.reasons


@pytest.mark.parametrize("form", FORMS)
def test_tensorrt_for_rtx_builds_every_form(rewrite, model_text, builds_for_rtx, form):
    import onnx_ir as ir

    text = model_text(
        f'u = Resize<{NEAREST}>(x,,s) p = Pad<mode="reflect">(u, one) y = Conv(p, k, b)',
        inputs="float[1,8,6,7] x",
        output="float[n,c,h,w] y",
        s=scales(2, 2),
        one=np.asarray([0, 0, 1, 1, 0, 0, 1, 1]),
        k=kernel(8, 8, 3, 3),
        b=kernel(8),
    )
    done = rewrite(text, FuseUpsampleConv(), draw=only(form))
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""

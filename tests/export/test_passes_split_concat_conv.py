from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.split_concat_conv import SplitConcatConv

NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
FORMS = [
    "phase convolutions",
    "sub-pixel convolution",
    "sub-pixel convolution, cropped",
    "transposed convolution",
]
FORMS += [f"{form}, then a box" for form in FORMS]


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def scales(*factors):
    return np.asarray([1, 1, *factors], np.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.tuples(st.integers(2, 3), st.integers(1, 2)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.permutations(["r", "b", "c"]),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_form_of_every_geometry_is_equal(
    rewrite, model_text, form, factors, taps, pads, dilations, order, bias, seed
):
    h, w = 7 * factors[0], 9 * factors[1]
    text = model_text(
        f"r = Resize<{NEAREST}>(a,,s) j = Concat<axis=1>({', '.join(order)}) "
        f"y = Conv<pads={pads}, dilations={list(dilations)}>(j, k{', bias' if bias else ''})",
        inputs=f"float[2,3,7,9] a, float[2,2,{h},{w}] b, float[2,1,{h},{w}] c",
        output="float[n,c,h,w] y",
        s=scales(*factors),
        k=kernel(5, 6, *taps, seed=seed),
        bias=kernel(5, seed=seed + 1),
    )
    done = rewrite(text, SplitConcatConv(), form=f"split, {form}", seed=seed)
    assert len(done.optimized.rewritten) == 1
    assert "Resize" not in done.nodes or taps == (1, 1)
    assert done.error == 0


@pytest.mark.parametrize("form", FORMS)
def test_maps_resized_by_several_factors_are_each_fused(rewrite, model_text, form):
    text = model_text(
        f"p = Resize<{NEAREST}>(a,,four) q = Resize<{NEAREST}>(b,,two) "
        "j = Concat<axis=-3>(p, q, p) y = Conv<pads=[1, 1, 1, 1]>(j, k, bias)",
        inputs="float[1,2,2,3] a, float[1,3,4,6] b",
        output="float[n,c,h,w] y",
        four=scales(4, 4),
        two=scales(2, 2),
        k=kernel(4, 7, 3, 3),
        bias=kernel(4, seed=1),
    )
    done = rewrite(text, SplitConcatConv(), form=f"split, {form}")
    assert done.nodes["Add"] == 2
    assert "Resize" not in done.nodes
    assert done.error == 0


def test_a_pointwise_kernel_is_applied_before_the_resize(rewrite, model_text):
    text = model_text(
        f"r = Resize<{NEAREST}>(a,,s) j = Concat<axis=1>(r, b) y = Conv(j, k, bias)",
        inputs="float[1,3,4,5] a, float[1,2,8,10] b",
        output="float[1,4,8,10] y",
        s=scales(2, 2),
        k=kernel(4, 5, 1, 1),
        bias=kernel(4, seed=1),
    )
    done = rewrite(text, SplitConcatConv())
    assert done.nodes == {"Conv": 2, "Resize": 1, "Add": 1}
    assert done.error == 0


def test_strides_that_divide_the_factors_stay(rewrite, model_text):
    text = model_text(
        f"r = Resize<{NEAREST}>(a,,s) j = Concat<axis=1>(r, b) "
        "y = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(j, k)",
        inputs="float[1,3,4,5] a, float[1,2,16,20] b",
        output="float[n,c,h,w] y",
        s=scales(4, 4),
        k=kernel(4, 5, 3, 3),
    )
    for form in FORMS:
        assert rewrite(text, SplitConcatConv(), form=f"split, {form}").error == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "j = Concat<axis=1>(r, b) y = Conv<group=5>(j, g, bias)",
            "its 5 groups would be cut by the joined maps",
        ),
        (
            "j = Concat<axis=1>(r, b) z = Relu(j) y = Conv(j, k)",
            "j, the joined map, is read elsewhere as well",
        ),
        (
            "z = Relu(r) j = Concat<axis=1>(r, b) y = Conv(j, k)",
            "r, a resized map, is read elsewhere as well",
        ),
        (
            "j = Concat<axis=1>(r, b) y = Conv<strides=[3, 3]>(j, k)",
            "the stride has to divide the factor",
        ),
        ("j = Concat<axis=1>(r, b) y = Conv(j, fed)", "weight"),
        ("j = Concat<axis=1>(b, b, r) k2 = Neg(j) y = Relu(k2)", None),
        ("q = Relu(r) j = Concat<axis=1>(q, b) y = Conv(j, k)", None),
    ],
)
def test_near_misses_stay_with_a_reason(rewrite, model_text, body, reason):
    text = model_text(
        f"r = Resize<{NEAREST}>(a,,s) " + body,
        inputs="float[1,3,4,5] a, float[1,2,8,10] b, float[4,5,3,3] fed",
        output="float[n,c,h,w] y" + (", float[n,c2,h2,w2] z" if "z =" in body else ""),
        s=scales(2, 2),
        k=kernel(4, 5, 3, 3),
        g=kernel(5, 1, 3, 3),
        bias=kernel(5),
    )
    done = rewrite(text, SplitConcatConv(), only_look=True)
    assert not done.optimized.rewritten
    assert done.reasons == [] if reason is None else reason in done.reasons[0]


def test_an_unknown_extent_is_refused_with_the_option_that_fixes_it(rewrite, model_text):
    text = model_text(
        f"r = Resize<{NEAREST}>(a,,s) j = Concat<axis=1>(r, b) y = Conv(j, k)",
        inputs="float[1,3,h,w] a, float[1,2,h2,w2] b",
        output="float[n,c,h3,w3] y",
        s=scales(2, 2),
        k=kernel(4, 5, 3, 3),
    )
    done = rewrite(text, SplitConcatConv(), only_look=True)
    assert done.reasons == ["the shape of a is not known: --shape would fix it"]

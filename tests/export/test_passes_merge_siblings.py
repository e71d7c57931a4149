from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.merge_siblings import MergeSiblings


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["Conv", "ConvTranspose"]),
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=2, max_size=3),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(0, 1), min_size=4, max_size=4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([11, 13, 18]),
    st.integers(0, 9),
)
def test_siblings_of_one_geometry_become_one(
    rewrite, model_text, operator, branches, taps, pads, strides, opset, seed
):
    body, outputs, arrays = "", [], {}
    for index, (channels, biased) in enumerate(branches):
        shape = (channels, 3) if operator == "Conv" else (3, channels)
        arrays[f"k{index}"] = kernel(*shape, *taps, seed=seed + index)
        arrays[f"b{index}"] = kernel(channels, seed=seed - index + 9)
        body += (
            f"y{index} = {operator}<pads={pads}, strides={list(strides)}>"
            f"(x, k{index}{f', b{index}' if biased else ''}) "
        )
        outputs.append(f"float[n,c{index},h,w] y{index}")
    text = model_text(
        body, inputs="float[2,3,5,6] x", output=", ".join(outputs), opset=opset, **arrays
    )
    done = rewrite(text, MergeSiblings(), seed=seed)
    assert done.nodes == {operator: 1, "Split": 1}
    assert done.error == 0


def test_an_up_projection_s_branches_merge_and_another_geometry_stays(rewrite, model_text):
    text = model_text(
        "a = Conv<pads=[2,2,2,2]>(x, k) r = Relu(a) c = Conv<pads=[1,1,1,1]>(r, k3) "
        "o = Conv(x, k1) b = Conv<pads=[2,2,2,2]>(x, k2) s = Add(c, b) y = Add(s, o)",
        inputs="float[1,4,6,6] x",
        output="float[1,2,6,6] y",
        k=kernel(2, 4, 5, 5),
        k2=kernel(2, 4, 5, 5, seed=1),
        k3=kernel(2, 2, 3, 3),
        k1=kernel(2, 4, 1, 1),
    )
    done = rewrite(text, MergeSiblings())
    assert done.nodes == {"Conv": 3, "Split": 1, "Relu": 1, "Add": 2}
    assert done.error == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Conv(x, k) z = Conv<strides=[2, 2]>(x, k)", "another geometry"),
        ("y = Conv<group=4>(x, g) z = Conv<group=4>(x, g)", "its 4 groups cannot be stacked"),
        ("y = Conv(x, k) z = Conv(x, fed)", "weight"),
        ("y = Conv(x, k) z = ConvTranspose(x, k)", None),
        ("t = Relu(x) y = Conv(x, k) z = Conv(t, k)", None),
    ],
)
def test_near_misses_stay_with_a_reason(rewrite, model_text, body, reason):
    text = model_text(
        body,
        inputs="float[1,4,6,6] x, float[4,4,3,3] fed",
        output="float[n,c,h,w] y, float[n,c2,h2,w2] z",
        k=kernel(4, 4, 3, 3),
        g=kernel(4, 1, 3, 3),
    )
    done = rewrite(text, MergeSiblings(), only_look=True)
    assert not done.optimized.rewritten
    assert done.reasons == [] if reason is None else reason in done.reasons[0]

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.conv_transpose_forms import ConvTransposeForms

FORMS = ["phase convolutions", "sub-pixel convolution", "sub-pixel convolution, cropped"]


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def only(form):
    """Take that form wherever it is offered, and leave the rest as written."""
    return lambda plan: next((c for c in plan.candidates if c.form == form), None)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_geometry_in_every_form(rewrite, model_text, axes):
    @settings(max_examples=30 if axes == 2 else 10, deadline=None)
    @given(st.sampled_from(FORMS), st.booleans(), st.sampled_from([1, 2]), st.data())
    def check(form, bias, group, data):
        def numbers(least, most, count=axes):
            return data.draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

        strides, taps, dilations = numbers(2, 3), numbers(2, 5), numbers(1, 2)
        pads, more = numbers(0, 2, 2 * axes), numbers(0, 1)
        text = model_text(
            f"y = ConvTranspose<strides={strides}, dilations={dilations}, pads={pads}, "
            f"output_padding={more}, group={group}>(x, k{', b' if bias else ''})",
            inputs=f"float[2,4,{','.join('567'[:axes])}] x",
            output=f"float[n,o,{','.join('hwd'[:axes])}] y",
            k=kernel(4, 3, *taps),
            b=kernel(3 * group, seed=1),
        )
        done = rewrite(text, ConvTransposeForms(), draw=only(form))
        if form == "phase convolutions":
            assert [site.form for site in done.optimized.rewritten] == [form]
        if done.optimized.rewritten:
            assert "ConvTranspose" not in done.nodes
        assert done.error == 0

    check()


@pytest.mark.parametrize(
    "rules",
    [
        'auto_pad="SAME_UPPER"',
        'auto_pad="SAME_LOWER"',
        'auto_pad="VALID"',
        "output_shape=[10,12]",
        'auto_pad="SAME_UPPER", output_shape=[11,13]',
        "output_shape=[9,13], output_padding=[1,1]",
    ],
)
@pytest.mark.parametrize("taps", [4, 5])
def test_pads_that_follow_from_the_output(rewrite, model_text, rules, taps):
    text = model_text(
        f"y = ConvTranspose<strides=[2,2], {rules}>(x, k)",
        inputs="float[1,2,5,6] x",
        output="float[n,o,h,w] y",
        k=kernel(2, 3, taps, taps),
    )
    done = rewrite(text, ConvTransposeForms(), draw=only("phase convolutions"))
    assert len(done.optimized.rewritten) == 1
    assert done.error == 0


@pytest.mark.parametrize(
    ("body", "inputs", "reason"),
    [
        ("y = ConvTranspose<strides=[2,2]>(x, w)", "float[1,2,5,6] x, float[2,3,4,4] w",
         "weights are not constant"),
        ("y = ConvTranspose<strides=[2,2]>(x, k)", "float[1,2,h0,6] x", "--shape would fix"),
        ("y = ConvTranspose<strides=[2,2], output_shape=[40,40]>(x, k)", "float[1,2,5,6] x",
         "more than it makes"),
    ],
)  # fmt: skip
def test_refusals_say_why(rewrite, model_text, body, inputs, reason):
    text = model_text(body, inputs=inputs, output="float[n,o,h,w] y", k=kernel(2, 3, 4, 4))
    done = rewrite(text, ConvTransposeForms(), only_look=True)
    assert not done.optimized.sites
    assert any(reason in given for given in done.reasons), done.reasons


@pytest.mark.parametrize(
    "body",
    ["y = ConvTranspose(x, k)", "y = ConvTranspose<strides=[2,2], group=2>(x, z)", "y = Relu(x)"],
)
def test_what_does_not_upsample_or_only_inserts_zeros_is_left_alone(rewrite, model_text, body):
    z = np.zeros((2, 1, 2, 2), np.float32)
    z[..., 0, 0] = 1
    text = model_text(
        body, inputs="float[1,2,5,6] x", output="float[n,o,h,w] y", k=kernel(2, 3, 3, 3), z=z
    )
    done = rewrite(text, ConvTransposeForms(), only_look=True)
    assert not done.optimized.sites
    assert not done.reasons

from __future__ import annotations

import numpy as np
import pytest

from edgeup.export.passes.hard_sigmoid import HardSigmoid

CLIP = "a = Add({add}) c = Clip(a, zero, six) "
ROUNDING = 4e-7 * 2
"""Of numbers up to 2 (x times a number in 0..1), a few float32 roundings."""


@pytest.fixture(scope="module")
def model(model_text):
    def text(body, *, kind="float", opset=17, **arrays):
        given = {"three": 3.0, "zero": 0.0, "six": 6.0, "sixth": 1 / 6} | arrays
        dtype = {"float": np.float32, "float16": np.float16}[kind]
        return model_text(
            body,
            inputs=f"{kind}[2,3,4] x",
            output=f"{kind}[n,h,w] y",
            opset=opset,
            **{name: np.asarray(number, dtype) for name, number in given.items()},
        )

    return text


@pytest.mark.parametrize("add", ["x, three", "three, x"])
@pytest.mark.parametrize("scale", ["Div({}, six)", "Mul({}, sixth)", "Mul(sixth, {})"])
@pytest.mark.parametrize("product", [None, "x, {}", "{}, x"])
def test_every_spelling_becomes_one_or_two_nodes(rewrite, model, add, scale, product):
    scaled_first = CLIP.format(add=add) + f"g = {scale.format('c')} "
    spellings = (
        [scaled_first + "y = Identity(g)"]
        if product is None
        else [
            scaled_first + f"y = Mul({product.format('g')})",
            CLIP.format(add=add) + f"m = Mul({product.format('c')}) y = {scale.format('m')}",
        ]
    )
    for body in spellings:
        done = rewrite(model(body), HardSigmoid(), exact=False)
        assert done.nodes["HardSigmoid"] == 1
        assert set(done.nodes) <= {"HardSigmoid", "Mul", "Identity"}
        assert done.error <= ROUNDING


def test_other_bounds_give_other_slopes(rewrite, model):
    body = CLIP.format(add="x, three") + "y = Div(c, six)"
    done = rewrite(model(body, three=0.5, six=1.5), HardSigmoid(), exact=False)
    assert list(done.nodes) == ["HardSigmoid"]
    assert done.error <= ROUNDING


def test_bounds_as_attributes_and_half_precision(rewrite, model):
    old = "a = Add(x, three) c = Clip<min=0.0, max=6.0>(a) y = Div(c, six)"
    assert rewrite(model(old, opset=10), HardSigmoid(), exact=False).error <= ROUNDING
    body = CLIP.format(add="x, three") + "m = Mul(x, c) y = Div(m, six)"
    half = rewrite(model(body, kind="float16"), HardSigmoid(), exact=False)
    assert half.error <= 2e-3 * 2  # float16 has 11 bits


@pytest.mark.parametrize(
    ("body", "arrays", "reason"),
    [
        (CLIP.format(add="x, three") + "y = Div(c, three)", {}, "clipped at 6, but divided by 3"),
        (
            CLIP.format(add="x, three") + "s = Div(c, six) y = Mul(s, a)",
            {},
            "a, inside the chain, is read elsewhere",
        ),
        (
            CLIP.format(add="x, three") + "y = Div(c, six)",
            {"three": [[[[3.0]]]]},
            "its constants may add axes",
        ),
        (CLIP.format(add="x, three") + "y = Div(c, six)", {"zero": 1.0}, None),
        (CLIP.format(add="x, three") + "y = Div(six, c)", {}, None),
        (CLIP.format(add="x, three") + "m = Mul(a, c) y = Div(m, six)", {}, None),
        ("a = Add(x, three) c = Clip(a, zero) y = Div(c, six)", {}, None),
    ],
)
def test_near_misses_stay_with_a_reason(rewrite, model, body, arrays, reason):
    text = model(body, **arrays)
    if "three" in arrays:
        text = text.replace("float[n,h,w] y", "float[m,n,h,w] y")
    done = rewrite(text, HardSigmoid(), only_look=True)
    assert not done.optimized.rewritten
    assert done.reasons == [] if reason is None else reason in done.reasons[0]


def test_constants_that_are_graph_inputs_stay(rewrite, model):
    text = model(CLIP.format(add="x, three") + "y = Div(c, six)")
    text = text.replace("float[2,3,4] x)", "float[2,3,4] x, float six)")
    done = rewrite(text, HardSigmoid(), only_look=True)
    assert not done.optimized.rewritten

"""Inputs that TensorRT wants as initializers: made constant, moved out, or refused."""

import numpy as np
import pytest

from edgeup.export.passes.fuse_upsample_conv import FuseUpsampleConv
from edgeup.export.passes.wanted_inputs import WantedInputs

X, Y = "float[1,2,8,8] x", "float[a,b,c,d] y"
WEIGHT = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2) - 8


def old(version):
    return {"backend": "tensorrt", "tensorrt": version}


def test_scales_from_constants_become_one(model_text, rewrite):
    text = model_text(
        'a = Mul(s, s) b = Concat<axis=0>(o, a) y = Resize<mode="linear">(x, , b)',
        inputs=X,
        output=Y,
        opset=13,
        s=np.array([2, 1], np.float32),
        o=np.array([1, 1], np.float32),
    )
    done = rewrite(text, WantedInputs(), **old((8, 2)))
    assert (done.error, done.nodes) == (0, {"Resize": 1})


def test_sizes_from_a_fixed_shape_become_constant(model_text, rewrite):
    text = model_text(
        'a = Shape(x) b = Mul(a, m) y = Resize<mode="nearest">(x, , , b)',
        inputs=X,
        output=Y,
        opset=13,
        m=np.array([1, 1, 2, 3]),
    )
    for version in ((8, 0), (10, 3)):
        done = rewrite(text, WantedInputs(), **old(version))
        assert (done.error, done.nodes) == (0, {"Resize": 1})


@pytest.mark.parametrize(("operator", "last"), [("Conv", (8, 2)), ("ConvTranspose", (8, 4))])
def test_a_fed_bias_is_added_behind(model_text, rewrite, operator, last):
    text = model_text(
        f"b = Neg(n) y = {operator}(x, w, b)",
        inputs=f"{X}, float[2] n",
        output=Y,
        opset=13,
        w=WEIGHT,
    )
    done = rewrite(text, WantedInputs(), **old(last))
    assert done.error == 0
    assert done.nodes == {"Neg": 1, operator: 1, "Reshape": 1, "Add": 1}
    later = rewrite(text, WantedInputs(), **old((8, 5)))
    assert not later.optimized.rewritten


@pytest.mark.parametrize("bounds", ["n, m", "n", ", m"])
def test_fed_bounds_are_max_and_min(model_text, rewrite, bounds):
    text = model_text(
        f"n = Neg(l) m = Abs(l) y = Clip(x, {bounds})",
        inputs=f"{X}, float l",
        output=Y,
        opset=13,
    )
    done = rewrite(text, WantedInputs(), **old((8, 0)))
    assert done.error == 0
    assert "Clip" not in done.nodes
    assert not rewrite(text, WantedInputs(), **old((8, 2))).optimized.rewritten


def test_what_is_computed_from_what_is_fed_is_refused(model_text, rewrite):
    text = model_text("p = Abs(q) y = Pad(x, p)", inputs=f"{X}, int64[8] q", output=Y, opset=13)
    done = rewrite(text, WantedInputs(), only_look=True, **old((8, 0)))
    assert done.reasons == ["pads are computed from what is fed"]


def test_initializers_stay(model_text, rewrite):
    text = model_text(
        'y = Resize<mode="linear">(x, , s)',
        inputs=X,
        output=Y,
        opset=13,
        s=np.array([1, 1, 2, 2], np.float32),
    )
    for version in ((8, 0), (10, 3)):
        assert not rewrite(text, WantedInputs(), **old(version)).optimized.rewritten
    assert not rewrite(text, WantedInputs()).optimized.rewritten


def test_what_other_passes_read_is_computed_for_every_target(model_text, rewrite):
    text = model_text(
        "s = Shape(x) z = ConstantOfShape(s) a = Unsqueeze(x, five) b = Unsqueeze(z, five) "
        "c = Concat<axis=4>(a, b) m = Mul(s, twice) d = Reshape(c, m) y = Conv(d, w)",
        inputs=X,
        output=Y,
        opset=13,
        five=np.array([4]),
        twice=np.array([1, 1, 1, 2]),
        w=WEIGHT,
    )
    done = rewrite(text, WantedInputs(), FuseUpsampleConv(), form="transposed convolution")
    assert done.error == 0
    assert done.nodes == {"ConvTranspose": 1}

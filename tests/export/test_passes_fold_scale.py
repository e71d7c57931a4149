from __future__ import annotations

import numpy as np
import pytest

from edgeup.export.passes.fold_scale import FoldScale
from edgeup.export.passes.order import PASSES

# Powers of two: products with them are exact.
NORM = {
    "gamma": np.asarray([2, -4, 8, 0.5], np.float32),
    "beta": np.asarray([1, 2, 3, -2], np.float32),
    "mean": np.asarray([1, 0, -1, 4], np.float32),
    "variance": np.asarray([4, 16, 1, 1], np.float32),
}
BATCH_NORM = "y = BatchNormalization<epsilon=0.0>(a, gamma, beta, mean, variance)"
COLUMN = np.asarray([2, 4, -1, 0.5], np.float32).reshape(4, 1, 1)


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


SCALES = {
    "batch norm": BATCH_NORM,
    "multiply": "y = Mul(a, column)",
    "multiply from the left": "y = Mul(column, a)",
    "multiply by one number": "y = Mul(a, two)",
    "divide": "y = Div(a, column)",
    "add": "y = Add(a, column)",
    "subtract": "y = Sub(a, column)",
    "subtract from": "y = Sub(column, a)",
    "several": "b = Mul(a, column) c = Add(b, column) y = Sub(c, two)",
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("op", ["Conv", "Conv<group=2>", "ConvTranspose", "ConvTranspose<group=2>"])
def test_every_scale_goes_into_every_convolution(rewrite, model_text, op, scale, bias):
    group = 2 if "group" in op else 1
    shape = (4, 4 // group, 3, 2)  # co ci/g and ci co/g alike
    text = model_text(
        f"a = {op}(x, k{', bias' if bias else ''}) {SCALES[scale]}",
        inputs="float[2,4,5,6] x",
        output="float[n,o,h,w] y",
        k=kernel(*shape),
        bias=kernel(4, seed=1),
        column=COLUMN,
        two=np.float32(2),
        **NORM,
    )
    done = rewrite(text, FoldScale())
    assert done.nodes == {op.partition("<")[0]: 1}
    assert all(site.form == "folded" for site in done.optimized.sites)
    assert done.error == 0


@pytest.mark.parametrize(
    "moving",
    [
        "a = Concat<axis=1>(p, q)",
        'c = Concat<axis=1>(p, q, p, q, p, q, p, q) a = DepthToSpace<blocksize=2, mode="DCR">(c)',
        "a = Identity(r)",
    ],
)
def test_through_what_only_moves(rewrite, model_text, moving):
    text = model_text(
        f"p = Conv(x, k) q = Conv(x, k2) r = Concat<axis=1>(q, p) {moving} {BATCH_NORM}",
        inputs="float[2,3,4,5] x",
        output="float[n,o,h,w] y",
        k=kernel(2, 3, 3, 3),
        k2=kernel(2, 3, 3, 3, seed=1),
        **NORM,
    )
    text = text if "Identity" in moving else text.replace("r = Concat<axis=1>(q, p)", "")
    done = rewrite(text, FoldScale())
    assert "BatchNormalization" not in done.nodes
    assert done.error == 0


@pytest.mark.parametrize(
    ("body", "inputs", "reason"),
    [
        (f"a = Conv(x, w) {BATCH_NORM}", "float[1,3,5,6] x, float[4,3,3,3] w",
         "weights are not constant"),
        ("a = Conv(x, k) y = BatchNormalization(a, gamma, beta, w, variance)",
         "float[1,3,5,6] x, float[4] w", "parameters are not constant"),
        ("a = Conv(x, k) y, m, v = BatchNormalization<training_mode=1>(a, gamma, beta, mean, "
         "variance)", "float[1,3,5,6] x", "training mode"),
        ("p = Conv(x, k) a = Concat<axis=1>(p) r = ReduceMean(p) z = Mul(a, column) "
         "y = Add(z, r)", "float[1,3,5,6] x", "something else reads"),
    ],
)  # fmt: skip
def test_refusals_say_why(rewrite, model_text, body, inputs, reason):
    text = model_text(
        body, inputs=inputs, output="float[n,o,h,w] y", k=kernel(4, 3, 3, 3), column=COLUMN, **NORM
    )
    done = rewrite(text, FoldScale(), only_look=True)
    assert not done.optimized.sites
    assert any(reason in given for given in done.reasons), done.reasons


def test_weights_that_would_overflow_are_refused(rewrite, model_text):
    text = model_text(
        "a = Conv(x, k) y = Mul(a, many)",
        inputs="float16[1,3,5,6] x",
        output="float16[n,o,h,w] y",
        k=np.full((4, 3, 3, 3), 100, np.float16),
        many=np.asarray(1000, np.float16),
    )
    done = rewrite(text, FoldScale(), only_look=True)
    assert not done.optimized.sites
    assert any("do not fit float16" in reason for reason in done.reasons)


@pytest.mark.parametrize(
    "body",
    [
        "a = Relu(x) y = Mul(a, column)",
        "a = Conv(x, k) y = Mul(a, plane)",
        "a = Conv(x, k) y = Mul(a, a)",
        "a = Conv(x, k) r = Relu(a) s = Mul(a, column) y = Add(r, s)",
        "a = Conv(x, k) y = Div(column, a)",
        "a = Conv(x, k) b = Pad(a, one) y = Add(b, column)",
    ],
)
def test_other_graphs_stay(rewrite, model_text, body):
    text = model_text(
        body,
        inputs="float[1,4,5,6] x",
        output="float[n,o,h,w] y",
        k=kernel(4, 4, 3, 3),
        column=COLUMN,
        plane=kernel(3, 4),
        one=np.asarray([0, 0, 1, 1, 0, 0, 1, 1]),
    )
    done = rewrite(text, FoldScale(), only_look=True)
    assert not done.optimized.rewritten


def test_a_batch_norm_that_sinks_below_a_resize_folds_too(model_text, rewrite):
    text = model_text(
        'c = Conv(x, w) r = Resize<mode="nearest">(c, , s) '
        "y = BatchNormalization<epsilon=0.0>(r, g, b, m, v)",
        inputs="float[1,2,3,4] x",
        output="float[1,3,6,8] y",
        s=np.array([1, 1, 2, 2], np.float32),
        w=np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1) - 2,
        g=np.array([1, 2, 3], np.float32),
        b=np.array([0, 1, 2], np.float32),
        m=np.array([1, 0, -1], np.float32),
        v=np.array([1, 4, 1], np.float32),
    )
    done = rewrite(text, *PASSES, draw=lambda plan: plan.candidates[0] if plan.simpler else None)
    assert (done.error, done.nodes) == (0, {"Conv": 1, "Resize": 1})

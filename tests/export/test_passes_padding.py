"""Pad that a TensorRT lacks: every form against ONNX Runtime, and the refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.padding import Padding

OLD = {"backend": "tensorrt", "tensorrt": (8, 0)}
NEWER = {"backend": "tensorrt", "tensorrt": (8, 6)}
X, Y = "float[1,2,4,5] x", "float[a,b,c,d] y"


def pad(model_text, mode, pads, *, value=None, axes=None, inputs=X, output=Y, opset=13):
    arrays = {"p": np.array(pads)}
    if value is not None:
        arrays["v"] = np.array(value, np.float32)
    if axes is not None:
        arrays["a"] = np.array(axes)
    reads = ", ".join(("x", "p", *(["v"] if value is not None else []))) + (
        "" if axes is None else ", a" if value is not None else ", , a"
    )
    body = f'y = Pad<mode="{mode}">({reads})'
    return model_text(body, inputs=inputs, output=output, opset=opset, **arrays)


@given(
    mode=st.sampled_from(["constant", "edge", "reflect"]),
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    value=st.sampled_from([-1.5, 7.0]),
)
@settings(max_examples=40, deadline=None)
def test_every_mode_of_8_0(model_text, rewrite, mode, pads, value):
    whole = [0, 0, *pads[:2], 0, 0, *pads[2:]]
    text = pad(model_text, mode, whole, value=value if mode == "constant" else None)
    done = rewrite(text, Padding(), **OLD)
    assert done.error == 0
    if any(pads):
        assert set(done.nodes) == {"Concat" if mode == "constant" else "Gather"}


def test_zeros_on_three_axes_of_8_0(model_text, rewrite):
    done = rewrite(pad(model_text, "constant", [0, 1, 1, 0, 0, 0, 0, 2]), Padding(), **OLD)
    assert (done.error, done.nodes) == (0, {"Concat": 3})


def test_minus_infinity_of_8_0(model_text, rewrite):
    text = model_text(
        "t = Pad(x, p, v) y = MaxPool<kernel_shape=[3,3]>(t)",
        inputs=X,
        output=Y,
        opset=13,
        p=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        v=np.array(-np.finfo(np.float32).max, np.float32),
    )
    done = rewrite(text, Padding(), **OLD)
    assert (done.error, done.nodes) == (0, {"Concat": 2, "MaxPool": 1})


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_axes_before_10_0_are_said_with_pads_for_all(model_text, rewrite, mode):
    value = 3.0 if mode == "constant" else None
    text = pad(model_text, mode, [1, 2], value=value, axes=[-1], opset=18)
    done = rewrite(text, Padding(), **NEWER)
    assert (done.error, done.nodes) == (0, {"Pad": 1})
    assert len(next(iter(done.optimized.model.graph)).inputs) == (3 if value else 2)


def test_a_wrap_before_10_0_copies(model_text, rewrite):
    text = pad(model_text, "wrap", [0, 0, 1, 2, 0, 0, 3, 0], opset=19)
    done = rewrite(text, Padding(), **NEWER)
    assert (done.error, done.nodes) == (0, {"Gather": 2})


@pytest.mark.parametrize(
    ("mode", "pads", "version"),
    [
        ("constant", [0, 0, 1, 1, 0, 0, 1, 1], (8, 0)),
        ("constant", [0, 1, 1, 1, 0, 0, 0, 0], (8, 2)),
        ("edge", [0, 0, 1, 1, 0, 0, 1, 1], (8, 2)),
        ("wrap", [0, 0, 1, 1, 0, 0, 1, 1], (10, 0)),
    ],
)
def test_what_a_version_has_stays(model_text, rewrite, mode, pads, version):
    text = pad(model_text, mode, pads, opset=19)
    done = rewrite(text, Padding(), backend="tensorrt", tensorrt=version, only_look=True)
    assert not done.optimized.rewritten
    assert not done.reasons


@pytest.mark.parametrize(
    ("text_of", "reason"),
    [
        (
            lambda text: text(
                "y = Pad<mode='edge'>(x, p)".replace("'", '"'),
                inputs="float[1,2,h,5] x",
                output=Y,
                opset=13,
                p=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            ),
            "--shape",
        ),
        (
            lambda text: text(
                'y = Pad<mode="edge">(x, p)', inputs=f"{X}, int64[8] p", output=Y, opset=13
            ),
            "computed",
        ),
        (lambda text: pad(text, "edge", [0, 0, -1, 1, 0, 0, 1, 1]), "it crops"),
        (
            lambda text: text(
                "y = Pad(x, p, , a)",
                inputs=f"{X}, int64[1] a",
                output=Y,
                opset=18,
                p=np.array([1, 1]),
            ),
            "axes are computed",
        ),
    ],
)
def test_what_is_left_alone(model_text, rewrite, text_of, reason):
    done = rewrite(text_of(model_text), Padding(), only_look=True, **OLD)
    assert not done.optimized.rewritten
    assert any(reason in words for words in done.reasons)

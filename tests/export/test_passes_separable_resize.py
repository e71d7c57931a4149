"""Resizes that TensorRT lacks: every form against ONNX Runtime, and the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeup.export.passes.order import PASSES
from edgeup.export.passes.resize_axes import Axis, Sampling
from edgeup.export.passes.resize_matrix import matrix
from edgeup.export.passes.resize_stencil import stencil_of
from edgeup.export.passes.separable_resize import SeparableResize

RTX = {"backend": "tensorrt-rtx"}
SYMMETRIC = 'coordinate_transformation_mode="half_pixel_symmetric"'
CROP = 'coordinate_transformation_mode="tf_crop_and_resize"'
FOR_NN = 'coordinate_transformation_mode="tf_half_pixel_for_nn"'
WHOLE = [0, 0, 0, 0, 1, 1, 1, 1]


def resize(model_text, attributes, shape=(1, 2, 5, 6), *, opset=19, kind="float", **arrays):
    names = [name if name in arrays else "" for name in ("roi", "scales", "sizes")]
    while names and not names[-1]:
        names.pop()
    dims = ",".join(map(str, shape))
    rank = ",".join("?" for _ in shape)
    return model_text(
        f"y = Resize<{attributes}>(x, {', '.join(names)})",
        inputs=f"{kind}[{dims}] x",
        output=f"{kind}[{rank}] y",
        opset=opset,
        **{
            name: np.asarray(a, np.int64 if name == "sizes" else np.float32)
            for name, a in arrays.items()
        },
    )


@st.composite
def lacking_resizes(draw):
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    attributes = [f'mode="{mode}"']
    antialias = mode != "nearest" and draw(st.booleans())
    rules = ["half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
    rules += [] if antialias else ["tf_crop_and_resize"]
    rule = draw(st.sampled_from(rules))
    attributes.append(f'coordinate_transformation_mode="{rule}"')
    if antialias:
        attributes.append("antialias=1")
    if mode == "nearest":
        rounding = draw(
            st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
        )
        attributes.append(f'nearest_mode="{rounding}"')
    if mode == "cubic":
        attributes.append(f"exclude_outside={draw(st.integers(0, 1))}")
        attributes.append(f"cubic_coeff_a={draw(st.sampled_from([-0.5, -0.75]))}")
    arrays = {}
    if rule == "tf_crop_and_resize":
        edges = st.sampled_from([-0.3, 0.0, 0.1])
        arrays["roi"] = [0, 0, draw(edges), draw(edges), 1, 1, 1.2 + draw(edges), 0.9 + draw(edges)]
        attributes.append(f"extrapolation_value={draw(st.sampled_from([0.0, 5.0]))}")
    if draw(st.booleans()):
        factors = st.sampled_from([0.3, 0.5, 2 / 3, 1.0, 1.5, 2.0, 2.9])
        arrays["scales"] = [1, 1, draw(factors), draw(factors)]
    else:
        arrays["sizes"] = [1, 2, draw(st.integers(1, 9)), draw(st.integers(1, 9))]
    return ", ".join(attributes), arrays


@given(drawn=lacking_resizes(), form=st.integers(0, 2), height=st.integers(4, 7))
@settings(max_examples=150, deadline=None)
def test_every_form_is_the_resize(model_text, rewrite, drawn, form, height):
    attributes, arrays = drawn
    text = resize(model_text, attributes, (1, 2, height, 6), **arrays)

    def draw(plan):
        return plan.candidates[form % len(plan.candidates)]

    done = rewrite(text, SeparableResize(), draw=draw, exact="nearest" in attributes, **RTX)
    assume(np.ptp(done.before[0]) > 0)
    # Values up to 2 and cubic weights of both signs: 3.1e-6 was seen.
    assert done.error <= (0 if "nearest" in attributes else 5e-6)
    lacks = any(words in attributes for words in ("half_pixel_symmetric", "tf_crop", "antialias"))
    assert bool(done.optimized.rewritten) == lacks


@pytest.mark.parametrize(
    ("attributes", "arrays", "nodes"),
    [
        # Symmetric with a whole scale is half_pixel, and the whole image cropped is align_corners.
        (f'mode="linear", {SYMMETRIC}', {"scales": [1, 1, 2, 2]}, {"Resize": 1}),
        (f'mode="linear", {CROP}', {"roi": WHOLE, "sizes": [1, 2, 9, 9]}, {"Resize": 1}),
        # Antialias only matters where an axis shrinks.
        ('mode="cubic", antialias=1', {"scales": [1, 1, 2, 2]}, {"Resize": 1}),
        ('mode="linear", antialias=1', {"scales": [1, 1, 0.5, 0.5]}, {"MatMul": 2}),
        # Places at a boundary are not left to TensorRT's rounding.
        (f'mode="nearest", {SYMMETRIC}', {"scales": [1, 1, 0.7, 0.7]}, {"Gather": 2}),
        ('mode="linear", antialias=1', {"sizes": [1, 2, 5, 6]}, {"Identity": 1}),
    ],
)
def test_the_first_form(model_text, rewrite, attributes, arrays, nodes):
    done = rewrite(resize(model_text, attributes, **arrays), SeparableResize(), exact=False, **RTX)
    assert done.nodes == nodes
    assert done.error <= 3e-6


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_keep_aspect_ratio(model_text, rewrite, policy, mode):
    attributes = f'mode="{mode}", axes=[2,3], keep_aspect_ratio_policy="{policy}"'
    done = rewrite(
        resize(model_text, attributes, sizes=[7, 11]), SeparableResize(), exact=False, **RTX
    )
    assert done.error <= 3e-6
    assert "keep_aspect_ratio_policy" not in str(done.optimized.model.graph)


def test_the_window_of_a_mean_is_a_pooling(model_text, rewrite):
    # Half of each axis read at half the size: every place lies between two pixels.
    done = rewrite(
        resize(
            model_text,
            f'mode="linear", {CROP}',
            (1, 2, 6, 6),
            roi=[0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9],
            sizes=[1, 2, 3, 3],
        ),
        SeparableResize(),
        form="average pooling",
        exact=False,
        **RTX,
    )
    assert done.nodes == {"AveragePool": 1}
    assert done.error <= 3e-6


def test_equal_rows_moved_on_are_a_convolution(model_text, rewrite):
    text = resize(model_text, 'mode="cubic", antialias=1', (1, 3, 4, 4), scales=[1, 1, 0.25, 0.25])
    done = rewrite(text, SeparableResize(), form="depthwise convolution", exact=False, **RTX)
    assert done.nodes == {"Conv": 1}
    assert done.error <= 3e-6


def test_a_stencil_is_its_matrix():
    rows = np.kron(np.eye(3), np.full((1, 2), 0.5))
    found = stencil_of(rows)
    assert found is not None
    assert found.is_mean
    assert found.stride == 2
    assert stencil_of(rows[::-1]) is None
    assert stencil_of(np.eye(4)[1:]) is None  # it begins inside, where a pad would be negative


def test_rows_sum_to_one():
    axis = Axis(9, 4, np.float32(4 / 9))
    for mode in ("linear", "cubic"):
        rows = matrix(axis, Sampling(mode, antialias=True))
        assert np.allclose(rows.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert not np.allclose(rows, matrix(axis, Sampling(mode)))


@pytest.mark.parametrize(("kind", "code"), [("uint8", np.uint8), ("int32", np.int32)])
def test_nearest_of_integers_is_gathered(model_text, rewrite, kind, code):
    text = resize(
        model_text, 'mode="nearest"', (1, 2, 3, 4), opset=13, kind=kind, scales=[1, 1, 2, 2]
    )
    done = rewrite(text, SeparableResize(), **RTX)
    assert done.nodes == {"Gather": 2}
    assert done.after[0].dtype == code
    assert done.error == 0


def test_linear_on_outer_axes(model_text, rewrite):
    text = resize(model_text, 'mode="linear"', (3, 4, 5), scales=[2, 1.5, 0.5])
    assert not rewrite(text, SeparableResize(), **RTX).optimized.rewritten
    text = resize(
        model_text, 'mode="linear", antialias=1', (1, 2, 4, 5, 6), scales=[1, 1, 0.5, 0.5, 0.5]
    )
    done = rewrite(text, SeparableResize(), exact=False, **RTX)
    assert done.nodes == {"MatMul": 3, "Transpose": 2}
    assert done.error <= 3e-6


def test_opset_10_rounds_up_where_it_shrinks(model_text, rewrite):
    text = model_text(
        'y = Resize<mode="nearest">(x, s)',
        inputs="float[1,2,5,7] x",
        output="float[1,2,?,?] y",
        opset=10,
        s=np.asarray([1, 1, 0.6, 0.6], np.float32),
    )
    done = rewrite(text, SeparableResize(), **RTX)
    assert done.nodes == {"Gather": 2}
    assert done.error == 0


def test_an_open_batch_stays_open(model_text, rewrite):
    text = model_text(
        'y = Resize<mode="linear", antialias=1>(x, , s)',
        inputs="float[N,2,8,6] x",
        output="float[N,2,?,?] y",
        opset=19,
        s=np.asarray([1, 1, 0.5, 0.5], np.float32),
    )
    done = rewrite(text, SeparableResize(), exact=False, dims={"N": 3}, **RTX)
    assert done.nodes == {"MatMul": 2}
    assert done.error <= 3e-6


@st.composite
def sizes_of_an_open_batch(draw):
    """As exporters write them: the batch, or batch and channels, measured; the rest in numbers."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    attributes = draw(
        st.sampled_from(
            [
                'mode="linear", antialias=1',
                'mode="cubic", antialias=1',
                f'mode="linear", {SYMMETRIC}',
            ]
        )
    )
    measured, rest = draw(
        st.sampled_from(
            [
                ("m = Shape<start=0, end=2>(x)", [height, width]),
                ("m = Shape<end=1>(x)", [2, height, width]),
                ("all = Shape(x)\n m = Slice(all, zero, two)", [height, width]),
            ]
        )
    )
    return attributes, measured, rest


@given(drawn=sizes_of_an_open_batch(), height=st.integers(4, 7), batch=st.sampled_from([1, 3]))
@settings(max_examples=40, deadline=None)
def test_sizes_that_repeat_an_open_batch(model_text, rewrite, drawn, height, batch):
    attributes, measured, rest = drawn
    text = model_text(
        f"{measured}\n s = Concat<axis=0>(m, rest)\n y = Resize<{attributes}>(x, , , s)",
        inputs=f"float[N,2,{height},6] x",
        output="float[N,2,?,?] y",
        opset=19,
        rest=np.asarray(rest, np.int64),
        zero=np.asarray([0], np.int64),
        two=np.asarray([2], np.int64),
    )
    done = rewrite(text, SeparableResize(), exact=False, dims={"N": batch}, **RTX)
    assert not any(operator in done.nodes for operator in ("Shape", "Concat"))
    assert done.error <= 5e-6


@pytest.mark.parametrize(
    ("sizes", "attributes", "axis"),
    [
        ("other, channels, six, six", "", 0),  # a batch, but not this one's
        ("batch, channels, width, six", "", 2),
        # An axis that keeps its length could still have another scale.
        ("batch, channels, six, six", ', keep_aspect_ratio_policy="not_larger"', 0),
    ],
)
def test_an_open_axis_that_may_change_is_refused(model_text, rewrite, sizes, attributes, axis):
    text = model_text(
        f"""other = Shape<start=0, end=1>(z)
        batch = Shape<start=0, end=1>(x)
        width = Shape<start=3>(x)
        s = Concat<axis=0>({sizes})
        y = Resize<mode="linear", antialias=1{attributes}>(x, , , s)""",
        inputs="float[N,2,4,W] x, float[M,2] z",
        output="float[?,2,?,?] y",
        opset=19,
        channels=np.asarray([2], np.int64),
        six=np.asarray([6], np.int64),
    )
    done = rewrite(text, SeparableResize(), only_look=True, **RTX)
    assert not done.optimized.rewritten
    assert f"the length of axis {axis} is not known" in done.reasons[0]


@pytest.mark.parametrize(
    ("version", "attributes", "lacks"),
    [
        ((8, 4), 'mode="cubic"', True),
        ((8, 5), 'mode="cubic"', False),
        ((8, 6), 'mode="linear", axes=[2,3]', True),
        ((10, 3), 'mode="linear", axes=[2,3]', False),
        ((10, 3), 'mode="linear", antialias=1', True),
    ],
)
def test_what_a_version_lacks(model_text, rewrite, version, attributes, lacks):
    scales = [0.5, 0.5] if "axes" in attributes else [1, 1, 0.5, 0.5]
    text = resize(model_text, attributes, opset=18, scales=scales)
    done = rewrite(text, SeparableResize(), exact=False, backend="tensorrt", tensorrt=version)
    assert bool(done.optimized.rewritten) == lacks
    assert done.error <= 3e-6


@pytest.mark.parametrize(
    ("attributes", "inputs", "reason"),
    [
        ('mode="linear", antialias=1', "float[1,2,H,W] x", "length of axis 2 is not known"),
        ('mode="linear"', "uint8[1,2,4,4] x", "linear of UINT8 rounds by the backend's own rule"),
        (f'mode="linear", antialias=1, {FOR_NN}', "float[1,2,4,4] x", "reads beyond the input"),
    ],
)
def test_refusals(model_text, rewrite, attributes, inputs, reason):
    kind = inputs.split("[")[0]
    text = model_text(
        f"y = Resize<{attributes}>(x, , s)",
        inputs=inputs,
        output=f"{kind}[1,2,?,?] y",
        opset=19,
        s=np.asarray([1, 1, 0.5, 0.5], np.float32),
    )
    done = rewrite(text, SeparableResize(), only_look=True, **RTX)
    assert not done.optimized.rewritten
    assert len(done.reasons) == 1
    assert reason in done.reasons[0]


def test_computed_scales_are_refused(model_text, rewrite):
    text = model_text(
        'y = Resize<mode="linear", antialias=1>(x, , s)',
        inputs="float[1,2,4,4] x, float[4] s",
        output="float[1,2,?,?] y",
        opset=19,
    )
    reasons = rewrite(text, SeparableResize(), only_look=True, **RTX).reasons
    assert "computed at run time" in reasons[0]


def test_negative_axes_with_a_policy_are_refused(model_text, rewrite):
    attributes = 'mode="linear", axes=[-2,-1], keep_aspect_ratio_policy="not_larger"'
    text = resize(model_text, attributes, sizes=[3, 3])
    reasons = rewrite(text, SeparableResize(), only_look=True, **RTX).reasons
    assert "negative axes" in reasons[0]


def test_a_cpu_takes_everything_as_written(model_text, rewrite):
    text = resize(model_text, 'mode="linear", antialias=1', scales=[1, 1, 0.5, 0.5])
    assert not rewrite(text, *PASSES).optimized.rewritten

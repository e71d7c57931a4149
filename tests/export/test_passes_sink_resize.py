from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.sink_resize import SinkResize

NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'


@pytest.fixture(scope="module")
def model(model_text):
    """A model of some usual input, whose initializer s holds scales."""

    def text(body, *, inputs="float[1,4,3,5] x", output="float[n,c,h,w] y", **arrays):
        arrays.setdefault("s", np.asarray([1, 1, 2, 2], np.float32))
        return model_text(body, inputs=inputs, output=output, **arrays)

    return text


def weights(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize(
    "operator",
    [
        "Relu(r)", "LeakyRelu<alpha=0.1>(r)", "Sigmoid(r)", "Clip(r, low, six)", "HardSwish(r)",
        "PRelu(r, slope)", "Mul(r, slope)", "Div(six, slope2)", "Pow(r, six)", "Sub(six, r)",
        "Add(r, r)", "Max(r, slope, low)", "Neg(r)", "Cast<to=10>(r)", "Cast<to=6>(r)",
        "QuantizeLinear(r, steps, zeros)",
    ],
)  # fmt: skip
def test_nearest_moves_past_every_function_of_one_place_to_the_bit(rewrite, model, operator):
    kinds = {"Cast<to=10>(r)": "float16", "Cast<to=6>(r)": "int32"}
    kind = "uint8" if "Quantize" in operator else kinds.get(operator, "float")
    text = model(
        f"r = Resize<{NEAREST}>(x,,s) {'slope2 = Abs(r)' if 'slope2' in operator else ''} "
        f"y = {operator}",
        output=f"{kind}[1,4,6,10] y",
        low=np.float32(-1),
        six=np.float32(6),
        slope=weights(4, 1, 1) + 0.5,
        steps=np.asarray([0.5, 1, 2, 0.25], np.float32),
        zeros=np.asarray([3, 100, 7, 128], np.uint8),
    )
    done = rewrite(text, SinkResize(), exact=False)
    assert [node.op_type for node in done.optimized.model.graph][-1] == "Resize"
    assert all(site.why.endswith("a test wants it") for site in done.optimized.sites)
    before, after = done.pairs[0]
    assert done.error == 0 or np.array_equal(before, after, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"]),
    st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    st.tuples(st.integers(2, 5), st.integers(2, 5)),
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
)
def test_any_enlarging_resize_moves_past_a_pointwise_convolution(
    rewrite, model, mode, rule, rounding, size, more, group, bias, by_sizes, seed
):
    h, w = size
    tall, wide = h + more[0], w + more[1]
    text = model(
        f'r = Resize<mode="{mode}", coordinate_transformation_mode="{rule}", '
        f'nearest_mode="{rounding}"{", exclude_outside=1" if mode == "cubic" else ""}>'
        f"(x,,{',' if by_sizes else ''}s) y = Conv<group={group}>(r, w{', b' if bias else ''})",
        inputs=f"float[2,4,{h},{w}] x",
        output=f"float[2,6,{tall},{wide}] y",
        s=np.asarray([2, 4, tall, wide])
        if by_sizes
        else np.asarray([1, 1, tall / h + 1e-5, wide / w + 1e-5], np.float32),
        w=weights(6, 4 // group, 1, 1, seed=seed),
        b=weights(6, seed=seed + 1),
    )
    done = rewrite(text, SinkResize(), exact=mode == "nearest", seed=seed)
    assert list(done.nodes) == ["Conv", "Resize"]
    # 4 products of magnitude 6 each, and cubic weights below 1.4 per axis.
    assert done.error <= (0 if mode == "nearest" else 2e-5)


def test_equally_resized_maps_are_joined_before_one_resize(rewrite, model):
    text = model(
        f"p = Resize<{NEAREST}>(x,,s) q = Resize<{NEAREST}>(x2,,s) "
        "a = Add(p, q) n = BatchNormalization(a, g, b, m, v) c = Relu(n) y = Mul(c, z)",
        inputs="float[1,4,3,5] x, float[1,4,3,5] x2, float[1,4,1,1] z",
        output="float[1,4,6,10] y",
        **dict.fromkeys("gbm", weights(4, seed=3)),
        v=np.asarray([1, 4, 0.25, 2], np.float32),
    )
    done = rewrite(text, SinkResize(), exact=False)
    assert list(done.nodes) == ["Add", "BatchNormalization", "Relu", "Mul", "Resize"]
    assert done.error == 0


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_concat_of_equally_resized_maps_is_resized_once(rewrite, model, mode):
    text = model(
        f'p = Resize<mode="{mode}">(x,,,s) q = Resize<mode="{mode}">(x2,,,s) '
        "y = Concat<axis=-3>(q, p, q)",
        inputs="float[1,4,3,5] x, float[1,4,3,5] x2",
        output="float[1,12,7,10] y",
        s=np.asarray([1, 4, 7, 10]),
    )
    done = rewrite(text, SinkResize())
    assert done.nodes == {"Concat": 1, "Resize": 1}
    assert done.error == 0


@pytest.mark.parametrize(
    ("opset", "resize"),
    [
        (8, 'Upsample<mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]>(x)'),
        (9, 'Upsample<mode="nearest">(x, s)'),
        (10, 'Resize<mode="nearest">(x, s)'),
        (11, 'Resize<mode="nearest">(x, roi, s)'),
        (18, 'Resize<mode="nearest", axes=[2, 3]>(x,,t)'),
        (18, 'Resize<mode="nearest", axes=[3, 2]>(x,,,u)'),
    ],
)
def test_every_opset_s_resize_is_read_and_kept(rewrite, model, opset, resize):
    text = model(
        f"r = {resize} y = Relu(r)",
        output="float[1,4,6,10] y",
        opset=opset,
        roi=np.zeros(0, np.float32),
        t=np.asarray([2, 2], np.float32),
        u=np.asarray([10, 6]),
    )
    done = rewrite(text, SinkResize())
    assert list(done.nodes) == ["Relu", resize.split("<")[0]]
    assert done.error == 0


def test_a_dynamic_batch_and_size_move_where_the_scales_are_constant(rewrite, model):
    text = model(
        f"r = Resize<{NEAREST}>(x,,s) y = Relu(r)",
        inputs="float[n,4,h,w] x",
        output="float[n,4,h2,w2] y",
    )
    done = rewrite(text, SinkResize(), dims={"n": 2, "h": 3, "w": 4})
    assert list(done.nodes) == ["Relu", "Resize"]
    assert done.error == 0


@pytest.mark.parametrize(
    ("body", "given_arrays", "reason"),
    [
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Add(r, z)",
            {},
            "it also reads z [1, 4, 6, 10], which is not resized",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) second = Transpose(r) y = Relu(r)",
            {},
            "r, the resized map, is read elsewhere as well",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) q = Resize(x,,s) y = Add(r, q)",
            {},
            "r, q are resized by different grids",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Relu(r)",
            {"s": np.asarray([1, 1, 0.5, 0.5], np.float32)},
            "shrinks its map",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Relu(r)",
            {"s": np.asarray([1, 2, 2, 2], np.float32)},
            "it resizes the batch or the channels",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,t) y = Relu(r)",
            {},
            "its scales are not constants: --shape would fix them",
        ),
        (
            'r = Resize<coordinate_transformation_mode="tf_crop_and_resize">(x,roi,s) y = Relu(r)',
            {"roi": np.asarray([0, 0, 0, 0, 1, 1, 0.5, 0.5], np.float32)},
            "it crops (tf_crop_and_resize)",
        ),
        (
            'r = Resize<keep_aspect_ratio_policy="not_larger", axes=[2,3]>(x,,,d) y = Relu(r)',
            {"d": np.asarray([6, 7])},
            "keep_aspect_ratio_policy moves the sizes that it is given",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Cast<to=11>(r)",
            {},
            "the result is float64, for which backends have no resize",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Conv<strides=[2,2]>(r, w)",
            {"w": weights(4, 4, 1, 1)},
            "its strides are [2, 2] and its pads []: wanted 1 and 0",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Concat<axis=2>(r, r)",
            {},
            "it joins along axis 2, which is resized",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) y = Concat<axis=1>(r, z)",
            {},
            "it also joins z, not resized",
        ),
        (
            f"r = Resize<{NEAREST}>(x,,s) k2 = Transpose(r) y = Conv(r, k2)",
            {},
            None,
        ),
        ('r = Resize<mode="linear">(x,,s) y = Relu(r)', {}, None),
        ('r = Resize<mode="linear">(x,,s) y = Mul(r, r)', {}, None),
    ],
)
def test_near_misses_are_left_alone_with_a_reason(rewrite, model, body, given_arrays, reason):
    inputs = "float[1,4,3,5] x, float[1,4,6,10] z, float[4] t, float[4,4,1,1] k"
    kind = "double" if body.endswith("Cast<to=11>(r)") else "float"
    output = f"{kind}[n,c,h,w] y" + (", float[n,c,h,w] second" if "second" in body else "")
    text = model(body, inputs=inputs, output=output, opset=18, **given_arrays)
    done = rewrite(text, SinkResize(), only_look=True)
    assert not done.optimized.rewritten
    assert done.reasons == [] if reason is None else any(reason in r for r in done.reasons)


def test_weights_that_can_be_fed_go_along(rewrite, model):
    text = model(
        f"r = Resize<{NEAREST}>(x,,s) y = Conv(r, fed)",
        inputs="float[1,4,3,5] x, float[2,4,1,1] fed",
    )
    done = rewrite(text, SinkResize())
    assert list(done.nodes) == ["Conv", "Resize"]
    assert done.error == 0


def test_inside_a_branch_a_resize_sinks_but_one_outside_stays(rewrite, model):
    branches = (
        "then_branch = t () => (float[n,c,h,w] a) { a = Relu(r) }, "
        f"else_branch = e () => (float[n,c,h,w] b) {{ q = Resize<{NEAREST}>(x,,s) b = Relu(q) }}"
    )
    text = model(
        f"r = Resize<{NEAREST}>(x,,s) y = If(c)<{branches}>",
        inputs="float[1,4,3,5] x, bool c",
    )
    done = rewrite(text, SinkResize())
    assert [site.nodes[0] for site in done.optimized.rewritten] != []
    assert done.reasons == ["r is resized outside of its subgraph"]
    assert done.error == 0

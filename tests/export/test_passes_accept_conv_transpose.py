"""Transposed convolutions that TensorRT lacks: zero taps give the same numbers, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.accept_conv_transpose import AcceptConvTranspose

RTX = {"backend": "tensorrt-rtx"}


def transposed(model_text, extents, weight, *, sizes=None, bias=None, weights_fed=False, **numbers):
    attributes = ", ".join(
        f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
        for name, value in numbers.items()
    )
    arrays = {} if weights_fed else {"w": weight}
    arrays |= {} if bias is None else {"b": bias}
    channels, made = weight.shape[0], weight.shape[1] * numbers.get("group", 1)
    dims = ",".join(map(str, (1, channels, *extents)))
    fed = f", float[{','.join(map(str, weight.shape))}] w" if weights_fed else ""
    return model_text(
        f"y = ConvTranspose<{attributes}>(x, w{'' if bias is None else ', b'})",
        inputs=f"float[{dims}] x{fed}",
        output=f"float[1,{','.join(map(str, [made, *(sizes or '?' * len(extents))]))}] y",
        **arrays,
    )


@st.composite
def sites(draw):
    axes = draw(st.integers(1, 3))

    def each(low, high):
        return [draw(st.integers(low, high)) for _ in range(axes)]

    kernel, group = each(2, 4), draw(st.integers(1, 2))
    numbers = {"strides": each(1, 3), "dilations": each(1, 2), "group": group}
    numbers["pads"] = each(0, 1) + each(0, 1)
    # ONNX Runtime wants it below the stride.
    numbers["output_padding"] = [draw(st.integers(0, s - 1)) for s in numbers["strides"]]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    weight = random.integers(-3, 4, (2 * group, 2, *kernel)).astype(np.float32)
    bias = random.integers(-3, 4, 2 * group).astype(np.float32) if draw(st.booleans()) else None
    return each(3, 5), weight, bias, numbers


@given(site=sites(), version=st.sampled_from([(8, 0), (8, 2), (8, 5), (10, 3), None]))
@settings(max_examples=120, deadline=None)
def test_zero_taps_change_nothing(model_text, rewrite, site, version):
    extents, weight, bias, numbers = site
    text = transposed(model_text, extents, weight, bias=bias, **numbers)
    done = rewrite(text, AcceptConvTranspose(), backend="tensorrt", tensorrt=version)
    assert done.error == 0
    strided = any(s > 1 for s in numbers["strides"])
    if strided and any(d > 1 for d in numbers["dilations"]):
        assert done.optimized.rewritten


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("kernel", [4, 5])
def test_auto_pad_becomes_pads(model_text, rewrite, auto, kernel):
    weight = np.arange(2 * 1 * kernel, dtype=np.float32).reshape(2, 1, kernel)
    text = transposed(
        model_text,
        [4],
        weight,
        sizes=None if auto == "VALID" else [8],
        strides=[2],
        auto_pad=auto,
    )
    done = rewrite(text, AcceptConvTranspose(), **RTX)
    assert done.error == 0
    (node,) = done.optimized.model.graph
    assert set(node.attributes) == {"strides", "dilations", "pads", "group"}


@pytest.mark.parametrize("auto", ["SAME_UPPER", "NOTSET"])
def test_output_shape_becomes_pads(model_text, rewrite, auto):
    weight = np.arange(2 * 1 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    numbers = {"strides": [2, 2], "output_shape": [8, 7], "auto_pad": auto}
    done = rewrite(
        transposed(model_text, [4, 4], weight, sizes=[8, 7], **numbers),
        AcceptConvTranspose(),
        **RTX,
    )
    assert done.error == 0
    assert "output_shape" not in next(iter(done.optimized.model.graph)).attributes


@pytest.mark.parametrize(("version", "symmetric"), [((8, 2), True), ((8, 4), False)])
def test_old_3d_pads(model_text, rewrite, version, symmetric):
    weight = np.arange(2 * 27, dtype=np.float32).reshape(2, 1, 3, 3, 3)
    text = transposed(model_text, [3, 3, 3], weight, strides=[2, 2, 2], pads=[1, 0, 1, 1, 1, 0])
    done = rewrite(text, AcceptConvTranspose(), backend="tensorrt", tensorrt=version)
    assert done.error == 0
    assert bool(done.optimized.rewritten) == symmetric
    if symmetric:
        pads = next(iter(done.optimized.model.graph)).attributes["pads"].as_ints()
        assert list(pads[:3]) == list(pads[3:])


@pytest.mark.parametrize(("version", "needed"), [((8, 4), True), ((8, 5), False)])
def test_old_output_padding_on_one_axis(model_text, rewrite, version, needed):
    weight = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    text = transposed(model_text, [4], weight, strides=[2], pads=[1, 1], output_padding=[1])
    done = rewrite(text, AcceptConvTranspose(), backend="tensorrt", tensorrt=version)
    assert done.error == 0
    assert bool(done.optimized.rewritten) == needed


def test_output_padding_beyond_the_end_is_offered_not_imposed(model_text, rewrite):
    weight = np.arange(2 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    text = transposed(model_text, [4, 4], weight, strides=[2, 2], output_padding=[1, 1])
    plans = []

    def draw(plan):
        plans.append(plan)

    rewrite(text, AcceptConvTranspose(), draw=draw, settles=False, **RTX)
    (plan,) = plans
    assert not plan.required
    assert not plan.simpler


@pytest.mark.parametrize(("weights_fed", "reason"), [(True, "its weights are not constant")])
def test_refusals(model_text, rewrite, weights_fed, reason):
    weight = np.ones((2, 1, 3, 3), np.float32)
    text = transposed(
        model_text, [4, 4], weight, weights_fed=weights_fed, strides=[2, 1], dilations=[1, 2]
    )
    done = rewrite(text, AcceptConvTranspose(), only_look=True, **RTX)
    assert not done.optimized.rewritten
    assert reason in done.reasons[0]
    assert "strides [2, 1] with dilations [1, 2]" in done.reasons[0]


def test_open_sizes_refuse_same_padding(model_text, rewrite):
    text = model_text(
        'y = ConvTranspose<strides=[2], dilations=[2], auto_pad="SAME_UPPER">(x, w)',
        inputs="float[1,2,L] x",
        output="float[1,1,M] y",
        w=np.ones((2, 1, 3), np.float32),
    )
    assert "--shape" in rewrite(text, AcceptConvTranspose(), only_look=True, **RTX).reasons[0]


def test_what_tensorrt_takes_stays(model_text, rewrite):
    weight = np.arange(2 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    for numbers in ({"strides": [2, 2]}, {"dilations": [2, 2]}, {"pads": [0, 1, 1, 0]}):
        done = rewrite(
            transposed(model_text, [4, 4], weight, **numbers), AcceptConvTranspose(), **RTX
        )
        assert not done.optimized.rewritten
        assert not done.reasons


def test_tensorrt_builds_the_undilated_form(model_text, rewrite, builds_for_rtx):
    import onnx
    import onnx_ir as ir

    weight = np.arange(2 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    text = transposed(model_text, [4, 4], weight, strides=[2, 2], dilations=[2, 2])
    assert builds_for_rtx(onnx.parser.parse_model(text)) == "does not build"
    done = rewrite(text, AcceptConvTranspose(), **RTX)
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


@pytest.mark.parametrize(
    "numbers",
    [
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER"},
        {"output_shape": [8, 7]},
        {"auto_pad": "SAME_UPPER", "output_shape": [8, 7]},
    ],
    ids=str,
)
@pytest.mark.parametrize("dilation", [1, 2])
def test_an_output_that_is_declared_open_hides_nothing(model_text, rewrite, numbers, dilation):
    weight = np.arange(2 * 1 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    text = transposed(
        model_text,
        [4, 4],
        weight,
        sizes=["high", "wide"],
        strides=[2, 2],
        dilations=[dilation] * 2,
        **numbers,
    )
    done = rewrite(text, AcceptConvTranspose(), **RTX)
    assert done.error == 0
    assert len(done.optimized.rewritten) == 1
    (y,) = done.optimized.model.graph.outputs
    assert [str(dim) for dim in y.shape] == ["1", "1", "high", "wide"]
    (site,) = done.optimized.sites
    assert site.macs_after is not None

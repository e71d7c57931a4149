from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgeup.export.passes.upsampled import Upsampled, upsampled_source

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def graph_of(text):
    import onnx
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    proto = onnx.parser.parse_model(text)
    return proto, ShapeInferencePass()(ir.from_proto(proto)).model.graph


@pytest.mark.parametrize(("rule", "rounding"), list(itertools.product(COORDINATES, ROUNDINGS)))
def test_nearest_is_known_exactly_where_onnx_runtime_repeats(model_text, rule, rounding):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    agreed = []
    for factor, extent in itertools.product((2, 3, 4, 5), (5, 64)):
        text = model_text(
            f'y = Resize<mode="nearest", coordinate_transformation_mode="{rule}", '
            f'nearest_mode="{rounding}">(x,,s)',
            inputs=f"float[1,1,{extent}] x",
            output="float[a,b,c] y",
            s=np.asarray([1, 1, factor], np.float32),
        )
        proto, graph = graph_of(text)
        x = np.arange(extent, dtype=np.float32).reshape(1, 1, -1)
        session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        repeats = np.array_equal(session.run(None, {"x": x})[0], np.repeat(x, factor, 2))
        found = upsampled_source(graph.outputs[0])
        if rule == "align_corners":  # rounds to a repetition at factor 2 only: left alone
            assert not isinstance(found, Upsampled)
        else:
            assert isinstance(found, Upsampled) is repeats, (factor, extent)
        agreed.append(repeats)
    if rule == "half_pixel":
        assert any(agreed) is rounding.startswith("round")
    if (rule, rounding) == ("asymmetric", "floor"):
        assert all(agreed)


@pytest.mark.parametrize(
    ("body", "kind", "factors", "places", "extra"),
    [
        ("u = Upsample(x, s)", "nearest", (2, 3), (0, 0), (0, 0)),
        ("u = ConvTranspose<group=2, strides=[2,3]>(x, z)", "zeros", (2, 3), (1, 2), (0, 0)),
        (
            "u = ConvTranspose<group=2, strides=[2,3], output_padding=[1,0]>(x, z)",
            *("zeros", (2, 3), (1, 2), (1, 0)),
        ),
        (
            "u = ConvTranspose<group=2, strides=[1,1], dilations=[1,1]>(x, z)",
            *(None, None, None, None),
        ),
        ("a = Gather<axis=2>(x, h) u = Gather<axis=3>(a, w)", "nearest", (2, 3), (0, 0), (0, 0)),
        ("u = Gather<axis=2>(x, back)", *(None, None, None, None)),
        (
            "a = Reshape(x, cells) b = Pad(a, begins) u = Reshape(b, big)",
            *("zeros", (1, 2), (0, 1), (0, 0)),
        ),
    ],
)
def test_what_is_read(model_text, body, kind, factors, places, extra):
    z = np.zeros((2, 1, 2, 3), np.float32)
    z[..., 1, 2] = 1
    text = model_text(
        body,
        inputs="float[1,2,4,5] x",
        output="float[a,b,c,d] u",
        opset=9 if "Upsample" in body else 17,
        s=np.asarray([1, 1, 2, 3], np.float32),
        z=z,
        h=np.arange(8) // 2,
        w=np.arange(15) // 3,
        back=3 - np.arange(8) // 2,
        cells=np.asarray([1, 2, 4, 5, 1]),
        begins=np.asarray([0, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
        big=np.asarray([1, 2, 4, 10]),
    )
    found = upsampled_source(graph_of(text)[1].outputs[0])
    if kind is None:
        assert found is None
        return
    assert isinstance(found, Upsampled)
    assert (found.kind, found.factors) == (kind, factors)
    assert (found.places, found.extra) == (places, extra)

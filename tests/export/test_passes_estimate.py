"""The estimate ranks forms as they were measured: one x86 core, ONNX Runtime, one thread."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.export.passes.choose import static_choice
from edgeup.export.passes.contract import Aim
from edgeup.export.passes.estimate import KINDS, efficiency_for, estimate_ms, kind_of
from edgeup.export.passes.fuse_upsample_conv import FuseUpsampleConv

CPU = Aim("cpu", "onnxruntime", None, 17)
NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
PHASES_BOX = "phase convolutions, then a box"
TRANSPOSED_BOX = "transposed convolution, then a box"


def site(kind, channels, out, extent, taps, group=1):
    """Upsampling by 2 and a convolution; weights of ones, since only shapes count."""
    import onnx
    import onnx_ir as ir

    held = {"k": np.ones((out, channels // group, taps, taps), np.float32)}
    rest = {"pads": [taps // 2] * 4, "group": group}
    if kind == "zeros":
        held["z"] = np.zeros((channels, 1, 2, 2), np.float32)
        held["z"][..., 0, 0] = 1
        up = onnx.helper.make_node(
            "ConvTranspose", ["x", "z"], ["u"], strides=[2, 2], group=channels
        )
    else:
        held["s"] = np.asarray([1, 1, 2, 2], np.float32)
        up = onnx.helper.make_node(
            "Resize", ["x", "", "s"], ["u"], mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
    shapes = (1, channels, extent, extent), (1, out, 2 * extent, 2 * extent)
    graph = onnx.helper.make_graph(
        [up, onnx.helper.make_node("Conv", ["u", "k"], ["y"], **rest)],
        "site",
        [onnx.helper.make_tensor_value_info("x", 1, shapes[0])],
        [onnx.helper.make_tensor_value_info("y", 1, shapes[1])],
        [onnx.numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8))


def chosen(model, aim=CPU):
    from edgeup.export.optimize import optimize

    choose = static_choice(efficiency_for(aim))
    return optimize(model, aim, choose, passes=(FuseUpsampleConv(),)).sites[0].form


@pytest.mark.parametrize(
    ("shape", "fast"),
    [
        # Milliseconds as measured: as written, sub-pixel, phase, transposed; with a box behind
        # it, sub-pixel, phase, transposed.
        (("zeros", 256, 128, 14, 5), {"phase convolutions"}),  # 5.9 2.2 1.8 2.4
        (("nearest", 256, 128, 14, 5), {PHASES_BOX}),  # 13.8 5.4 5.4 8.1; 5.9 4.4 5.3
        (
            ("nearest", 256, 128, 14, 3),  # 5.1 3.1 2.8 3.3; 3.2 2.1 1.9
            {PHASES_BOX, TRANSPOSED_BOX},
        ),
        (("nearest", 64, 32, 112, 3), {TRANSPOSED_BOX}),  # 22.4 14.7 14.7 14.2; 16.1 12.8 9.9
        (
            ("nearest", 32, 1, 112, 5),  # 17.5 1.7 5.7 0.8; 1.9 4.1 0.8
            {"transposed convolution", TRANSPOSED_BOX},
        ),
        (("nearest", 256, 256, 14, 5, 256), {"as written"}),  # phases: 1.35 to 2.1 times slower
        (("nearest", 64, 64, 56, 5, 64), {"as written"}),
        (("nearest", 128, 128, 14, 3, 128), {"as written"}),
    ],
)
def test_the_form_is_one_that_was_measured_fast(shape, fast):
    assert chosen(site(*shape)) in fast


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_what_could_not_be_measured_says_so_and_is_careful(backend):
    aim = Aim("test", backend, (10, 3), 17)
    assert not efficiency_for(aim).measured
    assert "estimate" in efficiency_for(aim).source
    assert efficiency_for(CPU).measured
    assert chosen(site("nearest", 64, 64, 56, 5, 64), aim) == "as written"


def test_every_kind_has_a_speed_for_every_backend():
    for backend in ("onnxruntime", "tensorrt", "tensorrt-rtx"):
        given = efficiency_for(Aim("test", backend, None, 17))
        assert set(given.kinds) == set(KINDS)
        for speed in given.kinds.values():
            assert speed.gmacs_per_s is not None or speed.gbytes_per_s is not None


def test_an_unknown_backend_is_named():
    with pytest.raises(EdgeupError, match=r"unknown backend 'onnxruntim': did you mean"):
        efficiency_for(Aim("test", "onnxruntim", None, 17))


def test_more_work_takes_longer_and_unknown_shapes_take_none():
    from onnx_ir.passes.common import ShapeInferencePass

    speeds = efficiency_for(CPU)
    small, large = (
        ShapeInferencePass()(site("zeros", 8, 8, extent, 3)).model for extent in (16, 32)
    )
    few, many = estimate_ms(small, speeds), estimate_ms(large, speeds)
    assert few is not None
    assert many is not None
    assert 0 < few < many
    assert [kind_of(node) for node in small.graph] == ["depthwise-transposed", "dense"]
    assert estimate_ms(site("zeros", 8, 8, 16, 3), speeds) is None


@pytest.mark.parametrize("required", [True, False])
def test_a_form_of_nothing_but_constants_takes_no_time(required):
    from edgeup.export.shapes import infer_shapes

    written = site("nearest", 8, 8, 8, 3)
    infer_shapes(written)
    folded = written.clone()
    for node in reversed(list(folded.graph)):
        folded.graph.remove(node)
    form = SimpleNamespace(form="folded")
    plan = SimpleNamespace(simpler=False, required=required, candidates=(form,))
    models = SimpleNamespace(as_written=written, form=lambda candidate: folded)
    assert static_choice(efficiency_for(CPU))(plan, models).candidate is form

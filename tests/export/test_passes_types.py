"""Types that TensorRT lacks: moved as int32, or reported."""

from __future__ import annotations

import numpy as np
import pytest

from edgeup.export.passes.block_moves import BlockMoves
from edgeup.export.passes.moved_types import MovedTypes
from edgeup.export.passes.narrowed_float64 import NarrowedFloat64
from edgeup.export.passes.separable_resize import SeparableResize

RTX = {"backend": "tensorrt-rtx"}

MOVES = {
    "Transpose<perm=[0,2,1,3]>(x)": ((1, 4, 2, 3), (1, 2, 4, 3)),
    "Concat<axis=1>(x, x)": ((1, 2, 2, 2), (1, 4, 2, 2)),
    "Concat<axis=1>(x, held)": ((1, 1, 1, 2), (1, 2, 1, 2)),
    "Reshape(x, shape)": ((1, 2, 2, 3), (2, 6)),
}


def moving(model_text, body, kind="uint8"):
    before, after = (",".join(map(str, shape)) for shape in MOVES[body])
    arrays = {"held": np.asarray([[[[200, 7]]]], np.uint8), "shape": np.asarray([2, 6], np.int64)}
    return model_text(
        f"y = {body}",
        inputs=f"{kind}[{before}] x",
        output=f"{kind}[{after}] y",
        opset=13,
        **{name: array for name, array in arrays.items() if name in body},
    )


@pytest.mark.parametrize("body", MOVES)
def test_uint8_moves_as_int32(model_text, rewrite, builds_for_rtx, body):
    import onnx
    import onnx_ir as ir

    text = moving(model_text, body)
    assert builds_for_rtx(onnx.parser.parse_model(text)) != ""
    done = rewrite(text, MovedTypes(), settles=True, **RTX)
    assert done.nodes["Cast"] == 2
    assert done.error == 0
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


def test_uint8_nearest_resize_in_all(model_text, rewrite, builds_for_rtx):
    import onnx_ir as ir

    text = model_text(
        'y = Resize<mode="nearest">(x, , s)',
        inputs="uint8[1,2,3,4] x",
        output="uint8[1,2,6,8] y",
        opset=13,
        s=np.asarray([1, 1, 2, 2], np.float32),
    )
    done = rewrite(text, SeparableResize(), MovedTypes(), **RTX)
    assert done.error == 0
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


def test_uint8_stays_int32_between_moves(model_text, rewrite, builds_for_rtx):
    import onnx_ir as ir

    text = model_text(
        "a = Transpose<perm=[0,1,3,2]>(x) b = Concat<axis=1>(a, a) c = Flatten(a) "
        "y = DepthToSpace<blocksize=2>(b)",
        inputs="uint8[1,2,3,4] x",
        output="uint8[1,1,8,6] y, uint8[1,24] c",
        opset=13,
    )
    done = rewrite(text, BlockMoves(), MovedTypes(), **RTX)
    assert done.error == 0
    assert done.nodes["Cast"] == 3  # one in, two out
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


def test_a_cast_that_wraps_stays(model_text, rewrite):
    text = model_text(
        "a = Cast<to=2>(x) y = Cast<to=6>(a)",
        inputs="int32[1,4] x",
        output="int32[1,4] y",
        opset=13,
    )
    assert not rewrite(text, MovedTypes(), only_look=True, **RTX).optimized.rewritten


BLOCKS = {
    "DepthToSpace<blocksize=2>(x)": ((2, 8, 2, 3), (2, 2, 4, 6)),
    'DepthToSpace<blocksize=2, mode="CRD">(x)': ((2, 8, 2, 3), (2, 2, 4, 6)),
    "SpaceToDepth<blocksize=2>(x)": ((2, 2, 4, 6), (2, 8, 2, 3)),
}


def in_blocks(model_text, body, kind):
    before, after = (",".join(map(str, shape)) for shape in BLOCKS[body])
    return model_text(
        f"y = {body}", inputs=f"{kind}[{before}] x", output=f"{kind}[{after}] y", opset=13
    )


@pytest.mark.parametrize("body", BLOCKS)
def test_blocks_are_written_out(model_text, rewrite, builds_for_rtx, body):
    import onnx
    import onnx_ir as ir

    for kind in ("bool", "uint8"):
        text = in_blocks(model_text, body, kind)
        assert kind.upper() in builds_for_rtx(onnx.parser.parse_model(text))
        done = rewrite(text, BlockMoves(), MovedTypes(), only_look=True, **RTX)
        assert "DepthToSpace" not in done.nodes
        assert "SpaceToDepth" not in done.nodes
        assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""


@pytest.mark.parametrize("body", BLOCKS)
def test_blocks_keep_their_values(model_text, body):
    """In float32: ONNX Runtime moves no blocks of the types in question."""
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort

    from edgeup.export.passes.block_moves import _Steps
    from edgeup.export.passes.contract import Candidate, Plan
    from edgeup.export.passes.small_model import site_as

    proto = onnx.parser.parse_model(in_blocks(model_text, body, "float"))
    x = np.arange(np.prod(BLOCKS[body][0]), dtype=np.float32).reshape(BLOCKS[body][0])

    def run(model):
        session = ort.InferenceSession(model.SerializeToString())
        return session.run(None, {session.get_inputs()[0].name: x})[0]

    model = ir.from_proto(proto)
    (node,) = model.graph
    steps = Candidate("steps", _Steps(node, x.shape))
    plan = Plan((node,), (node.inputs[0],), tuple(node.outputs), (steps,), "a test")
    written = ir.to_proto(site_as(plan, steps, model))
    assert np.array_equal(run(written), run(proto))


def test_blocks_of_unknown_shape_are_refused(model_text, rewrite):
    text = model_text(
        "y = DepthToSpace<blocksize=2>(x)",
        inputs="uint8[1,4,H,W] x",
        output="uint8[1,1,?,?] y",
        opset=13,
    )
    done = rewrite(text, BlockMoves(), only_look=True, **RTX)
    assert not done.optimized.rewritten
    assert "--shape" in done.reasons[0]


def test_bool_is_moved_as_it_is(model_text, rewrite):
    kept = moving(model_text, "Transpose<perm=[0,2,1,3]>(x)", "bool")
    assert not rewrite(kept, MovedTypes(), only_look=True, **RTX).optimized.rewritten


def test_where_of_bool_before_8_5(model_text, rewrite):
    text = model_text(
        "y = Where(c, x, z)",
        inputs="bool[3,3] c, bool[3,3] x, bool[3,3] z",
        output="bool[3,3] y",
        opset=16,
    )
    aim = {"backend": "tensorrt", "tensorrt": (8, 2)}
    done = rewrite(text, MovedTypes(), only_look=True, **aim)
    assert done.nodes == {"Cast": 3, "Where": 1}  # two in, one back
    assert not rewrite(text, MovedTypes(), only_look=True, **RTX).optimized.rewritten


def test_uint8_before_9_is_refused(model_text, rewrite):
    text = moving(model_text, "Reshape(x, shape)")
    aim = {"backend": "tensorrt", "tensorrt": (8, 6)}
    done = rewrite(text, MovedTypes(), only_look=True, **aim)
    assert not done.optimized.rewritten
    assert "no Cast from it" in done.reasons[0]


def test_float64_is_reported_where_it_begins(model_text, rewrite):
    text = model_text(
        "a = Relu(x) b = Add(a, a) y = Cast<to=1>(b)",
        inputs="double[2,3] x",
        output="float[2,3] y",
    )
    done = rewrite(text, NarrowedFloat64(), only_look=True, **RTX)
    assert not done.optimized.rewritten
    assert len(done.reasons) == 1
    assert "close, not equal" in done.reasons[0]
    assert not rewrite(text, NarrowedFloat64(), only_look=True).reasons


def test_three_dimensional_pixel_shuffle_is_taken_as_it_is(model_text, builds_for_rtx):
    import onnx

    text = model_text(
        "p = Reshape(x, a) q = Transpose<perm=[0,1,5,2,6,3,7,4]>(p) y = Reshape(q, b)",
        inputs="float[1,16,2,3,4] x",
        output="float[1,2,4,6,8] y",
        a=np.asarray([1, 2, 2, 2, 2, 2, 3, 4], np.int64),
        b=np.asarray([1, 2, 4, 6, 8], np.int64),
    )
    assert builds_for_rtx(onnx.parser.parse_model(text)) == ""


def test_gather_of_bool_before_8_5(model_text, rewrite):
    text = model_text(
        "y = Gather(x, i)", inputs="bool[30] x", output="bool[29] y", i=np.arange(29)[::-1]
    )
    for version, nodes in (((8, 4), {"Cast": 2, "Gather": 1}), ((8, 5), {"Gather": 1})):
        done = rewrite(text, MovedTypes(), backend="tensorrt", tensorrt=version)
        assert (done.error, done.nodes) == (0, nodes)

"""Stages: spans of nodes between changes of spatial size, on the way down and on the way up."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.export.encoder_end import ENCODER_END_KEY
from edgeup.export.shapes import infer_shapes
from edgeup.export.stages import Stage, root_of, stages_of


def model(nodes, weights, output, shape=(1, 4, 32, 32)) -> ir.Model:
    """A graph on ``x``; weights by name."""
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        constants,
    )
    made = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    infer_shapes(made)
    return made


def kernel(out, into, size=3):
    return np.ones((out, into, size, size), np.float32)


def conv(name, source, weight, stride=1, pad=1):
    return helper.make_node(
        "Conv", [source, weight], [name], name, strides=[stride] * 2, pads=[pad] * 4
    )


def up(name, source):
    return helper.make_node("Resize", [source, "", "twice"], [name], name, mode="nearest")


TWICE = {"twice": np.array([1, 1, 2, 2], np.float32)}


def described(stages: list[Stage]) -> list[tuple[str, int | None, list[str]]]:
    return [(s.name, s.channels, [node.name or "" for node in s.nodes]) for s in stages]


def test_an_encoder_and_a_decoder_with_a_skip() -> None:
    made = model(
        [
            conv("down1", "x", "w8", stride=2),
            conv("down2", "down1", "w16", stride=2),
            up("up1", "down2"),
            conv("back1", "up1", "w8b"),
            helper.make_node("Add", ["back1", "down1"], ["sum"], "sum"),
            up("up2", "sum"),
            helper.make_node("Concat", ["up2", "x"], ["out"], "out", axis=1),
        ],
        {"w8": kernel(8, 4), "w16": kernel(16, 8), "w8b": kernel(8, 16), **TWICE},
        "out",
    )
    stages = stages_of(made)
    assert described(stages) == [
        ("encoder 16x16", 8, ["down1"]),
        ("lowest 8x8", 16, ["down2"]),
        ("decoder 16x16", 8, ["up1", "back1", "sum"]),
        ("decoder 32x32", 12, ["up2", "out"]),
    ]
    assert [stage.macs for stage in stages] == [
        16 * 16 * 8 * 4 * 9, 8 * 8 * 16 * 8 * 9, 16 * 16 * 8 * 16 * 9, 0,
    ]  # fmt: skip


def three_convs_then_up(end: str | None) -> ir.Model:
    made = model(
        [
            conv("down", "x", "w", stride=2),
            conv("last", "down", "w"),
            conv("first", "last", "w8"),
            up("up", "first"),
        ],
        {"w": kernel(4, 4), "w8": kernel(8, 4), **TWICE},
        "up",
    )
    if end is not None:
        made.metadata_props[ENCODER_END_KEY] = end
    return made


def test_the_lowest_stage_is_parted_where_the_encoder_ends() -> None:
    """FastDepth's NNConv convolves and then resizes: the convolution is the decoder's."""
    stages = stages_of(three_convs_then_up("last"))
    assert described(stages) == [
        ("encoder 16x16", 4, ["down", "last"]),
        ("decoder 16x16", 8, ["first"]),
        ("decoder 32x32", 8, ["up"]),
    ]
    assert stages[1].macs == 16 * 16 * 8 * 4 * 9


@pytest.mark.parametrize("end", [None, "gone"])
def test_the_lowest_stage_claims_no_side_where_the_end_is_not_known(end) -> None:
    names = [stage.name for stage in stages_of(three_convs_then_up(end))]
    assert names == ["lowest 16x16", "decoder 32x32"]


def test_a_rewritten_end_is_still_the_end() -> None:
    made = three_convs_then_up("last")
    next(node for node in made.graph if node.name == "last").name = "last~by-a-pass/Conv_0"
    names = [stage.name for stage in stages_of(made)]
    assert names == ["encoder 16x16", "decoder 16x16", "decoder 32x32"]


def test_a_decoder_that_begins_by_resizing_has_no_stage_at_the_lowest_size() -> None:
    names = [stage.name for stage in stages_of(three_convs_then_up("first"))]
    assert names == ["encoder 16x16", "decoder 32x32"]


def test_a_gate_from_a_pooled_point_stays_in_its_stage() -> None:
    """Squeeze-and-excitation: the multiplication is no way up from 1x1."""
    made = model(
        [
            conv("down", "x", "w4", stride=2),
            helper.make_node("GlobalAveragePool", ["down"], ["point"], "point"),
            helper.make_node("Conv", ["point", "w1"], ["gate"], "gate"),
            helper.make_node("Mul", ["down", "gate"], ["out"], "out"),
        ],
        {"w4": kernel(4, 4), "w1": kernel(4, 4, 1)},
        "out",
    )
    assert described(stages_of(made)) == [("encoder 16x16", 4, ["down", "point", "gate", "out"])]


def test_a_skip_that_is_cut_to_size_stays_where_it_is_from() -> None:
    """U-Net (Ronneberger et al. 2015): valid convolutions, the encoder's map cropped."""
    made = model(
        [
            conv("first", "x", "w"),
            helper.make_node(
                "MaxPool", ["first"], ["down"], "down", kernel_shape=[2, 2], strides=[2, 2]
            ),
            conv("low1", "down", "w", pad=0),
            up("up", "low1"),
            helper.make_node("Slice", ["first", "from", "to", "axes"], ["skip"], "skip"),
            helper.make_node("Concat", ["up", "skip"], ["both"], "both", axis=1),
            conv("out", "both", "w8", pad=0),
        ],
        {
            **{"w": kernel(4, 4), "w8": kernel(2, 8), **TWICE},
            **{"from": np.array([2, 2]), "to": np.array([8, 8]), "axes": np.array([2, 3])},
        },
        "out",
        (1, 4, 10, 10),
    )
    assert described(stages_of(made)) == [
        ("encoder 10x10", 4, ["first", "skip"]),
        ("lowest 3x3", 4, ["down", "low1"]),
        ("decoder 4x4", 2, ["up", "both", "out"]),
    ]


def test_valid_convolutions_and_pads_are_no_change_of_size() -> None:
    made = model(
        [conv("one", "x", "w", pad=0), conv("two", "one", "w", pad=0), up("up", "two")],
        {"w": kernel(4, 4), **TWICE},
        "up",
    )
    assert described(stages_of(made)) == [
        ("lowest 28x28", 4, ["one", "two"]),
        ("decoder 56x56", 4, ["up"]),
    ]


def test_two_hourglasses_are_four_ways() -> None:
    made = model(
        [
            conv("down1", "x", "w", stride=2),
            up("up1", "down1"),
            conv("down2", "up1", "w", stride=2),
            up("up2", "down2"),
        ],
        {"w": kernel(4, 4), **TWICE},
        "up2",
    )
    assert [stage.name for stage in stages_of(made)] == [
        *("lowest 16x16", "decoder 32x32", "lowest 16x16", "decoder 32x32")
    ]


def test_the_nodes_of_a_site_stay_where_its_result_is() -> None:
    """The convolution computes at 16x16; the pixel shuffle behind it makes 32x32."""
    site = "Conv_3~fuse-upsample-conv"
    made = model(
        [
            conv("down", "x", "w", stride=2),
            conv(f"{site}/Conv_0", "down", "w16"),
            helper.make_node(
                "DepthToSpace", [f"{site}/Conv_0"], ["out"], f"{site}/DepthToSpace_1", blocksize=2
            ),
        ],
        {"w": kernel(4, 4), "w16": kernel(16, 4)},
        "out",
    )
    assert [(s.name, len(s.nodes)) for s in stages_of(made)] == [
        ("lowest 16x16", 1), ("decoder 32x32", 2),
    ]  # fmt: skip
    assert root_of(f"{site}/Conv_0~sink-resize/Conv_1") == "Conv_3"


@pytest.mark.parametrize("shape", [(1, 4, "h", "w"), (1, 4)])
def test_open_sizes_and_vectors_have_no_stages(shape) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"], "relu")], {}, "y", shape)
    assert stages_of(made) == []


def test_what_a_rewrite_prepares_beside_the_encoder_does_not_change_the_order() -> None:
    """As the places of the maxima do, which an unpooling at the far end of the decoder reads."""
    made = model(
        [
            helper.make_node("Relu", ["x"], ["places"], "unpool~by-index/Relu_0"),
            conv("down1", "x", "w", stride=2),
            conv("down2", "down1", "w", stride=2),
            up("up1", "down2"),
            up("up2", "up1"),
            helper.make_node("Mul", ["up2", "places"], ["out"], "unpool~by-index/Mul_1"),
        ],
        {"w": kernel(4, 4), **TWICE},
        "out",
    )
    assert described(stages_of(made)) == [
        ("encoder 16x16", 4, ["down1"]),
        ("lowest 8x8", 4, ["down2"]),
        ("decoder 16x16", 4, ["up1"]),
        ("decoder 32x32", 4, ["unpool~by-index/Relu_0", "up2", "unpool~by-index/Mul_1"]),
    ]

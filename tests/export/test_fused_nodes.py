"""Which nodes stand behind what a runtime ran."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.export.fused_nodes import RuntimeNode, computed_nodes, nodes_behind
from edgeup.export.labelled import labelled, nodes_named
from edgeup.export.packed import pack
from edgeup.runtime.ort_layers import profile_nodes


def model_of(*nodes, shape=(1, 4, 8, 8), output="y", **constants):
    """A model of nodes written as ``(op, inputs, output, attributes)``."""
    made = [
        helper.make_node(op, inputs.split(), [out], **(rest[0] if rest else {}))
        for op, inputs, out, *rest in nodes
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        made,
        "g",
        [value("x", TensorProto.FLOAT, shape)],
        [value(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(c, np.float32), n) for n, c in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


RANDOM = np.random.default_rng(0)
W = RANDOM.normal(size=(4, 4, 3, 3)) * 0.2
V = RANDOM.normal(size=(4, 4, 3, 3)) * 0.2
PADS = {"pads": [1, 1, 1, 1]}
N = {name: RANDOM.random(4) + 0.5 for name in ("g", "b", "m", "v")}

RESIDUAL = model_of(
    ("Conv", "x w", "c", PADS),
    ("BatchNormalization", "c g b m v", "n"),
    ("Relu", "n", "r"),
    ("Conv", "r w2", "c2", PADS),
    ("Add", "c2 r", "a"),
    ("Relu", "a", "r2"),
    ("Resize", "r2  s".replace("  ", " no "), "up", {"mode": "nearest"}),
    ("Sigmoid", "up", "sig"),
    ("Mul", "up sig", "y"),
    w=W,
    w2=V,
    s=[1, 1, 2, 2],
    no=[],
    **N,
)


def behind(model, *ran):
    nodes = [RuntimeNode(name, op, tuple(outputs)) for name, op, *outputs in ran]
    return nodes_behind(model, nodes)


def n(number):
    return f"edgeup_n{number}_"


def v(number):
    return f"edgeup_v{number}_0_"


def test_names_say_which_node_is_which():
    model = labelled(RESIDUAL)
    assert [nodes_named(node.name) for node in model.graph] == [[i] for i in range(9)]
    assert nodes_named(model.graph.outputs[0].name) == [8]
    assert model.graph.inputs[0].name == "x"
    assert nodes_named("edgeup_v12_0_ with edgeup_n3_/Fusion") == [12, 3]
    assert [node.name for node in RESIDUAL.graph] == [""] * 9  # the original is untouched


def test_a_fused_convolution_named_after_its_last_value_takes_what_led_to_it():
    found = behind(
        RESIDUAL,
        (v(2) + "_nchwc", "Conv", "t0"),
        (v(3) + "_nchwc", "Conv", "t1"),
        (v(6) + "_nchwc", "Upsample", "t2"),
        (n(8) + "/QuickGeluFusion/", "QuickGelu", "t3"),
        ("ReorderOutput", "ReorderOutput", v(8)),
    )
    # Add and the second Relu are told by no name: the convolution before them took them in.
    assert found == [(0, 1, 2), (3, 4, 5), (6,), (7, 8), ()]


def test_a_layout_at_the_end_does_not_claim_the_value_that_it_carries():
    model = model_of(("Relu", "x", "r"), ("Conv", "r w", "y", PADS), w=W)
    assert behind(
        model,
        (n(0), "Relu", v(0)),
        (n(1) + "_nchwc", "Conv", "t"),
        ("ReorderOutput", "ReorderOutput", v(1)),
    ) == [(0,), (1,), ()]


def test_where_nothing_is_fused_each_node_stands_for_itself():
    ran = [(n(i), node.op_type, v(i)) for i, node in enumerate(RESIDUAL.graph)]
    assert behind(RESIDUAL, *ran) == [(i,) for i in range(9)]


def test_outputs_tell_where_names_do_not():
    model = model_of(("Relu", "x", "r"), ("Neg", "r", "y"))
    assert behind(model, ("", "Relu", v(0)), ("other", "Neg", v(1))) == [(0,), (1,)]


def test_a_pad_belongs_to_what_reads_it_and_a_relu_to_what_it_reads():
    model = model_of(
        ("Relu", "x", "r"),
        ("Pad", "r p", "padded"),
        ("Conv", "padded w", "c"),
        ("Relu", "c", "y"),
        w=W,
        p=[0, 0, 1, 1, 0, 0, 1, 1],
    )
    model.graph.initializers["p"].const_value = ir.tensor(
        np.array([0, 0, 1, 1, 0, 0, 1, 1]), name="p"
    )
    assert behind(model, (n(0), "Relu", v(0)), (n(2), "FusedConv", "t")) == [(0,), (1, 2, 3)]


def test_constants_stand_behind_nothing():
    model = model_of(("Mul", "w k", "scaled"), ("Conv", "x scaled", "y", PADS), w=W, k=[2.0])
    assert list(computed_nodes(model)) == [1]
    assert behind(model, (n(1), "Conv", "y")) == [(1,)]


@pytest.mark.parametrize("threads", [1])
def test_what_onnx_runtime_ran_is_traced_back_whole(threads):
    """Every computed node is behind exactly one, and no two convolutions behind the same."""
    content = pack(labelled(RESIDUAL), "none").content
    feeds = {"x": RANDOM.random((1, 4, 8, 8)).astype(np.float32)}
    ran = profile_nodes(content, feeds, threads=threads, warmup_s=0, duration_s=0)
    found = nodes_behind(RESIDUAL, [RuntimeNode(one.name, one.op, one.outputs) for one in ran])
    assert sorted(number for numbers in found for number in numbers) == list(range(9))
    ops = [[RESIDUAL.graph.node(i).op_type for i in numbers] for numbers in found]
    assert max(kinds.count("Conv") for kinds in ops) == 1
    for one, kinds in zip(ran, ops, strict=True):
        if one.op in ("Conv", "FusedConv"):
            assert "Conv" in kinds
        assert one.times.size == 10
        assert (one.times >= 0).all()
    assert sum(one.times.sum() for one in ran) > 0

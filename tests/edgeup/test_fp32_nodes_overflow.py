"""Numbers beyond fp16: the list names what makes them, and works where it is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgeup.export.passes.contract import AS_WRITTEN, Site
from edgeup.export.precision.convert import convert
from edgeup.pipeline.precision.fp32_nodes import find_fp32_nodes
from edgeup.pipeline.precision.keep_list import read_keep_list
from edgeup.pipeline.precision.kept_sites import kept_after
from edgeup.runtime.inputs import test_inputs as make_inputs
from edgeup.runtime.tolerances import FP16_TOLERANCE
from edgeup.spec import TensorSpec

Edgeup = Callable[..., Any]

SHAPE = (1, 3, 16, 16)


def save(path: Path, *, weight: float = 3e5, last: str = "Relu") -> Path:
    """A convolution that makes some 1e6, and a scale behind it, which a pass folds into it."""
    rng = np.random.default_rng(0)

    def he(out: int, into: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return rng.standard_normal((out, into, 3, 3)) * np.sqrt(2 / (into * 9))

    weights = {
        **{"w1": he(8, 3), "w2": he(8, 8) * weight, "w3": he(8, 8), "w4": he(1, 8)},
        "s": np.float32(3 / weight),
    }

    def conv(x: str, w: str, y: str, name: str) -> onnx.NodeProto:
        return helper.make_node("Conv", [x, w], [y], name, pads=[1] * 4)

    nodes = [
        conv("x", "w1", "a", "enc/c1"),
        helper.make_node("Relu", ["a"], ["b"], "enc/r1"),
        conv("b", "w2", "c", "mid/hot"),
        helper.make_node("Mul", ["c", "s"], ["d"], "mid/scale"),
        helper.make_node(last, ["d"], ["e"], "r2"),
        conv("e", "w3", "f", "dec/c3"),
        helper.make_node("Relu", ["f"], ["g"], "r3"),
        conv("g", "w4", "y", "dec/c4"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 16, 16))],
        [numpy_helper.from_array(np.float32(w), name) for name, w in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def as_others_do(reference: Path, goal: Path) -> Path:
    """By ONNX Runtime's own converter."""
    onnx.save(convert_float_to_float16(onnx.load(reference), keep_io_types=True), goal)
    return goal


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return save(tmp_path / "ref.onnx")


def test_the_list_works_wherever_it_is_given(
    edgeup: Edgeup, tmp_path: Path, reference: Path
) -> None:
    half = as_others_do(reference, tmp_path / "half.onnx")
    keep = tmp_path / "keep.txt"
    asked = ("--find-fp32-nodes", keep, "--kinds", "natural,noise", "--format", "json")
    found = edgeup("verify", reference, half, *asked)
    assert found.status == 1
    assert found.json["fp32_nodes"]["enough"]
    assert read_keep_list(keep) == {"mid/hot", "mid/scale"}
    assert "with it, the model passes 0.02 of the peak" in keep.read_text()

    goal = tmp_path / "fp16.onnx"
    lower = ("--target", "jetpack-6.2", "--precision", "fp16", "--keep-fp32", keep)
    dry = edgeup("build", reference, *lower, "--dry-run")
    assert dry.status == 0, dry.err
    assert "edgeup optimize ref.onnx" in dry.out
    made = edgeup("optimize", reference, *lower, "-o", goal, "--format", "json")
    assert made.status == 0, made.err
    (site,) = (one for one in made.json["rewrites"] if "mid/scale" in one["nodes"])
    assert site["form"] != AS_WRITTEN  # else the names would be there anyway
    (kept,) = made.json["precision"]["kept"]
    assert kept["node"].startswith("mid/scale~fold-scale/Conv_")
    assert kept["reason"] == "it was asked for"
    # As `edgeup build` converts the file where there is a builder: without any pass.
    unfolded = tmp_path / "unfolded.onnx"
    named = ir.from_proto(onnx.load(reference))
    ir.save(convert(named, "fp16", keep_fp32=read_keep_list(keep)).model, unfolded)
    for candidate in (goal, unfolded):
        checked = edgeup("verify", reference, candidate, "--kinds", "natural,noise")
        assert checked.status == 0, checked.out


def test_what_overflows_is_listed_though_what_follows_hides_it(tmp_path: Path) -> None:
    path = save(tmp_path / "hidden.onnx", weight=5e4, last="Sigmoid")
    model = onnx.load(path)
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "s")
    scale.CopyFrom(numpy_helper.from_array(np.float32(1), "s"))  # the Sigmoid gets infinity, or 1e5
    cases = list(make_inputs([TensorSpec("x", SHAPE)], 0, ("natural", "noise")))
    found = find_fp32_nodes(ir.from_proto(model), "fp16", cases, FP16_TOLERANCE)
    assert found.enough
    assert list(found.reasons) == ["mid/hot", "mid/scale"]
    assert all("beyond 65504" in reason for reason in found.reasons.values())


def test_names_follow_their_sites_and_new_opsets() -> None:
    def named(*names: str) -> ir.Model:
        values = [ir.val("x")]
        nodes = []
        for name in names:
            nodes.append(ir.node("Relu", [values[-1]], name=name))
            values.append(nodes[-1].outputs[0])
        graph = ir.Graph([values[0]], [values[-1]], nodes=nodes, opset_imports={"": 17})
        return ir.Model(graph, ir_version=8)

    def site(rule: str, *nodes: str, form: str = "folded") -> Site:
        return Site(rule, f"{rule}@{nodes[-1]}", nodes, form, "", None, None, None, None)

    before = named("conv", "conv_1", "scale", "up", "up_Relu_1", "idle", "next")
    after = named("scale~a/Conv_0~b/Conv_0", "conv_1", "up_Resize_0", "up_Relu_1", "last")
    sites = [
        site("a", "conv", "scale"),
        site("c", "conv", "next", form=AS_WRITTEN),
        site("b", "next", "scale~a/Conv_0"),
    ]

    def kept(*names: str) -> set[str]:
        return set(kept_after(frozenset(names), before, sites, after)[0])

    assert kept("conv") == kept("scale") == kept("next") == {"scale~a/Conv_0~b/Conv_0"}
    assert kept("conv_1") == {"conv_1"}
    assert kept("up") == {"up_Resize_0"}
    assert kept("last", "nowhere") == {"last", "nowhere"}
    gone, notices = kept_after(frozenset({"idle", "conv_1"}), before, sites, after)
    assert gone == {"conv_1"}
    assert notices == (
        "--keep-fp32: nothing is left of idle in the rewritten graph, so nothing of it is kept",
    )


def test_a_name_of_neither_graph_is_refused(
    edgeup: Edgeup, tmp_path: Path, reference: Path
) -> None:
    (tmp_path / "keep.txt").write_text("mid/hott\n")
    lower = ("--target", "jetpack-6.2", "--precision", "fp16", "--keep-fp32", tmp_path / "keep.txt")
    refused = edgeup("optimize", reference, *lower, "-o", tmp_path / "o.onnx", "--format", "json")
    assert refused.status == 2
    assert "unknown node 'mid/hott'" in json.loads(refused.out)["error"]

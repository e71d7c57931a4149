"""Files whose nodes are not in order, as ONNX Runtime's own converter to fp16 writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Edgeup = Callable[..., Any]

SHAPE = (1, 3, 8, 8)
SORTED = "its nodes were not in an order in which they can run"


def save(path: Path, *, in_order: bool) -> Path:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Neg", ["b"], ["y"], "neg"),
    ]
    graph = helper.make_graph(
        nodes if in_order else nodes[::-1],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(rng.normal(size=(3, 3, 3, 3)).astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def backwards(tmp_path: Path) -> Path:
    return save(tmp_path / "backwards.onnx", in_order=False)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_verify_compares_it_either_way(
    edgeup: Edgeup, tmp_path: Path, backwards: Path, precision: str
) -> None:
    good = save(tmp_path / "good.onnx", in_order=True)
    more = ("--kinds", "noise", "--format", "json")
    as_reference = edgeup("verify", backwards, good, "--reference-precision", precision, *more)
    assert as_reference.status == 0, as_reference.err
    (note,) = (note for note in as_reference.json["notices"] if "order" in note)
    assert note.startswith(f"backwards.onnx: {SORTED}")
    as_candidate = edgeup("verify", good, backwards, "--bisect", *more)
    assert as_candidate.status == 0, as_candidate.err
    assert any(SORTED in note for note in as_candidate.json["notices"])


def test_optimize_writes_it_in_order(edgeup: Edgeup, tmp_path: Path, backwards: Path) -> None:
    goal = tmp_path / "out.onnx"
    arguments = ("--target", "cpu", "-o", goal, "--format", "json")
    ran = edgeup("optimize", backwards, *arguments)
    assert ran.status == 0, ran.err
    assert any(SORTED in note for note in ran.json["notices"])
    onnx.checker.check_model(onnx.load(goal), full_check=True)


@pytest.mark.parametrize("verb", ["check", "estimate"])
def test_other_verbs_read_it_and_say_so(edgeup: Edgeup, backwards: Path, verb: str) -> None:
    ran = edgeup(verb, backwards, "--target", "orin-nano-8gb", "--format", "json")
    assert ran.status in (0, 1), ran.err
    assert any(SORTED in note for note in ran.json["notices"])

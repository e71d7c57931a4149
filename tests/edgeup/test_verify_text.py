"""What `edgeup verify` says in a terminal where there is little to say, or much for one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeup.cli.summary import verdicts
from edgeup.cli.verify_summary import verify_summary
from edgeup.html.words import quality

Edgeup = Callable[..., Any]


def save(path: Path, *ops: str, outputs: tuple[str, ...] = ("y",)) -> Path:
    nodes, value = [], "x"
    for number, op in enumerate(ops):
        name = "y" if number == len(ops) - 1 else f"v{number}"
        nodes.append(helper.make_node(op, [value], [name], f"n{number}"))
        value = name
    nodes.append(helper.make_node("Neg", ["x"], ["z"], "side"))
    shape = (1, 1, 8, 8)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_nan_on_one_side_leaves_no_figure(edgeup: Edgeup, tmp_path: Path) -> None:
    good = save(tmp_path / "good.onnx", "Abs", "Sqrt")
    bad = save(tmp_path / "bad.onnx", "Neg", "Sqrt")
    ran = edgeup("verify", good, bad, "--kinds", "noise")
    assert ran.status == 1
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("  y ")]
    assert ["y", "noise", "-", "-", "-", "-"] in rows
    assert ["y", "worst", "-", "-", "-", "-"] in rows
    assert "one side alone holds NaN or infinity: no figure for the error" in ran.out
    assert "): not finite" in ran.out
    assert "not finite of the peak" not in ran.out
    assert "; no tolerance would do" in " ".join(ran.out.split())
    assert "mean |error|" not in ran.out
    assert "worst by its tolerance in noise at " in ran.out


def test_a_missing_output_has_its_reason_and_no_tolerance(edgeup: Edgeup, tmp_path: Path) -> None:
    both = save(tmp_path / "both.onnx", "Abs", outputs=("y", "z"))
    one = save(tmp_path / "one.onnx", "Abs")
    ran = edgeup("verify", both, one, "--kinds", "noise")
    assert ran.status == 1
    assert "  z: FAILED, the candidate has no such output\n" in ran.out
    assert "needed atol -" not in ran.out


def test_an_error_where_the_reference_is_zero_needs_an_atol() -> None:
    (line,) = verdicts(
        [
            {
                "name": "y",
                "passed": False,
                "tolerance": {"atol": 0.1, "rtol": 0.0},
                "needed": {"atol": 0.5, "rtol": None},
            }
        ]
    )
    assert line.plain.endswith("needed atol 5.00e-01 at that rtol, no rtol at that atol would do")


def test_what_goes_on_below_stands_further_in(edgeup: Edgeup, tmp_path: Path) -> None:
    name = tmp_path / "a_name_that_is_rather_long_so_that_its_note_is.onnx"
    model = onnx.load(save(tmp_path / "m.onnx", "Abs", "Abs"))
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)  # out of order: there is a note
    onnx.save(model, name)
    ran = edgeup("verify", name, name, "--kinds", "noise")
    lines = ran.out.splitlines()
    (start,) = (n for n, line in enumerate(lines) if line.startswith("  y: passed, "))
    assert lines[start + 1].startswith("    ")
    (start, *_) = (n for n, line in enumerate(lines) if line.startswith("note: "))
    assert lines[start + 1].startswith("  ")
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("nodes", "words"), [(0, "no nodes"), (1, "1 node "), (2, "2 nodes")])
def test_numbers_have_their_plural(nodes: int, words: str) -> None:
    kept = {
        "nodes": [{"node": f"n{number}", "reason": "why"} for number in range(nodes)],
        "precision": "fp16",
        "enough": True,
        "minimal": False,
        "runs": 1,
    }
    report = {
        "reference": {"precision": "fp32", "name": "a"},
        "candidate": {"precision": "fp16", "name": "b"},
        "inputs": {"source": "saved", "cases": ["noise"]},
        **{"parity": [], "bisect": None, "fp32_nodes": kept, "notices": [], "passed": True},
    }
    text = "\n".join(str(line) for line in verify_summary(report, ()))
    assert f"{words.strip()} must stay fp32" in text
    assert "after 1 run\n" in text


def test_an_empty_npz_says_so(edgeup: Edgeup, tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", "Abs")
    np.savez(tmp_path / "none.npz")
    ran = edgeup("verify", model, model, "--load-inputs", tmp_path / "none.npz")
    assert ran.status == 2
    assert ran.err.rstrip().endswith("no array for the input x; it has no array at all")


def test_nan_in_the_inputs_is_told_and_proves_nothing(edgeup: Edgeup, tmp_path: Path) -> None:
    sides = save(tmp_path / "a.onnx", "Abs", "Neg"), save(tmp_path / "b.onnx", "Neg", "Sin")
    array = np.full((1, 1, 8, 8), np.nan, np.float32)
    np.savez(tmp_path / "nan.npz", x=array)
    ran = edgeup("verify", *sides, "--load-inputs", tmp_path / "nan.npz")
    assert ran.status == 1
    text = " ".join(ran.out.split())
    assert "input x of nan.npz holds NaN or infinity in 64 of 64 elements" in text
    assert "y: failed: there is no number to compare" in text


def test_the_node_of_the_candidate_leads_where_it_makes_nan(edgeup: Edgeup, tmp_path: Path) -> None:
    good = save(tmp_path / "good.onnx", "Abs", "Sqrt")
    model = onnx.load(save(tmp_path / "bad.onnx", "Neg", "Sqrt"))
    model.graph.node[1].name = "root"
    onnx.save(model, tmp_path / "bad.onnx")
    text = edgeup("verify", good, tmp_path / "bad.onnx", "--kinds", "noise").out
    assert "NaN or infinity\n  Sqrt root, in the candidate\n  in the reference, its value" in text


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "1"), (0.99960252, "0.9996"), (0.9999999, "0.9999999"), (0.25, "0.25"), (None, "–")],
)
def test_what_is_nearly_1_does_not_look_perfect(value: float | None, words: str) -> None:
    assert quality(value) == words

"""What `edgeup verify --bisect` says where names do not tell, or no node is at fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Edgeup = Callable[..., Any]
CONV = "Conv <pads = [1, 1, 1, 1]>"
WEIGHTS = {
    name: np.random.default_rng(seed).normal(0, 0.4, (3, 3, 3, 3)).astype(np.float32)
    for seed, name in enumerate(("w0", "w1", "w2"))
}


def saved(path: Path, body: str, outputs: str = "float[1,3,16,16] y", **own: Any) -> Path:
    text = f"""<ir_version: 9, opset_import: ["" : 18]>
        g (float[1,3,16,16] x) => ({outputs}) {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    arrays = {**WEIGHTS, **own}
    held = [onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in text]
    model.graph.initializer.extend(held)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def said(edgeup: Edgeup, right: Path, wrong: Path) -> str:
    ran = edgeup("verify", right, wrong, "--bisect", "--kinds", "noise")
    assert ran.status == 1
    return " ".join(ran.out.split())


def test_renamed_graph_is_followed_by_what_it_does(edgeup: Edgeup, tmp_path: Path) -> None:
    right = saved(tmp_path / "a.onnx", f"[c] a = {CONV} (x, w0) [r] b = Relu (a) [n] y = Neg (b)")
    wrong = saved(
        tmp_path / "b.onnx",
        f"[k] p = {CONV} (x, w0) [l] q = LeakyRelu <alpha = 0.5> (p) [m] z = Neg (q)",
        "float[1,3,16,16] z",
    )
    text = said(edgeup, right, wrong)
    assert "first node that differs Relu r (value b): error" in text
    assert "in the candidate: LeakyRelu l" in text
    assert "there: the reference is the candidate without its negative values" in text
    assert "one of these" not in text


def test_several_candidates_are_said_to_be_several(edgeup: Edgeup, tmp_path: Path) -> None:
    right = saved(
        tmp_path / "a.onnx",
        f"[c] a = {CONV} (x, w0) [s] b = Sigmoid (a) [d] e = {CONV} (b, w1) [t] f = Tanh (e) "
        f"[n] y = Neg (f)",
    )
    wrong = saved(tmp_path / "b.onnx", f"[k] p = {CONV} (x, w2) [m] y = Neg (p)")
    text = said(edgeup, right, wrong)
    assert "one of these 4 nodes: c, s, d ... and 1 more" in text
    assert "the first value behind them that both have is made by Tanh t (value f)" in text
    assert "in the candidate: Conv k" in text


def test_constant_that_differs_is_said_to_be_no_nodes(edgeup: Edgeup, tmp_path: Path) -> None:
    body, outputs = f"[c] y = {CONV} (x, w0)", "float[1,3,16,16] y, float[3,3,3,3] w1"
    right = saved(tmp_path / "a.onnx", body, outputs)
    wrong = saved(tmp_path / "b.onnx", body, outputs, w1=WEIGHTS["w1"] * 2)
    text = said(edgeup, right, wrong)
    assert "--bisect names no node: no node makes w1, an input or a constant" in text


def test_outputs_of_which_one_is_missing_leave_the_comparison(
    edgeup: Edgeup, tmp_path: Path
) -> None:
    node = f"[c] y = {CONV} (x, w0)"
    both = "float[1,3,16,16] y, float[1,3,16,16] z"
    right = saved(tmp_path / "a.onnx", f"{node} [r] z = Relu (y)", both)
    wrong = saved(tmp_path / "b.onnx", node)
    text = said(edgeup, right, wrong)
    assert "--bisect names no node: the outputs of these two models differ in number" in text
    assert "y: passed" in text


HEADS = (
    f"[stem] a = {CONV} (x, w0) [aux_conv] aux = {CONV} (a, w1) "
    f"[depth_conv] d = {CONV} (a, w2) [depth_scale] depth = Mul (d, k)"
)
BOTH = "float[1,3,16,16] aux, float[1,3,16,16] depth"


def named(edgeup: Edgeup, right: Path, wrong: Path, *tolerances: str) -> Any:
    options = (part for one in tolerances for part in ("--atol", one))
    ran = edgeup("verify", right, wrong, "--bisect", "--rtol", "0", *options, "--format", "json")
    assert ran.status == 1
    return ran.json["bisect"]["first_difference"]


def test_what_an_output_may_do_is_not_the_fault_of_another(edgeup: Edgeup, tmp_path: Path) -> None:
    k = np.float32([1.0])
    right = saved(tmp_path / "a.onnx", HEADS, BOTH, k=k)
    wrong = saved(
        tmp_path / "b.onnx", HEADS, BOTH, k=k, w1=WEIGHTS["w1"] * 1.02, w2=WEIGHTS["w2"] * 1.1
    )
    found = named(edgeup, right, wrong, "aux:10", "depth:1e-4")
    assert found["node"] == "depth_conv"
    assert found["unlike"][0].startswith("constant w2 has other values: up to 0.1 of its peak")
    assert named(edgeup, right, wrong, "aux:1e-4", "depth:1e3")["node"] == "aux_conv"


def test_inner_values_are_judged_by_the_peak_of_the_output_that_failed(
    edgeup: Edgeup, tmp_path: Path
) -> None:
    large, k = WEIGHTS["w1"] * 1e4, np.float32([1.0])
    right = saved(tmp_path / "a.onnx", HEADS, BOTH, k=k, w1=large)
    moved = {"w0": WEIGHTS["w0"] * np.float32(1 + 2e-6), "w1": large, "k": np.float32([1.1])}
    wrong = saved(tmp_path / "b.onnx", HEADS, BOTH, **moved)
    # As a share of the large output's peak, 1e-3 is less than what rounding does to the stem.
    assert named(edgeup, right, wrong, "aux:1e3", "depth:1e-3")["node"] == "depth_scale"

"""`edgeup report A B` compares like with like, and never calls fine what is no number."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.html.held import headline, held_against
from edgeup.html.regression import Run
from edgeup.html.summary import parity_words

ERROR = "largest error, of the peak"
Report = dict[str, Any]


def _network(path: Path, kind: int) -> Path:
    """A convolution in float32 or float16 between inputs and outputs in float32."""
    weights = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=kind),
        helper.make_node("Conv", ["a", "w"], ["b"], "conv", pads=[1] * 4),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 16, 16])],
        [numpy_helper.from_array(weights.astype(helper.tensor_dtype_to_np_dtype(kind)), "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


@pytest.fixture
def verify(tmp_path: Path, edgeup: Callable) -> Callable[..., Path]:
    single = _network(tmp_path / "fp32.onnx", TensorProto.FLOAT)
    half = _network(tmp_path / "fp16.onnx", TensorProto.FLOAT16)

    def run(name: str, *arguments: str) -> Path:
        goal = tmp_path / f"{name}.json"
        ran = edgeup("verify", single, half, *arguments, "-o", goal)
        assert ran.status == 0, ran.err
        return goal

    return run


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("--rounding", "backend"), "other rounding of the candidate: backend and each-node"),
        (("--reference-precision", "fp64"), "other precision of the reference: fp64 and fp32"),
        (("--kinds", "impulse"), "other inputs: impulse and natural, noise, ramp, impulse"),
        (("--seed", "1"), "other seed: 1 and 0"),
    ],
)
def test_runs_of_verify_that_were_asked_for_other_things_are_not_compared(
    verify: Callable[..., Path],
    edgeup: Callable,
    tmp_path: Path,
    asked: tuple[str, ...],
    why: str,
) -> None:
    paths = verify("one", *asked), verify("two")
    ran = edgeup("report", *paths, "-o", tmp_path / "page.html", "--format", "json")
    assert ran.json["regressions"] == {"two": []}
    assert ran.json["compared"] == {"two": []}
    assert why in ran.json["not_compared"]["two"][ERROR]
    text = " ".join(edgeup("report", *paths, "-o", tmp_path / "page.html").out.split())
    for said in (text, (tmp_path / "page.html").read_text()):
        assert why in said
        assert "Nothing could be compared with one" in said
        assert "regression" not in said.lower()


def test_runs_of_verify_that_were_asked_for_the_same_are(
    verify: Callable[..., Path], edgeup: Callable, tmp_path: Path
) -> None:
    paths = verify("one", "--seed", "3"), verify("two", "--seed", "3")
    ran = edgeup("report", *paths, "-o", tmp_path / "page.html")
    assert "No regression against one\n" in ran.out


def _report(max_abs: float | None = 1e-6, **more: Any) -> Report:
    case = {"kind": "noise", "max_abs": max_abs, "peak": 1.0, "reason": "", "unstable": False}
    return {
        "passed": max_abs is not None,
        "reference": {"kind": "pytorch", "name": "net", "weights": {"sha256": "a" * 64}},
        "candidate": {"kind": "onnx", "name": "m.onnx", "sha256": "b" * 64},
        "inputs": {"inputs": [{"name": "x", "shape": [1, 3, 8, 8], "dtype": "float32"}]},
        "parity": [{"name": "y", "cases": [case]}],
        **more,
    }


def _changed(change: Callable[[Report], object]) -> Report:
    report = copy.deepcopy(_report(max_abs=1e-3))
    change(report)
    return report


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda r: r["reference"]["weights"].update(sha256="c" * 64),
            "other reference: net, weights aaaaaaaaaaaa and net, weights cccccccccccc",
        ),
        (lambda r: r["reference"].update(name="other"), "other reference: net, weights"),
        (lambda r: r["inputs"].update(files=["b.png"]), "other files of inputs: not told and b"),
        (lambda r: r["inputs"].update(preprocess="imagenet"), "other preprocessing: not told and"),
        (lambda r: r["parity"][0].update(name="z"), "other outputs: y and z"),
        (
            lambda r: r["parity"][0]["cases"].extend(
                {**r["parity"][0]["cases"][0], "kind": f"{n}.png"} for n in range(9)
            ),
            "other inputs: noise and noise, 0.png, 1.png, 2.png, 3.png, 4.png, 5.png and 3 more",
        ),
    ],
)
def test_errors_against_other_things_are_not_compared(
    change: Callable[[Report], object], why: str
) -> None:
    held = held_against(Run("a", _report()), Run("b", _changed(change)))
    assert why in held.not_compared[ERROR]
    assert (held.worse, held.compared) == ((), ())
    same = held_against(Run("a", _report()), Run("b", _report(max_abs=1e-3)))
    assert same.worse == ("larger error",)


def test_a_candidate_in_16_bits_is_worse_than_one_in_32() -> None:
    half = _changed(lambda r: r["candidate"].update(rounding="each-node"))
    assert held_against(Run("a", _report()), Run("b", half)).worse == ("larger error",)


@pytest.mark.parametrize(
    ("before", "after", "worse", "names"),
    [
        (1e-6, None, ("failed", f"no finite {ERROR}"), "b"),
        (None, 1e-6, (), "a"),
        (None, None, (), "a and b"),
    ],
)
def test_an_error_that_is_not_finite_is_no_verdict(
    before: float | None, after: float | None, worse: tuple[str, ...], names: str
) -> None:
    held = held_against(Run("a", _report(before)), Run("b", _report(after)))
    assert held.worse == worse
    assert held.not_compared[ERROR] == f"no finite number in {names}"
    words, style = headline("a", [held])
    assert "No regression" not in words
    assert style == ("bad" if worse else "warn")
    if not worse:
        assert words == f"Not comparable with a: no finite {ERROR}"


def test_the_page_shows_what_is_not_finite(
    verify: Callable[..., Path], edgeup: Callable, tmp_path: Path
) -> None:
    path = verify("one")
    report = json.loads(path.read_text())
    # One case of several: the largest of the rest would hide it.
    report["parity"][0]["cases"][0]["max_abs"] = None
    other = tmp_path / "two.json"
    other.write_text(json.dumps(report))
    page = tmp_path / "page.html"
    ran = edgeup("report", path, other, "-o", page)
    assert "two: no finite largest error, of the peak" in ran.out
    assert "1 run worse than one" in ran.out
    assert "No regression" not in ran.out + page.read_text()
    assert "not finite" in page.read_text()
    ran = edgeup("report", other, other, "-o", page, "--format", "json")
    name = f"{other} (2)"
    assert (ran.json["not_finite"], ran.json["regressions"]) == ({name: [ERROR]}, {name: []})


def test_pictures_are_known_by_what_is_in_them(edgeup: Callable, tmp_path: Path) -> None:
    network = _network(tmp_path / "fp32.onnx", TensorProto.FLOAT)
    rng = np.random.default_rng(0)
    shown = [rng.random((1, 3, 16, 16)).astype(np.float32) for _ in range(2)]
    for folder, array in (("here", shown[0]), ("there", shown[0]), ("other", shown[1])):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "x.npz", x=array)
        goal = tmp_path / f"{folder}.json"
        ran = edgeup(
            *("verify", network, network, "-o", goal),
            *("--load-inputs", tmp_path / folder / "x.npz"),
        )
        assert ran.status == 0, ran.err
    here, there, other = (
        Run(name, json.loads((tmp_path / f"{name}.json").read_text()))
        for name in ("here", "there", "other")
    )
    assert ERROR in held_against(here, there).compared
    assert "other files of inputs: x.npz (" in held_against(here, other).not_compared[ERROR]


def test_a_median_without_an_interval_is_held_against_none() -> None:
    def run(name: str, median: float, interval: dict[str, float] | None) -> Run:
        return Run(name, {"latency": {"median_ms": median, "median_interval": interval}})

    told = {"low_ms": 0.9, "high_ms": 1.1, "confidence": 0.95}
    fast, slow, once = run("fast", 1, told), run("slow", 5, told), run("once", 5, None)
    slow.report["latency"]["median_interval"] = {**told, "low_ms": 4.9, "high_ms": 5.1}
    assert held_against(fast, slow).worse == ("slower",)
    held = held_against(fast, once)
    assert held.worse == ()
    assert held.not_compared["median latency"] == "too few runs for an interval in once"


def test_what_is_excused_is_said_beside_the_error_of_the_rest() -> None:
    case = {"kind": "noise", "max_abs": 2.0, "unstable": True}
    zeros = {"kind": "zeros", "max_abs": 0.001, "unstable": False}
    output = {"name": "y", "max_abs": 2.0, "passed": True, "cases": [case, zeros]}
    output["tolerance"] = {"atol": 0.01, "rtol": 0.0}
    said = parity_words(output)
    assert "within tolerance on 1 input: at most 1.00e-03 off" in said
    assert said.endswith("On noise, rounding decides, and nothing is judged.")

"""`edgeup verify` of fp16 and bf16 files: what a GPU rounds and overflows is seen on the CPU."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, parser

from edgeup.export.precision.convert import convert

SCHEMA = json.loads((files("edgeup") / "data" / "verify.schema.json").read_text())
Edgeup = Callable[..., Any]


def network(gain: float, end: str = "y = Identity (d)") -> ir.Model:
    """x times the gain, twice, and divided by its square again: the output is as large as x."""
    values = ", ".join(["1, 0, 0", "0, 1, 0", "0, 0, 1"])
    return ir.from_proto(
        parser.parse_model(f"""
            <ir_version: 10, opset_import: ["" : 22]>
            g (float[1,3,8,8] x) => (float[1,3,8,8] y)
            <float[3,3,1,1] w = {{{values}}}, float[1] gain = {{{gain}}},
             float[1] less = {{{1 / gain**2}}}>
            {{
                [first] a = Conv (x, w) [second] b = Mul (a, gain) [third] c = Mul (b, gain)
                [fourth] d = Mul (c, less) [last] {end}
            }}
        """)
    )


def saved(model: ir.Model, path: Path) -> Path:
    ir.save(model, path)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A float32 file, and the same in 16 bits."""

    def make(
        gain: float, precision: str = "fp16", io: Any = "fp32", **more: str
    ) -> tuple[Path, Path]:
        model = network(gain, **more)
        narrow = convert(model, precision, io=io).model
        return saved(model, tmp_path / "wide.onnx"), saved(narrow, tmp_path / "narrow.onnx")

    return make


def verify(edgeup: Edgeup, *arguments: object, status: int) -> Any:
    ran = edgeup("verify", *arguments, "--kinds", "noise,ramp", "--format", "json")
    assert ran.status == status, ran.err or ran.out
    jsonschema.validate(ran.json, SCHEMA)
    return ran.json


@pytest.mark.parametrize("io", ["fp32", "same"])
def test_an_overflow_inside_is_found_though_the_output_is_in_range(
    edgeup: Edgeup, pair: Callable[..., tuple[Path, Path]], io: str
) -> None:
    """1 to 2 times 300^2 is beyond 65504; ONNX Runtime computes it in float32, and is right."""
    both = pair(300.0, io=io)
    report = verify(edgeup, *both, status=1)
    assert report["candidate"]["rounding"] == "each-node"
    assert report["candidate"]["backend"].endswith("each node's result rounded to fp16")
    assert report["parity"][0]["not_finite"]["candidate"]["inf"] > 0
    found = report["bisect"]["first_nonfinite"]
    assert (found["node"], found["candidate_node"]) == ("third", "third")
    assert [one["kind"] for one in found["diagnoses"]] == ["fp16 saturation"]
    assert report["bisect"]["first_difference"] is None
    bisected = verify(edgeup, *both, "--bisect", status=1)["bisect"]
    assert bisected["first_difference"]["node"] == "third"
    own = verify(edgeup, *both, "--rounding", "backend", status=0)
    assert own["candidate"]["rounding"] == "backend"
    assert any("an overflow inside is hidden" in line for line in own["notices"])
    assert own["bisect"] is None


def test_without_overflow_there_is_none(
    edgeup: Edgeup, pair: Callable[..., tuple[Path, Path]]
) -> None:
    report = verify(edgeup, *pair(100.0), "--bisect", status=0)
    assert report["bisect"] == {"first_difference": None, "first_nonfinite": None}
    assert report["parity"][0]["diagnoses"] == []
    assert 1e-5 < report["parity"][0]["rmse"] < 1e-2


def test_an_overflow_that_an_output_hides_is_found(
    edgeup: Edgeup, pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """A sigmoid makes a number of infinity again: all outputs are finite, and wrong."""
    both = pair(300.0, end="y = Sigmoid (d)")
    report = verify(edgeup, *both, status=1)
    assert report["parity"][0]["not_finite"]["candidate"] == {"nan": 0, "inf": 0}
    found = report["bisect"]["first_nonfinite"]
    assert found["node"] == "third"
    assert [one["kind"] for one in found["diagnoses"]] == ["fp16 saturation"]
    shown = " ".join(edgeup("verify", *both, "--kinds", "noise").out.split())
    assert "first node that makes NaN or infinity Mul third (value c)" in shown
    assert "fp16 ends at 65504" in shown
    outputs = tmp_path / "outputs"
    verify(edgeup, *both, "--save-outputs", outputs, status=1)
    alone = verify(edgeup, outputs / "reference.npz", both[1], status=1)
    found = alone["bisect"]["first_nonfinite"]
    assert found["node"] == "third"
    assert [one["kind"] for one in found["diagnoses"]] == ["fp16 saturation"]  # before and after


@pytest.mark.parametrize("io", ["fp32", "same"])
def test_bf16_runs_though_onnx_runtime_has_no_kernels_for_it(
    edgeup: Edgeup, pair: Callable[..., tuple[Path, Path]], tmp_path: Path, io: str
) -> None:
    wide, narrow = pair(300.0, "bf16", io)
    outputs = tmp_path / "outputs"
    report = verify(edgeup, wide, narrow, "--bisect", "--save-outputs", outputs, status=0)
    assert report["candidate"]["precision"] == "bf16"
    assert 1e-4 < report["parity"][0]["rmse"] < 1e-1
    with np.load(outputs / "candidate.npz") as arrays:
        y = arrays["noise/y"]
    assert y.dtype == np.float32
    assert not (y.view(np.uint32) & 0xFFFF).any()  # each is a bfloat16
    again = verify(edgeup, outputs / "candidate.npz", narrow, status=0)
    assert again["parity"][0]["max_abs"] == 0.0
    exact = verify(edgeup, wide, narrow, "--rtol", "1e-6", "--bisect", status=1)
    assert exact["bisect"]["first_difference"]["node"] in ("first", "second")
    refused = edgeup("verify", wide, narrow, "--rounding", "backend")
    assert refused.status == 2
    assert "Could not find an implementation" in refused.err


def test_outputs_keep_the_types_of_the_file(
    edgeup: Edgeup, pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    wide, narrow = pair(10.0, io="same")
    outputs = tmp_path / "outputs"
    report = verify(edgeup, wide, narrow, "--save-outputs", outputs, status=0)
    assert "input x: float32 became float16 for the candidate" in report["notices"]
    with np.load(outputs / "candidate.npz") as arrays:
        assert arrays["noise/y"].dtype == np.float16
    both = verify(edgeup, narrow, narrow, status=0)
    assert both["parity"][0]["max_abs"] == 0.0
    assert both["reference"]["rounding"] == "each-node"
    x = np.random.default_rng(0).uniform(0, 1, (1, 3, 8, 8))
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    ran = edgeup("verify", narrow, narrow, "--load-inputs", tmp_path / "x.npy")
    assert ran.status == 0, ran.err


def test_a_graph_without_a_twin_falls_back_and_says_why(edgeup: Edgeup, tmp_path: Path) -> None:
    def branch(op: str, name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT16, (4,))
        return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [out])

    yes = helper.make_tensor("yes", TensorProto.BOOL, (), [True])
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value=yes),
            helper.make_node("If", ["c"], ["y"], "choose", then_branch=branch("Neg", "then"),
                             else_branch=branch("Abs", "else")),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, (4,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, (4,))],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "if.onnx")
    report = verify(edgeup, tmp_path / "if.onnx", tmp_path / "if.onnx", status=0)
    assert report["candidate"]["rounding"] == "backend"
    assert "rounded" not in report["candidate"]["backend"]
    assert any(
        "cannot be rounded one by one: graph" in line and "inside If" in line
        for line in report["notices"]
    )


def test_rounding_is_for_16_bits(edgeup: Edgeup, tmp_path: Path) -> None:
    wide = saved(network(2.0), tmp_path / "wide.onnx")
    ran = edgeup("verify", wide, wide, "--rounding", "backend")
    assert ran.status == 2
    assert "--rounding is for ONNX files in fp16 or bf16" in ran.err
    assert "rounding" not in verify(edgeup, wide, wide, status=0)["candidate"]

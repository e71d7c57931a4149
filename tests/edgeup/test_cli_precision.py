"""--precision of export and optimize, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest
from onnx import TensorProto, parser

from edgeup.report import schema

OVERFLOW = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[1,3,8,8] x) => (float[1,3,8,8] y)
    <float[3,3,1,1] w = {8, 4, 0, 0, 1, -0.5, 0.25, 0, 1}>
    {
        [conv] a = Conv (x, w)
        [big] b = Exp (a)
        [small] c = Log (b)
        [end] y = Relu (c)
    }
"""
ENDLESS = OVERFLOW.replace("[small] c = Log (b)", "[small] c = Add (b, b)")


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "model.onnx"
        onnx.save(parser.parse_model(text), path)
        return path

    return write


def types(path: Path) -> dict[str, int]:
    """Element types of the interface, and how many weights are float16."""
    model = onnx.load(path)
    held = [tensor.data_type for tensor in model.graph.initializer]
    return {
        **{v.name: v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)},
        "weights in fp16": held.count(TensorProto.FLOAT16),
    }


def optimize(edgeup: Any, model: Path, *arguments: str) -> Any:
    out = model.with_name("out.onnx")
    ran = edgeup("optimize", model, "-o", out, "--format", "json", *arguments)
    assert ran.status in (0, 1), ran.err
    jsonschema.validate(ran.json, schema())
    return ran, ran.json, types(out)


def test_an_overflow_stays_float32_and_is_reported(
    edgeup: Any, file_of: Callable[[str], Path]
) -> None:
    ran, report, held = optimize(edgeup, file_of(OVERFLOW), "--precision", "fp16")
    assert ran.status == 0
    section = report["precision"]
    assert [entry["node"] for entry in section["kept"]] == ["big", "small"]
    assert "beyond 65504" in section["kept"][0]["reason"]
    overflow = [f for f in section["findings"] if f["kind"] == "overflow"]
    assert [(f["node"], f["op"]) for f in overflow] == [("big", "Exp")]
    assert held == {"x": TensorProto.FLOAT, "y": TensorProto.FLOAT, "weights in fp16": 1}
    assert report["onnx"]["nodes"]["Cast"] == section["casts"] == 4
    (parity,) = report["parity"]
    assert parity["passed"]
    assert parity["max_abs"] < parity["tolerance"]["atol"]
    # ONNX Runtime's own casts cancel those of so small a graph, and it rounds nothing at all.
    assert 1e-5 < section["rounding"]["max_of_peak"] < 2e-2
    assert parity["tolerance"]["atol_of_peak"] == 2e-2
    (in_float32,) = section["parity_in_float32"]
    assert in_float32["tolerance"]["atol_of_peak"] < 1e-4


def test_inputs_and_outputs_in_the_same_precision(
    edgeup: Any, file_of: Callable[[str], Path]
) -> None:
    arguments = ("--precision", "fp16", "--io-precision", "same")
    ran, report, held = optimize(edgeup, file_of(OVERFLOW), *arguments)
    assert ran.status == 0
    assert (held["x"], held["y"]) == (TensorProto.FLOAT16, TensorProto.FLOAT16)
    assert report["latency"] == {"not_measured": "inputs are fp16 and the reference's float32"}


def test_an_output_that_the_format_does_not_hold_fails(
    edgeup: Any, file_of: Callable[[str], Path]
) -> None:
    arguments = ("--precision", "fp16", "--io-precision", "same")
    ran, report, _ = optimize(edgeup, file_of(ENDLESS), *arguments)
    assert ran.status == 1
    assert not report["passed"]
    assert not report["parity"][0]["finite"]


def test_a_weakly_typed_target_gets_float32_and_a_list(
    edgeup: Any, file_of: Callable[[str], Path]
) -> None:
    arguments = ("--precision", "fp16", "--target", "jetpack-4.6.1")
    ran, report, held = optimize(edgeup, file_of(OVERFLOW), *arguments)
    assert ran.status == 0
    assert held["weights in fp16"] == 0
    assert "Cast" not in report["onnx"]["nodes"]
    assert report["precision"]["form"] == "float32 graph and layer list"
    assert report["precision"]["compared"] == "rounding twin"
    assert [entry["node"] for entry in report["precision"]["kept"]] == ["big", "small"]
    assert any("takes its precision from flags" in notice for notice in report["notices"])


def test_the_text_names_what_stays(edgeup: Any, file_of: Callable[[str], Path]) -> None:
    model = file_of(OVERFLOW)
    ran = edgeup("optimize", model, "-o", model.with_name("out.onnx"), "--precision", "fp16")
    assert ran.status == 0
    words = " ".join(ran.out.split())
    assert "precision fp16, inputs and outputs fp32" in words
    assert "fp32: big (Exp): it makes 1" in words
    assert "overflow: big (Exp): b reaches" in words
    assert "parity: fp16, converted graph, against float32; float32 before: 1 of 1 passed" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--precision", "bf16"), "cpu has no bf16"),
        (("--precision", "bf16", "--target", "jetpack-4.6.1"), "jetpack-4.6.1 has no bf16"),
        (("--io-precision", "same"), "--io-precision same follows --precision"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    edgeup: Any, file_of: Callable[[str], Path], arguments: tuple[str, ...], words: str
) -> None:
    model = file_of(OVERFLOW)
    ran = edgeup("optimize", model, "-o", model.with_name("out.onnx"), *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not model.with_name("out.onnx").exists()


def test_a_network_is_exported_in_bf16(edgeup: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = ("--model", "unet", "--shape", "1x1x188x188", "--option", "width=0.0625")
    ran = edgeup(
        *("export", *arguments, "--target", "rtx", "--precision", "bf16"),
        *("-o", tmp_path, "--format", "json"),
    )
    assert ran.status == 0, ran.err
    report = ran.json
    jsonschema.validate(report, schema())
    assert report["precision"]["asked"] == "bf16"
    assert report["precision"]["parity_in_float32"][0]["passed"]
    assert report["parity"][0]["tolerance"]["atol_of_peak"] > 1e-3
    assert "bf16" in report["latency"]["not_measured"]
    held = {tensor.data_type for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert TensorProto.BFLOAT16 in held
    assert report["onnx"]["opset"] == 22


def test_export_keeps_the_nodes_of_a_list(edgeup: Any, tmp_path: Path) -> None:
    arguments = ("export", "--decoder", "nnconv5dw", "--shape", "1x3x32x32", "--format", "json")
    plain = edgeup(*arguments, "-o", tmp_path / "plain")
    assert plain.status == 0, plain.err
    model = onnx.load(tmp_path / "plain" / "model.onnx")
    node = next(node.name for node in model.graph.node if node.op_type == "Conv")
    (tmp_path / "keep.txt").write_text(f"{node}\tasked\n")
    half = (*arguments, "-o", tmp_path / "half", "--keep-fp32", tmp_path / "keep.txt")
    ran = edgeup(*half, "--precision", "fp16", "--fail-on", "precision")
    assert ran.status == 1, ran.err
    assert [entry["node"] for entry in ran.json["precision"]["kept"]] == [node]
    assert ran.json["gates"]["failures"] == [f"precision: {node} kept in fp32 where fp16 was asked"]
    ran = edgeup(*half)
    assert ran.status == 2
    assert "--keep-fp32 says what stays fp32 in another --precision" in ran.err

"""--fail-on of `edgeup verify` and `edgeup build`: exit status, a line per failure, the report."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx.parser
import pytest

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,8,8] image) => (float[1,2,8,8] depth, float[1,2,8,8] mask)
<float[1] lift = {LIFT}> {
  a = Tanh(image)
  depth = Add(a, lift)
  mask = Relu(a)
}"""
VERIFY = ("verify", "a.onnx", "b.onnx", "--kinds", "noise,ramp", "--atol", "1")


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a.onnx, and b.onnx, whose depth is 0.25 more."""
    monkeypatch.chdir(tmp_path)
    for name, lift in (("a", "0.5"), ("b", "0.75")):
        onnx.save(onnx.parser.parse_model(NET.replace("LIFT", lift)), f"{name}.onnx")


def valid(report: dict[str, Any], name: str) -> dict[str, Any]:
    schema = json.loads((files("edgeup") / "data" / f"{name}.schema.json").read_text())
    jsonschema.validate(report, schema)
    return report


def test_without_conditions_verify_judges_parity_alone(edgeup: Callable) -> None:
    report = valid(edgeup(*VERIFY, "--format", "json").json, "verify")
    assert report["passed"] is True
    assert "gates" not in report


def test_conditions_that_hold_fail_a_comparison_that_passed(edgeup: Callable) -> None:
    conditions = "parity,max_abs>0.2,max_abs>0.3,psnr<200dB,cosine<0.5,size>1KB,size>100B"
    ran = edgeup(*VERIFY, "--fail-on", conditions, "--format", "json")
    assert ran.status == 1
    report = valid(ran.json, "verify")
    assert report["passed"] is False
    assert report["parity"][0]["passed"] is True
    assert report["gates"]["conditions"] == conditions.split(",")
    failed = report["gates"]["failures"]
    assert failed[0] == "max_abs>0.2: the largest |error| is 0.25 (depth on noise)"
    assert failed[1].startswith("psnr<200dB: the peak signal-to-noise ratio is ")
    size = Path("b.onnx").stat().st_size
    assert 100 < size < 1000
    assert failed[2:] == [f"size>100B: bytes of the model's file is {size} B"]
    assert ran.err.splitlines() == [f"edgeup: failed: {line}" for line in failed]


def test_parity_that_fails_is_a_line_too(edgeup: Callable) -> None:
    strict = ("verify", "a.onnx", "b.onnx", "--kinds", "noise", "--atol", "0.1")
    ran = edgeup(*strict, "--fail-on", "parity,max_rel>1e9%")
    assert ran.status == 1
    assert ran.err == "edgeup: failed: parity: depth beyond the tolerance\n"
    # Kept limits do not excuse it.
    kept = edgeup(*strict, "--fail-on", "max_abs>0.3", "--format", "json")
    assert (kept.status, kept.err) == (1, "")
    assert kept.json["passed"] is False
    assert kept.json["gates"]["failures"] == []


def test_the_written_report_and_its_page_hold_the_limits(edgeup: Callable) -> None:
    ran = edgeup(*VERIFY, "--fail-on", "max_abs>0.2", "-o", "report.json")
    assert ran.status == 1
    assert "FAILED" in ran.out
    assert json.loads(Path("report.json").read_text())["passed"] is False
    page = Path("report.html").read_text()
    assert "max_abs&gt;0.2: the largest |error| is 0.25" in page
    assert edgeup(*VERIFY, "--fail-on", "max_abs>0.3").status == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*VERIFY, "--fail-on", "latency>1ms"), "does not find latency out; it can judge parity"),
        ((*VERIFY, "--fail-on", "precision"), "an ONNX file does not say what was asked"),
        ((*VERIFY, "--fail-on", "max_abs"), "max_abs needs a limit, as in max_abs>0.001"),
        (
            ("verify", "a.onnx", "saved.npz", "--fail-on", "size>1MB"),
            "the candidate is no ONNX file and no engine",
        ),
        (("verify", "a.onnx", "no.onnx", "--fail-on", "size>1MB"), "no.onnx does not exist"),
        (("build", "a.onnx", "--target", "rtx", "--fail-on", "latency>1ms"), "edgeup profile"),
        (("build", "a.onnx", "--target", "rtx", "--fail-on", "parity"), "nothing is converted"),
        (
            ("build", "a.onnx", "--target", "rtx", "--fp16", "--fail-on", "precision"),
            "chooses its kernels where it is loaded); it can judge parity, size",
        ),
        (
            *(("build", "a.onnx", "--profiling-verbosity", "none", "--fail-on", "precision"),),
            "tells its layers with --profiling-verbosity detailed alone",
        ),
        (
            ("optimize", "a.onnx", "-o", "o.onnx", "--no-verify", "--fail-on", "parity"),
            "--no-verify compares nothing",
        ),
        (("build", "a.onnx", "--dry-run", "--fail-on", "size>1MB"), "--dry-run builds nothing"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_any_work(
    edgeup: Callable, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("edgeup.pipeline.verify.whole.verify", never)
    monkeypatch.setattr("edgeup.pipeline.build.engine.load_named", never)
    monkeypatch.setattr("edgeup.pipeline.optimize.optimize_file", never)
    np.savez("saved.npz", depth=np.zeros(1, np.float32))
    ran = edgeup(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert reason in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not list(Path().glob("*.engine"))


def test_the_size_of_a_model_is_with_its_weights_beside_it(
    edgeup: Callable, tmp_path: Path
) -> None:
    proto = onnx.load("a.onnx")
    wide = onnx.numpy_helper.from_array(np.full((1, 2, 8, 8), 0.5, np.float32), "lift")
    proto.graph.initializer[0].CopyFrom(wide)
    onnx.save(
        *(proto, "wide.onnx"), save_as_external_data=True, location="w.data", size_threshold=0
    )
    alone, beside = Path("wide.onnx").stat().st_size, Path("w.data").stat().st_size
    assert beside >= 512
    ran = edgeup("verify", "a.onnx", "wide.onnx", "--kinds", "noise", "--fail-on", "size>=1B")
    assert ran.status == 1
    size = alone + beside
    shown = f"{size / 1e3:.4g} KB" if size >= 1000 else f"{size} B"
    assert f"bytes of the model's file is {shown}" in ran.err


def test_build_holds_its_engine_to_limits(edgeup: Callable, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    command = ("build", "a.onnx", "--target", "rtx", "--fp16", "-o", "e.engine", "--fail-on")
    ran = edgeup(*command, "parity,size>1KB", "--format", "json")
    assert ran.status == 1, ran.err
    report = valid(ran.json, "build")
    assert report["passed"] is False
    [line] = report["gates"]["failures"]
    assert line.startswith("size>1KB: bytes of the model's file is ")
    assert ran.err == f"edgeup: failed: {line}\n"
    assert Path("e.engine").stat().st_size == report["engine"]["bytes"]  # to be looked into
    assert edgeup(*command, "parity,size>1GB").status == 0

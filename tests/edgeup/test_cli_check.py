"""`edgeup check`: verdicts, remedies, DLA, NVIDIA's own parser, and wrong requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import onnx.parser
import pytest

from edgeup.pipeline import check as pipeline
from edgeup.pipeline.check import CheckRequest, check_file, package_for
from edgeup.runtime import nvidia_parser
from edgeup.runtime.nvidia_parser import NvidiaError, NvidiaVerdict
from edgeup.targets import find_target

CLEAN = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,8,8] image) => (float[1,2,16,16] depth)
<float[4] twice = {1.0, 1.0, 2.0, 2.0}> {
  a = Relu(image)
  depth = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
                 nearest_mode = "floor">(a, , twice)
}"""

MIXED = """<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,16,16] image) => (float[1,4,h,w] depth, int64[1,4,8,8] i)
<float[4] twice = {1.0, 1.0, 2.0, 2.0}, float[4] half = {1.0, 1.0, 0.5, 0.5}> {
  up = Resize<mode = "linear", antialias=1>(image, , twice)
  a = Resize<mode = "linear", antialias=1>(up, , half)
  b = Resize<mode = "linear", antialias=1>(a, , half)
  depth = Resize<mode = "cubic">(b, , twice)
  p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(image)
}"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(text: str, name: str = "net.onnx", **names: str) -> Path:
        model = onnx.parser.parse_model(text)
        for node in model.graph.node:
            node.name = names.get(node.output[0], node.name)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return written


def schema() -> dict[str, Any]:
    text = (files("edgeup") / "data" / "check.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.mark.parametrize(
    ("target", "verdicts"),
    [
        ("trt-8.0", {"a": "different", "b": "different", "depth": "refused", "i": "refused"}),
        ("trt-8.5", {"a": "different", "b": "different", "i": "refused"}),
        ("trt-10.3", {"up": "refused", "a": "refused", "b": "refused", "i": "refused"}),
    ],
)
def test_each_version_has_its_own_verdicts(
    edgeup: Callable, write: Callable, target: str, verdicts: dict[str, str]
) -> None:
    path = write(MIXED, up="up", a="a", b="b", depth="depth", p="i")
    ran = edgeup("check", path, "--target", target, "--static", "--format", "json")
    assert ran.status == 1, ran.err
    jsonschema.validate(ran.json, schema())
    assert {entry["node"]: entry["verdict"] for entry in ran.json["nodes"]} == verdicts
    assert ran.json["accepted"] is False
    assert ran.json["nvidia"] is None
    assert ran.json["target"]["name"] == target
    assert ran.json["command"].startswith("edgeup")
    assert ran.json["environment"]["edgeup"]
    remedies = {entry["op"]: entry["remedy"] for entry in ran.json["nodes"]}
    assert remedies["Resize"] == f"edgeup optimize --target {target} rewrites it " + (
        "(pass separable-resize)"
    )
    assert "(pass max-pooling)" in remedies["MaxPool"]


def test_what_is_taken_ends_with_0(edgeup: Callable, write: Callable) -> None:
    ran = edgeup("check", write(CLEAN), "--static", "--format", "json")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, schema())
    assert (ran.json["accepted"], ran.json["passed"]) == (True, True)
    assert ran.json["nodes"] == []
    assert ran.json["target"]["name"] == "jetpack-6.2"  # the default


def test_what_is_taken_and_computes_something_else_ends_with_1(
    edgeup: Callable, write: Callable
) -> None:
    model = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[1,3,8,8] x) => (float[1,3,4,4] y) <float[4] s = {1, 1, 0.5, 0.5}> {
        y = Resize <mode = "linear", antialias = 1> (x, , s)
    }"""
    ran = edgeup("check", write(model), "--target", "trt-8.6", "--static", "--format", "json")
    assert ran.status == 1, ran.err
    jsonschema.validate(ran.json, schema())
    assert (ran.json["accepted"], ran.json["passed"]) == (True, False)
    assert [entry["verdict"] for entry in ran.json["nodes"]] == ["different"]


def test_the_remedy_is_true(edgeup: Callable, write: Callable, tmp_path: Path) -> None:
    path, out = write(MIXED), tmp_path / "out.onnx"
    made = edgeup("optimize", path, "-o", out, "--target", "trt-8.0")
    assert made.status == 0, made.err
    ran = edgeup("check", out, "--target", "trt-8.0", "--static", "--format", "json")
    assert (ran.status, ran.json["nodes"]) == (0, [])


def test_text_is_readable_at_80_columns(edgeup: Callable, write: Callable) -> None:
    ran = edgeup("check", write(MIXED, a="a", b="b"), "--target", "trt-8.5", "--static")
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert lines[0].startswith("net.onnx on trt-8.5, TensorRT 8.5")
    assert "NOT ACCEPTED; 5 nodes: 1 refused, 2" in lines[0]
    assert all(len(line) <= 80 for line in lines)
    # The two that say the same are one paragraph.
    assert "accepted, but computes something else: 2 Resize a, b" in ran.out
    assert ran.out.count("ignores antialias") == 1


def test_a_name_reaches_the_terminal_as_characters(edgeup: Callable, write: Callable) -> None:
    path = write(MIXED, a="\x1b[31mred\x07")
    for style in ("text", "json"):
        ran = edgeup("check", path, "--target", "trt-8.5", "--static", "--format", style)
        assert "\x1b" not in ran.out
        assert "\x07" not in ran.out
    assert "\x1b[31mred\x07" in [entry["node"] for entry in ran.json["nodes"]]


def test_the_accelerator_leaves_some_to_the_gpu(edgeup: Callable, write: Callable) -> None:
    ran = edgeup("check", write(MIXED), "--target", "agx-xavier", "--static", "--format", "json")
    jsonschema.validate(ran.json, schema())
    reasons = {entry["op"]: entry["reason"] for entry in ran.json["fallbacks"]}
    assert "cubic" in reasons["Resize"]
    assert "int64" in reasons["MaxPool"]
    for without in ("orin-nano-8gb", "jetpack-6.2", "thor-t5000"):
        ran = edgeup("check", write(MIXED), "--target", without, "--static", "--format", "json")
        assert ran.json["fallbacks"] == []


def test_a_newer_opset_is_said_and_is_no_fault(edgeup: Callable, write: Callable) -> None:
    text = CLEAN.replace('"" : 17', '"" : 22')
    ran = edgeup("check", write(text), "--target", "trt-8.0", "--static", "--format", "json")
    assert (ran.status, ran.json["nodes"]) == (0, [])
    assert any("opset 22 is newer than the 13" in notice for notice in ran.json["notices"])


def test_shapes_decide(edgeup: Callable, write: Callable) -> None:
    text = CLEAN.replace("float[1,2,8,8]", "float[1,2,h,w]").replace("[1,2,16,16]", "[1,2,a,b]")
    path = write(text)
    xavier = ("--target", "agx-xavier", "--static", "--format", "json")
    loose, fixed = (
        edgeup("check", path, *xavier),
        edgeup("check", path, *xavier, "--shape", "1x2x8x8"),
    )
    assert "is not fixed" in loose.json["fallbacks"][0]["reason"]
    assert fixed.json["fallbacks"] == []


def answer_of(accepted: bool, package: str, stage: str = "parse") -> NvidiaVerdict:
    errors = () if accepted else (NvidiaError("Resize_1", "Resize", "UNSUPPORTED_NODE", "no"),)
    version = "1.7.1" if package == "tensorrt_rtx" else "8.5.2.2"
    return NvidiaVerdict(accepted, stage, errors, package, version)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Stand in for NVIDIA's libraries; returns a list that will hold what was asked for."""

    def stand_in(accepted: bool, package: str, stage: str = "parse") -> list[bool]:
        calls: list[bool] = []

        def ask(content: bytes, *, build: bool, package: str, profile: Any = None) -> NvidiaVerdict:
            assert onnx.load_from_string(content).graph.node
            calls.append(build)
            return answer_of(accepted, package, stage)

        monkeypatch.setattr(nvidia_parser, "nvidia_packages", lambda: (package,))
        monkeypatch.setattr(nvidia_parser, "ask_nvidia", ask)
        return calls

    return stand_in


@pytest.mark.parametrize(
    ("target", "package", "says", "status", "decides", "disagrees"),
    [
        ("trt-8.5", "tensorrt", True, 0, True, None),
        ("trt-8.5", "tensorrt", False, 1, True, "the rules refuse nothing"),
        ("trt-10.3", "tensorrt", False, 0, False, "the rules refuse nothing"),
        ("trt-8.5", "tensorrt_rtx", False, 0, False, "the rules refuse nothing"),
        ("rtx", "tensorrt_rtx", False, 1, True, "the rules refuse nothing"),
        ("rtx", "tensorrt", False, 0, False, "the rules refuse nothing"),
    ],
)
def test_nvidia_is_asked_and_decides_for_its_own_version(
    edgeup: Callable,
    write: Callable,
    asked: Callable,
    target: str,
    package: str,
    says: bool,
    status: int,
    decides: bool,
    disagrees: str | None,
) -> None:
    calls = asked(says, package)
    ran = edgeup("check", write(CLEAN), "--target", target, "--format", "json")
    assert ran.status == status, ran.err
    jsonschema.validate(ran.json, schema())
    verdict = ran.json["nvidia"]
    assert (verdict["package"], verdict["accepted"], verdict["decides"]) == (package, says, decides)
    assert (disagrees or "") in (verdict["disagreement"] or "")
    assert (verdict["disagreement"] is None) == (disagrees is None)
    assert calls == [False]
    text = edgeup("check", write(CLEAN), "--target", target)
    assert f"NVIDIA's parser, {package}" in text.out
    assert ("disagreement: " in text.out) == (disagrees is not None)
    assert ("it does not decide" in text.out) == (not decides)


@pytest.mark.parametrize(("stage", "disagrees"), [("parse", False), ("build", True)])
def test_a_parser_that_takes_it_proves_less_than_a_builder(
    edgeup: Callable, write: Callable, asked: Callable, stage: str, disagrees: bool
) -> None:
    calls = asked(True, "tensorrt", stage)
    build = ["--build"] if stage == "build" else []
    ran = edgeup("check", write(MIXED), "--target", "trt-8.5", *build, "--format", "json")
    assert ran.status == 1
    assert calls == [stage == "build"]
    assert (ran.json["nvidia"]["disagreement"] is not None) == disagrees


def test_the_package_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("tensorrt", "tensorrt_rtx")
    for found, target, wanted in (
        (both, "rtx", "tensorrt_rtx"),
        (both, "jetpack-6.2", "tensorrt"),
        (("tensorrt_rtx",), "jetpack-6.2", "tensorrt_rtx"),
        ((), "rtx", None),
        (both, "cpu", None),
    ):
        monkeypatch.setattr(nvidia_parser, "nvidia_packages", lambda found=found: found)
        assert package_for(find_target(target)) == wanted


def test_nvidias_own_parser_is_asked_for_rtx(edgeup: Callable, write: Callable) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed")
    ran = edgeup("check", write(CLEAN), "--target", "rtx", "--build", "--format", "json")
    assert ran.status == 0, ran.json
    assert ran.json["nvidia"]["stage"] == "build"
    assert ran.json["nvidia"]["disagreement"] is None


def test_onnx_runtime_has_no_rules(edgeup: Callable, write: Callable) -> None:
    ran = edgeup("check", write(MIXED), "--target", "cpu", "--format", "json")
    assert (ran.status, ran.json["nodes"], ran.json["nvidia"]) == (0, [], None)
    assert any("no rules" in notice for notice in ran.json["notices"])


def test_what_cannot_be_asked_is_a_notice(write: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeup.errors import EdgeupError

    def refuse(*given: Any, **named: Any) -> NvidiaVerdict:
        raise EdgeupError("it does not start on this machine")

    monkeypatch.setattr(nvidia_parser, "nvidia_packages", lambda: ("tensorrt",))
    monkeypatch.setattr(nvidia_parser, "ask_nvidia", refuse)
    request = CheckRequest(find_target("trt-8.5"))
    report = check_file(write(CLEAN), request, lambda words: None)
    assert (report["accepted"], report["nvidia"]) == (True, None)
    assert any("does not start" in notice for notice in report["notices"])
    with pytest.raises(EdgeupError, match="does not start"):
        check_file(write(CLEAN), replace(request, build=True), lambda words: None)


def test_a_finding_inside_a_function_has_a_remedy(write: Callable, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
    net (float[1,2,8,8] image) => (float[1,2,h,w] y) { y = my.pool (image) }
    <domain: "my", opset_import: ["" : 17]>
    pool (x) => (y) { y, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) }"""
    request = CheckRequest(find_target("trt-8.6"), static=True)
    report = check_file(write(text), request, lambda words: None)
    assert [entry["op"] for entry in report["nodes"]] == ["MaxPool"]
    assert "pass max-pooling" in report["nodes"][0]["remedy"]


def test_a_near_miss_says_why_the_pass_leaves_it(write: Callable) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[1,2,h,w] image) => (float[1,2,a,b] y) <float[4] s = {1.0, 1.0, 0.5, 0.5}> {
      y = Resize<mode = "linear", antialias=1>(image, , s) }"""
    request = CheckRequest(find_target("trt-10.3"), static=True)
    report = check_file(write(text), request, lambda words: None)
    assert "pass separable-resize leaves it" in report["nodes"][0]["remedy"]
    assert "--shape" in report["nodes"][0]["remedy"]


def test_what_onnx_forbids_is_one_line(edgeup: Callable, write: Callable) -> None:
    path = write("""<ir_version: 8, opset_import: ["" : 17]>
    net (float[1,2,8,8] image) => (float[1,2,a,b] y) {
      y = MaxPool<kernel_shape=[2], strides=[2,2], ceil_mode=1>(image) }""")
    ran = edgeup("check", path, "--target", "trt-8.5", "--static")
    assert ran.status == 2
    assert "breaks ONNX's own rules" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_open_reports_of_10_3_are_told() -> None:
    assert "ros2-depth-anything-v3-trt#16" in pipeline.NOTICES[10, 3]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.onnx"], "there is no file missing.onnx"),
        (["text.onnx"], "not an ONNX model"),
        (["empty.onnx"], "is empty"),
        (["."], "is no file"),
        (["net.onnx", "--target", "jetson-9"], "unknown target"),
        (["net.onnx", "--target", "thor-t5000@6.2"], "does not run JetPack"),
        (["net.onnx", "--shape", "1x3x4x4"], "does not fit"),
        (["net.onnx", "--shape", "picture:1x2x8x8"], "unknown input"),
        (["net.onnx", "--shape", "1x2x8xh"], "is not a shape"),
        (["net.onnx", "--static", "--build"], "give one"),
        (["net.onnx", "--target", "cpu", "--build"], "--build needs"),
        (["net.onnx", "--format", "xml"], "--format"),
        ([], "MODEL.onnx"),
    ],
)
def test_a_wrong_request_is_one_line(
    edgeup: Callable,
    write: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(CLEAN)
    (tmp_path / "text.onnx").write_text("no model at all, but some words\n" * 9)
    (tmp_path / "empty.onnx").write_bytes(b"")
    ran = edgeup("check", *arguments)
    assert ran.status == 2
    assert reason in ran.err
    assert len(ran.err.splitlines()) == 1


def test_what_stays_float32_in_a_precision(edgeup: Callable, write: Callable) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[1,2,8,8] image, float[1,8,8,2] grid) => (float[1,2,8,8] depth)
    <float[2,2,1,1] w = {1, 2, 3, 4}> {
      a = Conv(image, w)
      depth = GridSample(a, grid)
    }"""
    path = write(text, a="conv", depth="sample")
    ask = ("check", path, "--static", "--format", "json", "--target")
    ran = edgeup(*ask, "trt-10.3", "--precision", "bf16")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, schema())
    assert ran.json["precision"]["asked"] == "bf16"
    assert [entry["node"] for entry in ran.json["precision"]["in_fp32"]] == ["sample"]
    assert edgeup(*ask, "trt-10.3", "--precision", "fp16").json["precision"]["in_fp32"] == []
    assert edgeup(*ask, "trt-10.3").json["precision"] is None
    ran = edgeup(*ask, "jetpack-4.6", "--precision", "bf16")
    assert ran.status == 2
    assert "jetpack-4.6 has no bf16; it has fp32" in ran.err
    shown = edgeup("check", path, "--static", "--target", "trt-10.3", "--precision", "fp16").out
    assert "fp16: every node has it" in shown


def test_the_report_and_its_page_are_written(
    edgeup: Callable, write: Callable, tmp_path: Path
) -> None:
    path = write(MIXED, up="up", a="a", b="b", depth="depth", p="i")
    goal = tmp_path / "check.json"
    ran = edgeup("check", path, "--target", "agx-orin-64gb@6.2", "--static", "-o", goal)
    assert ran.status == 1, ran.err
    assert "check.json" in ran.out.partition("wrote")[2]
    report = json.loads(goal.read_text())
    jsonschema.validate(report, schema())
    page = (tmp_path / "check.html").read_text()
    assert "<h1>net.onnx</h1>" in page
    assert f"The target: {len(report['nodes'])} nodes refused." in page
    for entry in (*report["nodes"], *report["fallbacks"]):
        assert entry["reason"].replace("'", "&#x27;") in page
    assert len(report["nodes"]) > 2 < len(report["fallbacks"])
    again = edgeup("report", goal, "-o", tmp_path / "again.html")
    assert again.status == 0, again.err


def test_what_stays_fp32_and_what_nvidia_says_stand_on_the_page(
    edgeup: Callable, write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "package_for", lambda target: "tensorrt_rtx")
    error = NvidiaError("sample", "GridSample", "UNSUPPORTED_NODE", "no <such> plugin")
    verdict = NvidiaVerdict(False, "parse", (error,), "tensorrt_rtx", "1.7.1")
    monkeypatch.setattr(nvidia_parser, "ask_nvidia", lambda *args, **options: verdict)
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[1,2,8,8] image, float[1,8,8,2] grid) => (float[1,2,8,8] depth)
    { depth = GridSample(image, grid) }"""
    path = write(text, depth="sample")
    goal = tmp_path / "check.json"
    edgeup("check", path, "--target", "trt-10.3", "--precision", "bf16", "-o", goal)
    page = (tmp_path / "check.html").read_text()
    assert "Precision: bf16; 1 node would stay in fp32." in page
    assert "NVIDIA&#x27;s parser, tensorrt_rtx 1.7.1: refused when asked to parse." in page
    assert "GridSample sample: no &lt;such&gt; plugin" in page


@pytest.mark.parametrize("name", ["net.onnx", "link.json", "check.html"])
def test_a_report_that_would_overwrite_the_model_is_refused_early(
    edgeup: Callable,
    write: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    path = write(CLEAN)
    before = path.read_bytes()
    (tmp_path / "link.json").symlink_to(path)
    monkeypatch.setattr(pipeline, "check_file", lambda *given: pytest.fail("work began"))
    ran = edgeup("check", path, "-o", tmp_path / name)
    assert ran.status == 2
    assert "would be overwritten, and it is read" in ran.err or "name a .json file" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert path.read_bytes() == before

"""Asking NVIDIA's parser and builder, in a process of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.runtime import nvidia_parser
from edgeup.runtime.nvidia_parser import NvidiaParser, Profile, ask_nvidia, nvidia_packages

needs_rtx = pytest.mark.skipif(
    "tensorrt_rtx" not in nvidia_packages(), reason="tensorrt-rtx-cu12 is not installed"
)


def content(inputs: str, body: str, constants: str = "") -> bytes:
    head = '<ir_version: 9, opset_import: ["": 20]>'
    text = f"{head} g ({inputs}) => (float[a,b] y) <{constants}> {{ {body} }}"
    serialized: bytes = onnx.parser.parse_model(text).SerializeToString()
    return serialized


@pytest.fixture(scope="module")
def parser() -> Iterator[NvidiaParser]:
    """One process for all questions."""
    with NvidiaParser("tensorrt_rtx") as one:
        yield one


@needs_rtx
def test_a_model_that_is_taken(parser: NvidiaParser) -> None:
    verdict = parser.ask(content("float[2,3] x", "y = Relu(x)"), build=True)
    assert verdict.accepted
    assert verdict.to_json()["errors"] == []
    assert (verdict.stage, verdict.package) == ("build", "tensorrt_rtx")
    assert verdict.version[0].isdigit()


@needs_rtx
def test_the_parsers_reason_with_node_and_operator(parser: NvidiaParser) -> None:
    model = content("float[2,2] x", "[here] d = Det(x) y = Add(x, d)")
    verdict = parser.ask(model, build=True)
    assert (verdict.accepted, verdict.stage) == (False, "parse")
    (error,) = verdict.errors
    assert (error.node, error.op, error.code) == ("here", "Det", "UNSUPPORTED_NODE")


@needs_rtx
def test_the_builders_reason_is_heard_when_it_is_asked(parser: NvidiaParser) -> None:
    body = "t = ConvTranspose<strides=[2,2], dilations=[2,2]>(x, w) y = Flatten(t)"
    model = content("float[1,1,4,4] x, float[1,1,3,3] w", body)
    assert parser.ask(model, build=False).accepted
    verdict = parser.ask(model, build=True)
    assert (verdict.accepted, verdict.stage) == (False, "build")
    assert "Strided & Dilated Deconv" in verdict.errors[0].text


@needs_rtx
@pytest.mark.parametrize("name", ["", "up"])
def test_the_builders_reason_is_led_back_to_its_node(parser: NvidiaParser, name: str) -> None:
    label = f"[{name}]" if name else ""
    body = f"""r = Relu(x) {label} t = Resize<mode="linear">(r, , , s) y = Flatten(t)"""
    model = content("float[2,3,4,4] x", body, "int64[4] s = {4, 6, 8, 8}")
    (error,) = parser.ask(model, build=True).errors
    assert (error.node, error.op, error.code) == (name, "Resize", "BUILD")


@needs_rtx
def test_an_open_dimension_needs_a_size(parser: NvidiaParser) -> None:
    model = content("float[n,3] x", "y = Relu(x)")
    assert parser.ask(model, build=False).accepted
    with pytest.raises(EdgeupError, match=r"sizes for input x, since it is \?x3"):
        parser.ask(model, build=True)
    assert parser.ask(model, build=True, profile=Profile.fixed({"x": (2, 3)})).accepted
    wrong = Profile.fixed({"x": (2, 3, 4)})
    with pytest.raises(EdgeupError, match="input x does not take the sizes"):
        parser.ask(model, build=True, profile=wrong)


@needs_rtx
def test_an_input_that_is_a_shape_needs_its_numbers(parser: NvidiaParser) -> None:
    model = content("float[2,3] x, int64[2] s", "y = Reshape(x, s)")
    with pytest.raises(EdgeupError, match="input s, since its numbers are a shape"):
        parser.ask(model, build=True)
    profile = Profile(values={"s": ((1, 1), (3, 2), (6, 6))})
    assert parser.ask(model, build=True, profile=profile).accepted


@needs_rtx
@pytest.mark.parametrize("rubbish", [b"", b"no model", b"\x0a\xff\xff\xff\xff"])
def test_rubbish_is_refused(parser: NvidiaParser, rubbish: bytes) -> None:
    assert not parser.ask(rubbish, build=True).accepted


@needs_rtx
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = content("uint16[2,3] x", "y = Cast<to=1>(x)")
    verdict = ask_nvidia(model, build=True, package="tensorrt_rtx")
    assert "Failed to convert ONNX" in verdict.errors[0].text
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@needs_rtx
def test_a_process_that_dies_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with NvidiaParser("tensorrt_rtx") as parser:
        good = content("float[2,3] x", "y = Relu(x)")
        assert parser.ask(good, build=False).accepted
        assert parser._process is not None
        os.kill(parser._process.pid, signal.SIGKILL)
        verdict = parser.ask(good, build=False)
        assert [error.code for error in verdict.errors] == ["CRASH"]
        assert "status -9" in verdict.errors[0].text
        assert parser.ask(good, build=False).accepted, "the next question has a process again"
        monkeypatch.setattr(nvidia_parser, "PATIENCE_S", 0.0)
        assert [e.code for e in parser.ask(good, build=True).errors] == ["TIMEOUT"]


@needs_rtx
def test_a_file_in_the_working_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert ask_nvidia(content("float[2,3] x", "y = Relu(x)"), build=False).accepted


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
def test_weights_in_other_files_are_not_opened(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/hostname")
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    if place == "initializer":
        model.graph.initializer.append(outside)
    elif place == "attribute":
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=outside))
    else:
        inner = onnx.helper.make_graph([], "inner", [], [], [outside])
        model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=inner))
    monkeypatch.setattr(nvidia_parser, "nvidia_packages", lambda: ("tensorrt_rtx",))
    with pytest.raises(EdgeupError, match="weights of 'w' lie in another file"):
        ask_nvidia(model.SerializeToString(), build=False)


def test_without_a_package_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_parser, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"edgeup\[rtx\]"):
        ask_nvidia(b"", build=False)
    with pytest.raises(MissingPackageError, match=r"edgeup\[tensorrt\]"):
        ask_nvidia(b"", build=False, package="tensorrt")

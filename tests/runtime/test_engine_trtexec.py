"""trtexec: its arguments by version, its run as a stand-in program, its log and its exports."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import onnx.parser
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine import device
from edgeup.runtime.engine.layer_info import parse_layers
from edgeup.runtime.engine.request import BuildOptions, ShapeRange
from edgeup.runtime.engine.sidecar import Here, load_engine
from edgeup.runtime.engine.trtexec import Files, build_arguments, command_line
from edgeup.runtime.engine.trtexec_exports import parse_profile, parse_times
from edgeup.runtime.engine.trtexec_log import build_errors, parse_log, version_of
from edgeup.runtime.engine.trtexec_run import Trtexec, build_with_trtexec, find_trtexec

TABLE = json.loads((Path(__file__).parent / "data" / "trtexec_options.json").read_text())
RELEASES = TABLE["releases"]
FILES = Files(Path("m.onnx"), Path("m.engine"), Path("m.layers.json"), Path("t.cache"))
RANGE = ShapeRange("x", (1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))


def version(release):
    major, minor = release.split(".")[:2]
    return int(major), int(minor)


def accepted(release):
    """The option names that a release's trtexec knows."""
    order = {name: number for number, name in enumerate(RELEASES)}
    names = set()
    for name, span in TABLE["options"].items():
        first, last = span.split("-") if isinstance(span, str) else (None, None)
        if release in span if first is None else order[first] <= order[release] <= order[last]:
            names.add(name)
    return names


def options_for(release, **more):
    """Every option that the release has."""
    at = version(release)
    facts = {
        "strongly_typed": at >= (10, 0),
        "fp16": at < (10, 0),
        "keep_fp32": ("conv", "ns:head") if (8, 4) <= at < (10, 0) else (),
        "tf32": False,
        "workspace": 1 << 30,
        "optimization_level": 4 if at >= (8, 6) else None,
        "version_compatible": at >= (8, 6),
        "hardware_compatibility": "ampere+" if at >= (8, 6) else None,
        "dla_core": 0,
        "gpu_fallback": True,
        "shapes": (RANGE,),
        "sparse_weights": True,
    }
    return BuildOptions(**{**facts, **more})


@pytest.mark.parametrize("release", RELEASES)
def test_every_argument_is_one_that_the_release_knows(release):
    arguments = build_arguments(options_for(release), version(release), FILES)
    names = [argument.partition("=")[0] for argument in arguments]
    assert set(names) <= accepted(release)
    assert len(names) == len(set(names))
    assert "--onnx=m.onnx" in arguments
    assert "--saveEngine=m.engine" in arguments
    if version(release) >= (11, 0):
        precisions = {"--fp16", "--bf16", "--best", "--layerPrecisions", "--stronglyTyped"}
        assert not precisions & set(names)


def test_the_lines_of_jetpack_4_5_and_6():
    weak = BuildOptions(strongly_typed=False, fp16=True, workspace=512 << 20)
    files = Files(Path("m.onnx"), Path("m.engine"))
    assert build_arguments(weak, (8, 2), files) == [
        *("--onnx=m.onnx", "--saveEngine=m.engine", "--fp16", "--workspace=512"),
        *("--profilingVerbosity=detailed", "--buildOnly"),
    ]
    kept = BuildOptions(strongly_typed=False, fp16=True, keep_fp32=("a", "b:1"), shapes=(RANGE,))
    assert build_arguments(kept, (8, 5), FILES) == [
        *("--onnx=m.onnx", "--saveEngine=m.engine", "--fp16", "--precisionConstraints=obey"),
        *("--layerPrecisions=a:fp32,'b:1':fp32", "--layerOutputTypes=a:fp32,'b:1':fp32"),
        *("--minShapes=x:1x3x8x8", "--optShapes=x:2x3x8x8", "--maxShapes=x:4x3x8x8"),
        *("--profilingVerbosity=detailed", "--exportLayerInfo=m.layers.json"),
        *("--timingCacheFile=t.cache", "--buildOnly"),
    ]
    strong = BuildOptions(strongly_typed=True, workspace=1 << 30, tf32=False)
    assert build_arguments(strong, (10, 3), files) == [
        *("--onnx=m.onnx", "--saveEngine=m.engine", "--stronglyTyped", "--noTF32"),
        *("--memPoolSize=workspace:1024", "--profilingVerbosity=detailed", "--skipInference"),
    ]


def test_a_line_can_be_given_to_a_shell():
    files = Files(Path("a model.onnx"), Path("it's.engine"))
    line = command_line("trtexec", build_arguments(BuildOptions(True), (10, 3), files))
    echoed = subprocess.run(["sh", "-c", line.replace("trtexec", "printf '%s\\n'", 1)],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert echoed.stdout.splitlines()[:2] == ["--onnx=a model.onnx", "--saveEngine=it's.engine"]


@pytest.mark.parametrize(
    ("release", "more", "said"),
    [
        ("8.2.1", {"keep_fp32": ("conv",)}, "cannot keep single layers in fp32 (conv must stay"),
        ("8.5.3", {"keep_fp32": ("a,b",)}, "cannot be told of 'a,b'"),
        ("8.5.3", {"optimization_level": 5}, "no builder optimization level; 8.6 is the first"),
        ("8.5.3", {"version_compatible": True}, "no version- or hardware-compatible engines"),
        ("8.6.1", {"hardware_compatibility": "sameComputeCapability"}, "10.9 is the first"),
        ("8.6.1", {"strongly_typed": True}, "no strongly typed networks; 10.0 is the first"),
        ("11.0.0", {"strongly_typed": False, "fp16": True}, "is strongly typed; precision is in"),
        ("10.3.0", {"compute_capabilities": ("8.6",)}, "of TensorRT for RTX alone"),
    ],
)
def test_what_a_release_cannot_do_is_refused(release, more, said):
    with pytest.raises(EdgeupError) as caught:
        build_arguments(options_for(release, **more), version(release), FILES)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------------ the program

STAND_IN = """#!{python}
import json, os, sys, time
ACCEPTED = {accepted}
said = "TensorRT.trtexec [TensorRT v{number}] # trtexec " + " ".join(sys.argv[1:])
print("&&&& RUNNING", said)
given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
if "--help" in given:
    print("&&&& PASSED", said)
    sys.exit(0)
for name in given:
    if name not in ACCEPTED:
        print("[11/23/2026-07:00:00] [E] Unknown option: " + name)
        print("&&&& FAILED", said)
        sys.exit(1)
content = open(given["--onnx"], "rb").read()
print("[11/23/2026-07:00:01] [W] [TRT] a warning, twice")
print("[11/23/2026-07:00:01] [W] [TRT] a warning, twice")
if content == b"wait":
    open({marker!r}, "w").write(str(os.getpid()))
    time.sleep(60)
if content == b"crash":
    os.abort()
if content == b"refuse":
    print({refusal!r})
    print("&&&& FAILED", said)
    sys.exit(1)
open(given["--saveEngine"], "wb").write(b"engine of " + content)
if "--exportLayerInfo" in given:
    json.dump({{"Layers": ["conv"], "Bindings": ["x"]}}, open(given["--exportLayerInfo"], "w"))
if "--timingCacheFile" in given:
    path = given["--timingCacheFile"]
    before = open(path, "rb").read() if os.path.exists(path) else b""
    open(path, "wb").write(before + b"+1")
print("&&&& PASSED", said)
"""

SAMPLES = Path(__file__).parent / "data" / "trtexec"
"""Excerpts of what trtexec wrote, as published with NVIDIA's TREx, in reports of bugs and in notes;
the refusal is one of an Identity with a Resize put in its place."""


def sample(name):
    return (SAMPLES / name).read_text()


NUMBERS = {"8.0.1": "8001", "8.2.1": "8201", "8.5.3": "8503", "8.6.1": "8601", "10.3.0": "100300",
           "10.13.3": "101303", "11.1.0": "110100"}  # fmt: skip


@pytest.fixture
def stand_in(tmp_path):
    """``stand_in(release)`` makes a program that behaves as that release's trtexec."""

    def make(release):
        path = tmp_path / "trtexec"
        names = sorted(accepted(release))
        marker = str(tmp_path / "running")
        text = STAND_IN.format(
            python=sys.executable,
            accepted=names,
            number=NUMBERS[release],
            marker=marker,
            refusal=sample("refused_8.2.log"),
        )
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def found(path):
    return find_trtexec(which=lambda name: str(path))


@pytest.mark.parametrize("release", NUMBERS)
def test_finds_the_version_and_builds_with_what_it_takes(stand_in, release):
    trtexec = found(stand_in(release))
    assert trtexec.version_text == release
    built = build_with_trtexec(trtexec, b"model", options_for(release), timings=b"before")
    assert built.errors == ()
    assert built.engine == b"engine of model"
    assert built.timings == b"before+1"
    assert built.warnings == ("[TRT] a warning, twice",)
    if release == "8.0.1":
        assert built.layers is None
        assert "does not tell of its layers" in built.unread
    else:
        assert parse_layers(built.layers)[0].name == "conv"


def test_it_is_looked_for_on_the_path_and_then_in_the_usual_folder(stand_in, tmp_path):
    usual = stand_in("10.3.0")
    assert find_trtexec(which=lambda name: None, usual=usual).path == str(usual)
    assert find_trtexec(which=lambda name: None, usual=tmp_path / "no") is None


def test_one_that_does_not_run_is_said_in_a_line(tmp_path):
    path = tmp_path / "trtexec"
    path.write_text("#!/bin/sh\necho 'libnvinfer.so.8: cannot open shared object file'\nexit 127\n")
    with pytest.raises(EdgeupError, match="does not start"):
        found(path)
    path.chmod(0o755)
    with pytest.raises(EdgeupError, match=r"status 127, it said: libnvinfer\.so\.8"):
        found(path)


def test_a_refused_model_comes_back_as_node_operator_and_reason(stand_in):
    trtexec = found(stand_in("8.2.1"))
    built = build_with_trtexec(trtexec, b"refuse", options_for("8.2.1"))
    assert built.engine is None
    [error] = built.errors
    assert (error.stage, error.node, error.op) == ("parser", "Resize_4", "Resize")
    assert "only supports the nearest and linear modes" in error.reason


def test_an_option_that_it_does_not_know_is_its_own_error(stand_in):
    trtexec = Trtexec(str(stand_in("10.3.0")), (8, 5, 3))  # wrong about the version
    built = build_with_trtexec(trtexec, b"model", BuildOptions(strongly_typed=False))
    assert [error.reason for error in built.errors] == ["Unknown option: --buildOnly"]


def test_a_crash_is_no_engine(stand_in):
    built = build_with_trtexec(found(stand_in("10.3.0")), b"crash", options_for("10.3.0"))
    assert built.engine is None
    assert "ended with status -6" in built.errors[0].reason


def test_ctrl_c_ends_trtexec(stand_in, tmp_path):
    path = stand_in("10.3.0")
    code = (
        "from edgeup.runtime.engine.trtexec_run import *\n"
        f"t = Trtexec({str(path)!r}, (10, 3, 0))\n"
        "try:\n"
        "    build_with_trtexec(t, b'wait', BuildOptions(strongly_typed=True))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    running = tmp_path / "running"
    deadline = time.monotonic() + 30
    while not (running.exists() and running.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(running.read_text())
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert output == "interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


NET = """<ir_version: 8, opset_import: ["" : 13]>
net (float[1,4,8,8] x) => (float[1,4,8,8] y) { [conv] y = Relu(x) }"""


@pytest.mark.parametrize("asked", [(), ("--using", "trtexec")])
def test_the_command_line_takes_it_where_the_bindings_are_absent(
    stand_in, edgeup, tmp_path, monkeypatch, asked
):
    board = device.Device("NVIDIA Jetson Xavier NX", "7.2", shares_memory=True)
    monkeypatch.setattr(device, "find_device", lambda machine: board)
    monkeypatch.setenv("PATH", str(stand_in("8.5.3").parent))
    model, out, cache = (tmp_path / name for name in ("net.onnx", "e.engine", "t.cache"))
    onnx.save(onnx.parser.parse_model(NET), model)
    ran = edgeup(
        *("build", model, "--target", "xavier-nx@5.1.2", "-o", out, "--timing-cache", cache),
        *("--workspace", "1G", "--format", "json", *asked),
    )
    assert ran.status == 0, ran.err
    assert ran.json["using"] == "trtexec"
    assert ran.json["tensorrt"] == {"package": "tensorrt", "version": "8.5.3"}
    assert "tells names alone" in ran.json["read_back"]["why"]
    assert cache.read_bytes() == b"+1"
    here = Here("tensorrt", "8.5.3", board.name, board.compute_capability)
    assert load_engine(out, here).content == out.read_bytes()


def test_a_version_that_is_not_the_targets_is_refused(stand_in, edgeup, tmp_path, monkeypatch):
    board = device.Device("NVIDIA Jetson Xavier NX", "7.2", shares_memory=True)
    monkeypatch.setattr(device, "find_device", lambda machine: board)
    monkeypatch.setenv("PATH", str(stand_in("8.6.1").parent))
    model = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(NET), model)
    ran = edgeup("build", model, "--target", "jetpack-5.1.2", "-o", tmp_path / "e.engine")
    assert ran.status == 2
    assert "jetpack-5.1.2 has TensorRT 8.5.2, and" in ran.err
    assert "which is 8.6 here; build with --target trt-8.6" in ran.err
    assert not list(tmp_path.glob("e.engine*"))


# ---------------------------------------------------------------------------------------- the log


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        *[("8001", (8, 0, 1)), ("8201", (8, 2, 1)), ("8502", (8, 5, 2)), ("8510", (8, 5, 10))],
        *[("8601", (8, 6, 1)), ("100300", (10, 3, 0)), ("101303", (10, 13, 3))],
        ("110100", (11, 1, 0)),
    ],
)
def test_version_numbers(number, wanted):
    assert version_of(number) == wanted


def test_a_log_without_verdict():
    log = parse_log("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b17] # trtexec --onnx=m\n")
    assert log.version == (10, 3, 0)
    assert log.passed is None
    assert parse_log("command not found").version is None


def test_the_builders_words_without_what_follows_from_them():
    first, second = build_errors(sample("failed_8.6.log"))
    assert first.stage == second.stage == "builder"
    assert first.reason.startswith("Error[10]: Could not find any implementation")
    assert "optimizer.cpp" in second.reason


def test_an_invalid_node_with_its_reason_on_the_next_line():
    text = re.sub(
        r"^\[8\] Assertion failed.*$",
        "[6] Invalid Node - Pad_13\n[shuffleNode.cpp::symbolicExecute::392] Error Code 4",
        sample("refused_8.2.log"),
        flags=re.MULTILINE,
    )
    [error] = build_errors(text)
    assert (error.node, error.code) == ("Pad_13", "INVALID_NODE")
    assert error.reason == "[shuffleNode.cpp::symbolicExecute::392] Error Code 4"


# ------------------------------------------------------------------------------------ the exports


# 8.0 and 8.2 add an end-to-end time; the sample has it put in as their source writes it.
@pytest.mark.parametrize("name", ["times_8.2.json", "times_8.4.json"])
def test_times(name):
    first, second = parse_times(sample(name))[:2]
    assert first.enqueue == pytest.approx(2.70722 - 2.67333)
    assert (first.h2d, first.compute, first.d2h, first.latency) == (0, 0.873472, 0, 0.873472)
    assert second.enqueue == pytest.approx(0.01026)


def test_profiles_with_and_without_medians():
    old = parse_profile(sample("profile_8.2.json"))
    assert old.iterations == 625
    assert [layer.name for layer in old.layers][1] == "Conv_0 + PWN(Clip_3)"
    assert old.layers[1].average == 0.0662771
    assert old.layers[1].median is None
    new = parse_profile(sample("profile_8.4.json"))
    assert (new.iterations, len(new.layers)) == (6610, 3)
    assert new.layers[1].median == 0.008608
    assert parse_profile(sample("profile_8.6.json")).layers[0].name == "/conv1/Conv + /act1/Relu"


def test_names_that_are_not_escaped():
    text = sample("profile_8.6.json").replace("/conv1/Conv", 'a "quoted" \\ name\x1f')
    assert parse_profile(text).layers[0].name == 'a "quoted" \\ name\x1f + /act1/Relu'


def test_a_profile_in_which_no_time_passed():
    whole = sample("profile_8.2.json")
    for odd in ("-nan", "nan(ind)", "inf", "-inf"):
        text = whole.replace('"percentage" : 0 ', f'"percentage" : {odd} ')
        assert text != whole
        assert parse_profile(text) == parse_profile(whole)


def one_query(**times):
    keys = ("startEnqMs", "h2dMs", "computeMs", "d2hMs", "endEnqMs", "latencyMs")
    return json.dumps([{**{key: float(n) for n, key in enumerate(keys)}, **times}])


@pytest.mark.parametrize("key", ["h2dMs", "computeMs", "d2hMs", "startEnqMs", "latencyMs"])
@pytest.mark.parametrize("value", [-1, 10**400, 1e308, math.inf, math.nan, True, "1", None])
def test_times_that_none_can_be_are_refused(key, value):
    assert parse_times(one_query())[0].enqueue == 4
    with pytest.raises(EdgeupError, match=f"--exportTimes has .*{key}"):
        parse_times(one_query(**{key: value}))


def test_a_query_that_ends_before_it_starts_is_refused():
    with pytest.raises(EdgeupError, match=r"has endEnqMs 4\.0 < 5\.0"):
        parse_times(one_query(startEnqMs=5))


@pytest.mark.parametrize(
    ("first", "layer", "said"),
    [
        ({"count": -1}, {}, "count of trtexec's --exportProfile is -1, wanted a number of runs"),
        ({"count": 10**400}, {}, "count of 401 digits"),
        ({"count": 1.5}, {}, r"count .* is 1\.5"),
        ({"count": math.nan}, {}, "count .* is nan"),
        ({"count": 1}, {"averageMs": -4}, "has averageMs -4, wanted milliseconds"),
        ({"count": 1}, {"medianMs": 10**400}, "has medianMs of 401 digits"),
        ({"count": 1}, {"averageMs": math.inf}, "has averageMs inf"),
        ({"count": 1}, None, "has a count and no layer"),
    ],
)
def test_profiles_that_none_can_be_are_refused(first, layer, said):
    whole = {"name": "a", "averageMs": 1, "medianMs": 1, "percentage": 100}
    assert parse_profile(json.dumps([{"count": 2}, whole])).iterations == 2
    layers = [] if layer is None else [{**whole, **layer}]
    with pytest.raises(EdgeupError, match=said):
        parse_profile(json.dumps([first, *layers]))


@pytest.mark.parametrize("parse", [parse_times, parse_profile])
@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[ { "name" : "a" } ]'])
def test_what_is_no_export_is_refused(parse, text):
    with pytest.raises(EdgeupError):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_times, sample("times_8.4.json")),
        (parse_profile, sample("profile_8.6.json")),
    ],
)
def test_a_file_that_was_cut_short_is_refused(parse, text):
    for end in range(0, len(text) - 2, 7):
        with pytest.raises(EdgeupError):
            parse(text[:end])

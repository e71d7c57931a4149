"""Building engines in process, on a simulated TensorRT of each generation and on RTX itself."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time

import onnx.parser
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.background import Cancel, interruptible
from edgeup.runtime.engine.bindings_library import find_library
from edgeup.runtime.engine.build import build_engine, merge_timings, nodes_of_layer
from edgeup.runtime.engine.downgrade import Asked, compare
from edgeup.runtime.engine.layer_info import parse_layers
from edgeup.runtime.engine.request import BuildOptions, ShapeRange

RELEASES = ["8.0.1", "8.2.1", "8.4.1", "8.5.3", "8.6.1", "10.0.1", "10.3.0", "10.13.3", "11.0"]
WEAK = [release for release in RELEASES if release.startswith("8.")]
RANGE = (ShapeRange("x", (1, 2, 4, 4), (1, 2, 8, 8), (2, 2, 16, 16)),)

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,4,8,8] x) => (float[1,4,8,8] y) {
  [head] a = Relu(x)
  [body] b = Sigmoid(a)
  [tail] y = Softplus(b)
}"""


def net(text=NET):
    return onnx.parser.parse_model(text).SerializeToString()


def options(release, **more):
    return BuildOptions(strongly_typed=not release.startswith("8."), **more)


@pytest.mark.parametrize("release", [*RELEASES, "rtx-1.7.1"])
def test_builds_with_every_release(simulate, conv_model, release):
    simulate(release)
    library = find_library("tensorrt_rtx" if release.startswith("rtx") else "tensorrt")
    wanted = options(release, shapes=RANGE, workspace=1 << 30, sparse_weights=True, tf32=False)
    built = build_engine(library, conv_model, wanted)
    assert built.errors == ()
    assert built.engine
    assert built.tensorrt == library.module.__version__
    if release.startswith("rtx"):
        assert built.layers is None
        assert "not verifiable here" in built.unread
    elif release == "8.0.1":
        assert built.layers is None
        assert built.unread == "not verifiable: TensorRT 8.0 has no engine inspector"
    else:
        assert len(parse_layers(built.layers)) == 2


@pytest.mark.parametrize("release", WEAK)
def test_weak_typing_keeps_the_listed_nodes_in_fp32(simulate, release):
    simulate(release)
    wanted = options(release, fp16=True, keep_fp32=("body", "gone"))
    built = build_engine(find_library(), net(), wanted)
    assert built.notes == ("no layer came out of gone, so it has no precision to keep",)
    if release == "8.0.1":
        return
    precisions = {layer.name: layer.precision for layer in parse_layers(built.layers)}
    assert precisions == {"head": "fp16", "body": "fp32", "tail": "fp16"}
    asked = Asked({"head": "fp16", "body": "fp32", "tail": "fp16"}, {}, strongly_typed=False)
    assert compare(parse_layers(built.layers), asked).passed


@pytest.mark.parametrize("release", ["10.3.0", "11.0"])
def test_strong_typing_takes_precision_from_the_graph(simulate, release):
    simulate(release)
    built = build_engine(find_library(), net(NET.replace("float", "float16")), options(release))
    assert {layer.precision for layer in parse_layers(built.layers)} == {"fp16"}


@pytest.mark.parametrize(
    ("release", "given", "said"),
    [
        (
            "11.0",
            {"fp16": True},
            "no longer has the fp16 flag: precision is in the graph",
        ),
        ("8.5.3", {"optimization_level": 5}, "no builder optimization level; 8.6 is the first"),
        ("8.5.3", {"version_compatible": True}, "no version-compatible engines; 8.6"),
        ("8.5.3", {"hardware_compatibility": "ampere+"}, "no hardware-compatible engines; 8.6"),
        ("8.6.1", {"hardware_compatibility": "sameComputeCapability"}, "10.9 is the first"),
        ("8.6.1", {"strongly_typed": True}, "no strongly typed networks; 10.0 is the first"),
        ("10.3.0", {"dla_core": 7}, "DLA core 7 was asked for, and TensorRT finds 2 here"),
        ("10.3.0", {"compute_capabilities": ("8.7",)}, "--compute-capability is of TensorRT for"),
    ],
)
def test_an_option_that_a_release_lacks_is_refused(simulate, release, given, said):
    simulate(release)
    wanted = BuildOptions(**{"strongly_typed": not release.startswith("8."), **given})
    with pytest.raises(EdgeupError) as caught:
        build_engine(find_library(), net(), wanted)
    assert said in str(caught.value)


@pytest.mark.parametrize("release", ["8.6.1", "10.9.0", "11.1"])
def test_later_options_are_taken_where_there_are_any(simulate, release):
    simulate(release)
    wanted = options(
        release,
        optimization_level=5,
        version_compatible=True,
        hardware_compatibility="ampere+",
        dla_core=1,
        gpu_fallback=True,
        profiling_verbosity="layer_names_only",
    )
    built = build_engine(find_library(), net(), wanted)
    assert built.engine
    assert [layer.name for layer in parse_layers(built.layers)] == ["head", "body", "tail"]


@pytest.mark.parametrize("release", ["8.2.1", "10.3.0"])
def test_parser_errors_name_node_operator_and_reason(simulate, release):
    simulate(release)
    content = net(NET.replace("Sigmoid", "Bernoulli"))
    built = build_engine(find_library(), content, options(release))
    assert built.engine is None
    [error] = built.errors
    assert (error.stage, error.node, error.op) == ("parser", "body", "Bernoulli")
    assert error.reason == "No importer registered for op: Bernoulli"
    assert error.code == "UNSUPPORTED_NODE"


@pytest.mark.parametrize("release", ["8.2.1", "10.3.0"])
def test_timings_are_gathered_and_merged(simulate, release):
    simulate(release)
    library = find_library()
    first = build_engine(library, net(), options(release), timings=b"").timings
    other = net(NET.replace("Sigmoid", "Tanh"))
    second = build_engine(library, other, options(release), timings=b"").timings
    assert b"Sigmoid" in first
    assert b"Sigmoid" not in second
    merged = merge_timings(library, first, second)
    assert b"Sigmoid" in merged
    assert b"Tanh" in merged
    again = build_engine(library, net(), options(release), timings=merged)
    assert again.timings == merged


def test_timings_of_another_version_are_left_out(simulate):
    simulate("10.3.0")
    built = build_engine(find_library(), net(), options("10.3.0"), timings=b"timings 8.6.1\nRelu")
    assert built.notes == ("the timing cache is of another TensorRT or GPU, and is begun anew",)
    assert built.timings.startswith(b"timings 10.3.0")


def test_ctrl_c_stops_the_builder_through_the_progress_monitor(simulate):
    simulate("10.3.0", forgiving=True)
    seen = []

    def progress(phase, done, of):
        if not seen:
            _thread.interrupt_main()
        seen.append(done)
        time.sleep(0.3)  # until the main thread has heard of it

    with pytest.raises(KeyboardInterrupt):
        build_engine(find_library(), net(), options("10.3.0"), progress=progress)
    assert max(seen) < 3  # of three steps
    assert "edgeup-builder" not in {thread.name for thread in threading.enumerate()}


def test_an_error_in_the_background_reaches_the_caller():
    def work():
        raise ZeroDivisionError("in the thread")

    with pytest.raises(ZeroDivisionError, match="in the thread"):
        interruptible(work, Cancel())


INTERRUPTED = """
import os, signal, sys, threading, time

def interrupt():
    while not any(thread.name == "edgeup-builder" for thread in threading.enumerate()):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
"""


def test_ctrl_c_does_not_wait_for_work_that_does_not_heed_it():
    code = INTERRUPTED + (
        "from edgeup.runtime.engine.background import Cancel, interruptible\n"
        "try:\n"
        "    interruptible(lambda: time.sleep(60), Cancel())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (2, "interrupted\n", "")


def test_layers_are_traced_to_their_nodes():
    nodes = ("up_1", "up_1_2", "conv")
    assert nodes_of_layer("conv", "", nodes) == ["conv"]
    assert nodes_of_layer("conv_17", "", nodes) == ["conv"]
    assert nodes_of_layer("up_1_2", "", nodes) == ["up_1_2"]
    assert nodes_of_layer("other", "[ONNX Layer: up_1]", nodes) == ["up_1"]
    assert nodes_of_layer("conv", "[ONNX Layer: other]", nodes) == []


class TestOnTensorRTForRTX:
    """NVIDIA's own parser and builder."""

    @pytest.fixture
    def library(self):
        pytest.importorskip("tensorrt_rtx")
        return find_library("tensorrt_rtx")

    def test_builds_for_the_capability_that_was_named(self, library):
        phases = []
        wanted = BuildOptions(strongly_typed=True, compute_capabilities=("8.6", "8.9"))
        built = build_engine(
            library, net(), wanted, progress=lambda phase, done, of: phases.append((done, of))
        )
        assert built.errors == ()
        assert len(built.engine) > 10_000
        assert "not verifiable here" in built.unread
        assert any(done == of for done, of in phases)

    def test_ctrl_c_ends_the_process_with_one_line(self, library, conv_model, tmp_path):
        (tmp_path / "net.onnx").write_bytes(conv_model)
        code = INTERRUPTED + (
            "from edgeup.cli.main import main\n"
            "shape = '--opt-shapes=1x2x64x64'\n"
            "sys.exit(main(['build', 'net.onnx', '--target', 'rtx', '-o', 'e.engine', shape]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        assert done.returncode == 2
        assert done.stderr == "edgeup: interrupted: nothing was written\n"
        assert not list(tmp_path.glob("*engine*"))

    def test_refuses_a_capability_that_it_does_not_know(self, library):
        wanted = BuildOptions(strongly_typed=True, compute_capabilities=("8.7",))
        with pytest.raises(EdgeupError, match=r"not 8\.7; Jetson boards have none of them"):
            build_engine(library, net(), wanted)

    def test_names_the_node_that_the_parser_refuses(self, library):
        content = net(
            NET.replace("Sigmoid(a)", 'Resize<mode="cubic", antialias=1>(a, , s)')
            .replace('"" : 17', '"" : 18')
            .replace("8] y) {", "8] y) <float[4] s = {1.0, 1.0, 1.0, 1.0}> {")
        )
        built = build_engine(library, content, BuildOptions(strongly_typed=True))
        [error] = built.errors
        assert (error.stage, error.node, error.op) == ("parser", "body", "Resize")
        assert "Antialiasing" in error.reason

    def test_tells_what_the_builder_said(self, library, conv_model):
        built = build_engine(library, conv_model, BuildOptions(strongly_typed=True))
        assert built.engine is None
        assert any("optimization profile" in error.reason for error in built.errors)
        ranged = build_engine(library, conv_model, BuildOptions(strongly_typed=True, shapes=RANGE))
        assert ranged.engine

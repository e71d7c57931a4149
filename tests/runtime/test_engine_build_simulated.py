"""Building and running through the simulated TensorRT: each generation of its bindings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.bindings_library import find_library
from edgeup.runtime.engine.build import build_engine, merge_timings
from edgeup.runtime.engine.layer_info import parse_layers
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.engine.request import BuildOptions, ShapeRange
from edgeup.runtime.engine.session import TensorRTSession
from edgeup.runtime.ort_session import run_once

WEAK = ["8.0.1", "8.2.1", "8.4.1", "8.5.3", "8.6.1", "10.0.1", "10.3.0", "10.16"]
STRONG = ["10.0.1", "10.3.0", "10.9.0", "10.16", "11.0", "11.1"]
SHAPES = (ShapeRange("x", (1, 2, 4, 4), (1, 2, 8, 8), (2, 2, 16, 16)),)
VALUE = helper.make_tensor_value_info


@pytest.fixture
def model(make_model):
    """``y = relu(conv3x3(x))`` with named nodes and dynamic n, h, w."""
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    return make_model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ],
        [VALUE("x", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [VALUE("y", TensorProto.FLOAT, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )


def picture(size=8, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=(1, 2, size, size)).astype(np.float32)}


def runs(engine, model, **options):
    with TensorRTSession(engine, options=RunOptions(**options)) as session:
        for seed, size in enumerate((8, 16)):
            feeds = picture(size, seed)
            np.testing.assert_allclose(
                session.run(feeds)["y"], run_once(model, feeds)["y"], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("release", WEAK)
def test_weakly_typed_engines_are_built_and_run(simulate, model, release):
    simulate(release)
    options = BuildOptions(
        *(False, True),
        keep_fp32=("conv",),
        tf32=False,
        workspace=1 << 28,
        shapes=SHAPES,
        sparse_weights=True,
    )
    built = build_engine(find_library(), model, options, timings=b"")
    assert built.errors == ()
    runs(built.engine, model)
    if release == "8.0.1":
        assert "no engine inspector" in built.unread
        return
    precisions = {layer.name: layer.precision for layer in parse_layers(built.layers)}
    assert precisions == {"conv": "fp32", "relu": "fp16"}
    assert b"Conv" in built.timings


@pytest.mark.parametrize("release", STRONG)
def test_strongly_typed_engines_are_built_and_run(simulate, model, release):
    simulate(release)
    phases = []
    built = build_engine(
        find_library(),
        model,
        BuildOptions(strongly_typed=True, shapes=SHAPES, optimization_level=4),
        progress=lambda phase, done, of: phases.append((phase, done, of)),
    )
    assert built.errors == ()
    assert {layer.precision for layer in parse_layers(built.layers)} == {"fp32"}
    assert phases == [("Building", 0, 2), ("Building", 1, 2), ("Building", 2, 2)]
    runs(built.engine, model)


def test_rtx(simulate, model):
    simulate("rtx-1.7.1")
    options = BuildOptions(strongly_typed=True, shapes=SHAPES, compute_capabilities=("8.6",))
    built = build_engine(find_library("tensorrt_rtx"), model, options)
    assert built.errors == ()
    assert "not verifiable here" in built.unread
    runs(built.engine, model, rtx=True)


def test_a_version_compatible_engine_is_run_as_one(simulate, model):
    simulate("10.3.0")
    options = BuildOptions(strongly_typed=True, shapes=SHAPES, version_compatible=True)
    built = build_engine(find_library(), model, options)
    assert built.layers is not None  # reading back allows its host code too
    with pytest.raises(EdgeupError, match="host code"):
        TensorRTSession(built.engine)
    runs(built.engine, model, version_compatible=True)


@pytest.mark.parametrize(
    ("release", "options", "reason"),
    [
        ("8.6.1", {"strongly_typed": True}, "TensorRT 8.6.1 has no strongly typed networks"),
        (
            "11.0",
            {"strongly_typed": True, "fp16": True},
            "no longer has the fp16 flag: precision is in the graph",
        ),
        ("8.5.3", {"optimization_level": 5}, "has no builder optimization level; 8.6 is the first"),
        ("8.5.3", {"version_compatible": True}, "has no version-compatible engines; 8.6 is the"),
        ("10.3.0", {"hardware_compatibility": "sameComputeCapability"}, "10.9 is the first"),
        ("10.3.0", {"compute_capabilities": ("8.6",)}, "of TensorRT for RTX alone"),
        ("10.3.0", {"dla_core": 2}, "TensorRT finds 2 here"),
    ],
)
def test_what_a_release_lacks_is_refused(simulate, model, release, options, reason):
    simulate(release)
    wanted = BuildOptions(**({"strongly_typed": False, "shapes": SHAPES} | options))
    with pytest.raises(EdgeupError, match=reason):
        build_engine(find_library(), model, wanted)


@pytest.mark.parametrize("release", ["8.2.1", "8.6.1", "10.3.0", "11.0"])
def test_the_parser_s_errors_name_the_node(simulate, make_model, release):
    simulate(release)
    broken = make_model(
        [
            helper.make_node("Relu", ["x"], ["r"], "first"),
            helper.make_node("Unique", ["r"], ["y"], "second"),
        ],
        [VALUE("x", TensorProto.FLOAT, [4])],
        [VALUE("y", TensorProto.FLOAT, ["k"])],
    )
    built = build_engine(find_library(), broken, BuildOptions(release[:2] != "8."))
    assert built.engine is None
    (error,) = built.errors
    assert (error.stage, error.node, error.op) == ("parser", "second", "Unique")
    assert error.code == "UNSUPPORTED_NODE"
    assert "No importer registered for op: Unique" in error.reason


@pytest.mark.parametrize("release", ["8.2.1", "10.3.0"])
def test_the_builder_s_own_words_are_kept(simulate, model, release):
    simulate(release)
    built = build_engine(find_library(), model, BuildOptions(strongly_typed=False))
    assert built.engine is None
    (error,) = built.errors
    assert error.stage == "builder"
    assert "no optimization profile has been defined" in error.reason


@pytest.mark.parametrize("release", ["8.2.1", "8.6.1", "10.3.0", "11.0"])
def test_timing_caches_merge_and_go_stale(simulate, model, release):
    simulate(release)
    options = BuildOptions(release == "11.0", shapes=SHAPES)
    first = build_engine(find_library(), model, options, timings=b"").timings
    other = first.split(b"\n")[0] + b"\nResize"
    merged = merge_timings(find_library(), first, other)
    assert {b"Conv", b"Relu", b"Resize"} <= set(merged.split(b"\n"))
    assert merge_timings(find_library(), first, b"timings 7.1.3\nConv") is None
    stale = build_engine(find_library(), model, options, timings=b"timings 7.1.3\nGemm")
    assert stale.engine is not None
    assert any("timing cache is of another TensorRT" in note for note in stale.notes)
    assert b"Gemm" not in stale.timings


@pytest.mark.parametrize("release", ["8.6.1", "10.3.0"])
def test_edgeup_build_writes_an_engine_that_runs(
    simulate, edgeup, model, release, tmp_path, monkeypatch
):
    """The command line, from an ONNX file to an engine with its sidecar, and back."""
    from edgeup.runtime.engine.device import Device

    simulate(release)
    orin = Device("Orin", "8.7", shares_memory=True)
    monkeypatch.setattr("edgeup.runtime.engine.device.find_device", lambda machine: orin)
    path = tmp_path / "m.onnx"
    path.write_bytes(model)
    ran = edgeup(
        *("build", path, "-o", tmp_path / "m.engine", "--format", "json"),
        *("--target", f"trt-{release.rpartition('.')[0]}", "--precision", "fp32"),
        *("--min-shapes", "x:1x2x4x4", "--opt-shapes", "x:1x2x8x8"),
        *("--max-shapes", "x:2x2x16x16"),
    )
    assert ran.status == 0, ran.err
    sidecar = json.loads((tmp_path / "m.engine.json").read_text())
    assert sidecar["tensorrt"] == {"package": "tensorrt", "version": release}
    runs((tmp_path / "m.engine").read_bytes(), model)

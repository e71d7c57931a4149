"""`edgeup estimate`: what it says adds up, and it says that it is an estimate."""

import io
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnx.parser
import pytest

from edgeup.boards import all_boards
from edgeup.export.roofline.work import ITEM_BYTES

SCHEMA = json.loads((files("edgeup") / "data" / "estimate.schema.json").read_text())
TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,8,{h},64] image) => (float[1,8,{h2},128] depth) <float[4] k = {{1, 1, 2, 2}}> {{
  a = Conv <pads = [1, 1, 1, 1]> (image, dense)
  b = Relu(a)
  c = Conv <pads = [1, 1, 1, 1], group = 64> (b, depthwise)
  d = Conv (c, pointwise)
  depth = Resize <mode = "nearest"> (d, , k)
}}"""
WEIGHTS = {"dense": (64, 8, 3, 3), "depthwise": (64, 1, 3, 3), "pointwise": (8, 64, 1, 1)}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return written(tmp_path / "net.onnx")


def written(path: Path, h: object = 64, h2: object = 128, kind: type = np.float32) -> Path:
    text = TEXT.format(h=h, h2=h2)
    proto = onnx.parser.parse_model(
        text
        if kind is np.float32
        else text.replace("float[", "float16[").replace("float16[4] k", "float[4] k")
    )
    for name, shape in WEIGHTS.items():
        tensor = onnx.numpy_helper.from_array(np.ones(shape, kind), name)
        proto.graph.initializer.append(tensor)
    onnx.save(proto, path)
    return path


def estimated(edgeup: Callable, *arguments: object) -> dict[str, Any]:
    ran = edgeup("estimate", *arguments, "--format", "json")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, SCHEMA)
    report: dict[str, Any] = ran.json
    return report


def test_the_report_adds_up(edgeup: Callable, net: Path) -> None:
    report = estimated(edgeup, net, "--target", "tx2")
    assert report["kind"] == "estimate"
    kinds = ["dense", "depthwise", "pointwise", "resize"]
    assert [layer["kind"] for layer in report["layers"]] == kinds
    assert [layer["kind_measured"] for layer in report["layers"]] == [True, True, True, False]
    assert report["layers"][0]["operators"] == ["Conv", "Relu"]
    total, efficiency = report["total"], report["calibration"]["efficiency"]
    assert total["macs"] == 64 * 64 * (64 * 8 * 9 + 64 * 9 + 8 * 64)
    for key in ("estimate", "compute", "memory", "launch", "bound"):
        parts = sum(layer[f"{key}_us"] for layer in report["layers"])
        assert total[f"{key}_ms"] == pytest.approx(parts / 1e3)
    for layer in report["layers"]:
        parts = {key: layer[f"{key}_us"] for key in ("compute", "memory", "launch")}
        assert layer["estimate_us"] == pytest.approx(sum(parts.values()))
        assert layer["binds"] == max(parts, key=lambda key: parts[key])
        assert 0 < layer["bound_us"] < layer["estimate_us"]
    assert sum(layer["share"] for layer in report["layers"]) == pytest.approx(1)
    dense = report["layers"][0]
    # 256 CUDA cores at 1300 MHz, a multiply-accumulate each; 64 channels are two whole blocks.
    peak = 256 * 1300e6
    assert dense["compute_us"] == pytest.approx(1e6 * dense["macs"] / peak / efficiency["dense"])
    assert dense["bound_by"] == "compute"
    costs = [report["layers"][i]["estimate_us"] for i in report["costliest"]]
    assert costs == sorted(costs, reverse=True)


def test_text_says_estimate_first_and_names_what_was_not_measured(
    edgeup: Callable, net: Path
) -> None:
    ran = edgeup("estimate", net, "--target", "orin-nano-8gb", "--precision", "fp16")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("estimate, from shapes alone: nothing was run")
    said = " ".join(ran.out.split())
    assert "unmeasured on Jetson Orin Nano 8 GB in fp16" in said
    assert "kinds of layers that were not measured on any board: resize" in said
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_widest_layer_fits_eighty_columns(edgeup: Callable, net: Path) -> None:
    from rich.console import Console

    from edgeup.cli.estimate_summary import estimate_summary

    report = estimated(edgeup, net, "--target", "tx2")
    report["layers"][0] |= {
        "name": "/decoder/a_name_that_goes_on/Conv_12345",
        "kind": "depthwise-transposed",
        "macs": 9_876_500_000,
        "bytes": 43_210_000,
        "bound_us": 9_876.0,
        "estimate_us": 9_877.0,
        "share": 1.0,
        "binds": "compute",
    }
    console = Console(width=80, file=io.StringIO(), highlight=False, markup=False)
    for renderable in estimate_summary(report, ()):
        console.print(renderable)
    (line,) = (line for line in console.file.getvalue().splitlines() if "12345" in line)
    expected = ["…on/Conv_12345", "+1", "depthwise-transposed", "9876.5", "43.21", "9876", "9877"]
    assert line.split() == [*expected, "100%", "compute"]


def test_power_mode_and_precision_change_the_figures(edgeup: Callable, net: Path) -> None:
    def run(*arguments: object) -> dict[str, Any]:
        return estimated(edgeup, net, "--target", "orin-nano-8gb@6.2", *arguments)

    full, slow = run("--precision", "fp16"), run("--precision", "fp16", "--power-mode", "7w")
    assert (full["gpu"]["power_mode"], slow["gpu"]["power_mode"]) == ("15W", "7W")
    # Half of the SMs, and 408 of 624.75 MHz.
    ratio = full["gpu"]["gmacs_per_s"] / slow["gpu"]["gmacs_per_s"]
    assert ratio == pytest.approx(2 * 624.75 / 408)
    assert slow["total"]["compute_ms"] == pytest.approx(ratio * full["total"]["compute_ms"])
    assert slow["total"]["launch_ms"] == pytest.approx(full["total"]["launch_ms"] * 624.75 / 408)
    wide, narrow = run("--precision", "fp32"), run("--precision", "int8")
    moved = [report["total"]["memory_ms"] for report in (wide, full, narrow)]
    assert moved[0] == pytest.approx(2 * moved[1], rel=0.01)
    assert moved[1] == pytest.approx(2 * moved[2], rel=0.01)
    assert any("TF32" in notice for notice in wide["notices"])


def test_without_a_precision_it_is_that_of_the_weights(edgeup: Callable, tmp_path: Path) -> None:
    half = written(tmp_path / "half.onnx", kind=np.float16)
    assert estimated(edgeup, half, "--target", "tx2")["gpu"]["precision"] == "fp16"
    whole = written(tmp_path / "whole.onnx")
    assert estimated(edgeup, whole, "--target", "tx2")["gpu"]["precision"] == "fp32"


def test_an_open_dimension_needs_a_shape(edgeup: Callable, tmp_path: Path) -> None:
    net = written(tmp_path / "open.onnx", "h", "g")
    ran = edgeup("estimate", net, "--target", "tx2")
    assert ran.status == 2
    assert "--shape image:1x8x1x64" in ran.err
    report = estimated(edgeup, net, "--target", "tx2", "--shape", "1x8x32x64")
    assert report["total"]["macs"] == 32 * 64 * (64 * 8 * 9 + 64 * 9 + 8 * 64)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_a_picture_and_says_estimate(
    edgeup: Callable, net: Path, tmp_path: Path, suffix: str
) -> None:
    made = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for goal in made:
        ran = edgeup("estimate", net, "--target", "orin-nano-8gb", "--plot", goal)
        assert ran.status == 0, ran.err
        assert f"wrote {goal}" in " ".join(ran.out.split())
    first, second = (goal.read_bytes() for goal in made)
    assert first == second
    if suffix == ".svg":
        # matplotlib draws letters as outlines, and writes each text beside them as a comment.
        assert b"<!-- Estimate, not measured: net" in first
    else:
        assert first.startswith(b"\x89PNG")
        from PIL import Image

        assert len(Image.open(made[0]).convert("RGB").getcolors(1 << 24)) > 20


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--target", "jetpack-6.2"), "names no board, and an estimate needs one: write orin"),
        (("--target", "cpu"), "names no board"),
        (("--target", "tx2", "--precision", "int8"), "does not compute in int8"),
        (("--target", "tx2", "--power-mode", "MAXX"), "there is MAXN, MAXQ"),
        (("--target", "orin-nano-8gb@5.1.3", "--power-mode", "25W"), "comes with JetPack 6.2"),
        (("--target", "thor-t4000", "--precision", "fp32"), "on record"),
        (("--target", "tx2", "--plot", "roof.pdf"), ".png or .svg"),
        (("--target", "tx2", "--plot", "no/such/folder/roof.png"), "does not exist"),
        (("--target", "tx2", "--shape", "1x9x64x64"), "does not fit"),
        (("--target", "tx2", "-o", "no/such/folder/e.json"), "does not exist"),
        (("--target", "tx2", "-o", "e.html"), "the report is JSON: name a .json file"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(
    edgeup: Callable, net: Path, arguments: tuple[str, ...], reason: str
) -> None:
    ran = edgeup("estimate", net, *arguments)
    assert ran.status == 2
    assert reason in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""


def test_the_report_and_its_page_are_written(edgeup: Callable, net: Path, tmp_path: Path) -> None:
    goals = ("-o", tmp_path / "e.json", "--plot", tmp_path / "e.png")
    ran = edgeup("estimate", net, "--target", "tx2", *goals)
    assert ran.status == 0, ran.err
    names = ("e.png", "e.json", "e.html")
    assert all((tmp_path / name).stat().st_size > 100 for name in names)
    assert all(name in ran.out.partition("wrote")[2] for name in names)
    report = json.loads((tmp_path / "e.json").read_text())
    jsonschema.validate(report, SCHEMA)
    costliest = report["layers"][report["costliest"][0]]
    page = (tmp_path / "e.html").read_text()
    assert "An estimate: nothing was run." in page
    assert f"1. {costliest['name']}" in page
    again = edgeup("report", tmp_path / "e.json", "-o", tmp_path / "again.html")
    assert again.status == 0, again.err


def test_every_board_mode_and_precision_with_a_peak_has_an_estimate() -> None:
    from edgeup.pipeline.estimate.place import place_of

    seen = 0
    for board in all_boards():
        for mode in board.power_modes:
            for precision in set(mode.peak) & set(board.precisions) & set(ITEM_BYTES):
                gpu = place_of(board, mode, precision).gpu
                assert 0 < gpu.depthwise_gmacs_per_s <= gpu.gmacs_per_s
                assert gpu.gbytes_per_s > 0
                assert gpu.slowdown > 0
                seen += 1
    assert seen > 100

"""`edgeup compare`: one run, many decoders; what it says is true of each of them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

SMALL = ("--shape", "1x3x64x64", "--duration", "0.1", "--threads", "1")
DATA = files("edgeup") / "data"
SCHEMA = json.loads((DATA / "compare.schema.json").read_text())


def compared(edgeup: Callable, folder: Path, *arguments: object) -> dict[str, Any]:
    ran = edgeup("compare", *arguments, *SMALL, "-o", folder, "--format", "json")
    assert ran.status == 0, ran.err
    report = json.loads((folder / "compare.json").read_text())
    assert ran.json == report
    jsonschema.validate(report, SCHEMA)
    return report


def test_the_report_is_true_of_each_decoder(edgeup: Callable, tmp_path: Path) -> None:
    report = compared(edgeup, tmp_path / "out", "--decoder", "nnconv3dw,upconv")
    assert report["passed"] is True
    assert report["reference"] == "nnconv3dw"
    assert [entry["name"] for entry in report["models"]] == ["nnconv3dw", "upconv"]
    first, second = report["models"]
    # Five 5x5 convolutions on zero-inserted maps of 4 to 64 pixels a side; the rest is the
    # encoder, 0.57 GMACs at 224 pixels (Howard et al. 2017, arXiv:1704.04861), and the tail.
    stages = enumerate(pairwise((1024, 512, 256, 128, 64, 32)))
    decoder = sum((4 * 2**stage) ** 2 * ci * co * 25 for stage, (ci, co) in stages)
    rest = second["model"]["macs"] - decoder
    assert rest == pytest.approx(0.569e9 * (64 / 224) ** 2, rel=0.01)
    for entry in (first, second):
        assert entry["rewrites"] or entry["onnx"]["macs"] == entry["model"]["macs"]
        assert entry["onnx"]["node_count"] == sum(entry["onnx"]["nodes"].values())
        assert entry["onnx"]["bytes"] == pytest.approx(4 * entry["model"]["parameters"], rel=0.2)
        assert {case["kind"] for case in entry["parity"][0]["cases"]} >= {"noise", "impulse"}
        assert entry["parity"][0]["vacuous"] is False
        assert entry["latency"]["device"].startswith("CPU")
    assert first["ratio"] == {**first["ratio"], "median": 1.0, "low": 1.0, "high": 1.0}
    rounds = {entry["latency"]["iterations"] for entry in report["models"]}
    assert len(rounds) == 1, "timed in turn, all run equally often"
    assert min(rounds) >= 20
    assert second["ratio"]["low"] <= second["ratio"]["median"] <= second["ratio"]["high"]
    assert second["ratio"]["rounds"] in rounds
    assert str(Path.home()) not in (tmp_path / "out" / "compare.json").read_text()


UNET = ("--model", "unet", "--option", "width=0.0625", "--option", "padding=same")
UNET += ("--shape", "1x1x32x32", "--duration", "0.1", "--threads", "1")


def test_another_network_its_table_and_its_picture(edgeup: Callable, tmp_path: Path) -> None:
    from matplotlib.image import imread

    names = "nearest,transposed"
    ran = edgeup("compare", "--decoder", names, *UNET, "-o", tmp_path)
    assert ran.status == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("compare.html", "compare.json", "compare.png")
    ]
    report = json.loads((tmp_path / "compare.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert report["network"] == "unet"
    assert [entry["model"]["decoder"] for entry in report["models"]] == names.split(",")
    for words in (*names.split(","), "GMACs", "median", "p90", "CPU", "1 threads", "all passed"):
        assert words in ran.out
    assert max(len(line.rstrip()) for line in ran.out.splitlines()) <= 80
    picture = imread(tmp_path / "compare.png")[..., :3]
    assert picture[0, 0].tolist() == [1.0, 1.0, 1.0]
    assert 0.001 < (picture < 0.9).any(axis=-1).mean() < 0.2


def test_a_failed_parity_check_is_exit_status_1(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeup.models import run as torch_side

    real = torch_side.run_module
    monkeypatch.setattr(
        torch_side, "run_module", lambda *given: [out * 1.01 for out in real(*given)]
    )
    ran = edgeup("compare", "--decoder", "transposed", *UNET, "-o", tmp_path)
    assert ran.status == 1
    assert "FAILED: transposed" in ran.out
    assert json.loads((tmp_path / "compare.json").read_text())["passed"] is False


REFUSED = [
    (["--decoder", "nnconv5,upcnov"], r"unknown decoder 'upcnov': did you mean upconv"),
    (["--decoder", "nnconv5,"], r"unknown decoder ''"),
    (["--decoder", "nnconv5,upconv,nnconv5"], r"--decoder names nnconv5 twice; leave one out"),
    (["--decoder", "nnconv5", "--decoder", "nnconv5"], r"--decoder names nnconv5 twice"),
    (["--decoder", "all,upconv"], r"all is every decoder; leave the other names out"),
    ([], r"[Mm]issing option.*--decoder"),
    (["--decoder", "all", "--skip", "add"], r"skip 'add' with mobilenet has wiring for .*dw"),
    (["--decoder", "upconv", "--encoder", "resnet35"], r"'resnet35': did you mean .*resnet34"),
    (["--decoder", "all", "--model", "segnet"], r"segnet has no choice of decoders"),
    (["--decoder", "all", "--model", "slowdepth"], r"'slowdepth': did you mean .*fastdepth"),
    (["--decoder", "upconv", "--shape", "1x3x228x304"], r"the nearest are 224x288"),
    (["--decoder", "upconv", "--target", "jetpack-8"], r"unknown target 'jetpack-8'"),
    (["--decoder", "upconv", "-o", "no/such"], r"no does not exist; create it"),
    (["--decoder", "upconv", "-o", "a-file"], r"a-file is a file"),
    (["--decoder", "upconv", "--threads", "0"], r"threads"),
    (["--decoder", "upconv", "--duration", "-1"], r"duration"),
]


@pytest.mark.parametrize(("arguments", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_wrong_request_is_one_line(
    edgeup: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    (tmp_path / "a-file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    ran = edgeup("compare", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert re.search(reason, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_without_matplotlib_nothing_is_begun(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from edgeup.pipeline.compare import subjects

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else found(name, *rest),
    )
    monkeypatch.setattr(subjects, "compare_subjects", None)
    ran = edgeup("compare", "--decoder", "upconv", "-o", tmp_path)
    assert ran.status == 2
    assert "needs the package matplotlib" in ran.err
    assert "pip install 'edgeup[image]'" in ran.err
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_refused_before_the_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from edgeup.errors import EdgeupError
    from edgeup.pipeline.compare import subjects
    from edgeup.pipeline.compare.request import CompareRequest, Entrant
    from edgeup.pipeline.subject import Subject
    from edgeup.runtime.machine import Machine
    from edgeup.spec import TensorSpec
    from edgeup.targets import find_target

    def make() -> Subject:
        spec = TensorSpec("x", (1, 3, 8, 8))
        return Subject("conv", "one convolution", torch.nn.Conv2d(3, 4, 3), (spec,), ("y",), {})

    monkeypatch.setattr(Machine, "read", lambda *_: "MemTotal: 9 kB\nMemAvailable:  1 kB\n")
    monkeypatch.setattr(subjects, "measure", None)
    request = CompareRequest("none", "edgeup compare", find_target("cpu"))
    entrants = [Entrant(name, make, "fp32", {"onnxruntime": name}) for name in "ab"]
    with pytest.raises(EdgeupError, match=r"first 1 of 2 models alone need .* compare fewer"):
        subjects.compare_subjects(entrants, request, lambda _: None)


def test_labels_cover_neither_each_other_nor_points() -> None:
    from edgeup.label_placement import Box, place_labels

    random = np.random.default_rng(0)
    crowd = [(float(x), float(y)) for x, y in 300 + 120 * random.random((20, 2))]
    inside, legend = Box(0, 0, 700, 700), Box(380, 250, 460, 330)
    points = [point for point in crowd if legend.distance(point) > 5]
    boxes = place_labels(
        points, [(60, 11)] * len(points), radius=5, inside=inside, obstacles=[legend]
    )
    assert len(boxes) == len(points) > 12
    for index, (box, point) in enumerate(zip(boxes, points, strict=True)):
        assert not any(box.overlap(other) for other in (legend, *boxes[:index]))
        assert all(box.distance(other) > 0 for other in points)
        assert box.overlap(inside) == pytest.approx(box.area)
        assert box.distance(point) < 100


def test_a_lone_label_stands_beside_its_point_and_inside() -> None:
    from edgeup.label_placement import Box, place_labels

    [box] = place_labels([(99.0, 50.0)], [(40, 10)], radius=3, inside=Box(0, 0, 100, 100))
    assert box.right <= 100
    assert 0 < box.distance((99.0, 50.0)) < 12
    assert Box(0, 0, 2, 2).overlap(Box(1, 1, 5, 5)) == 1


def test_shared_parts_of_the_two_schemas_agree() -> None:
    report = json.loads((DATA / "report.schema.json").read_text())
    assert SCHEMA["$defs"]["parity"] == report["$defs"]["parity"]
    assert SCHEMA["$defs"]["tensor"] == report["$defs"]["tensor"]
    rewrites = SCHEMA["properties"]["models"]["items"]["properties"]["rewrites"]
    assert rewrites == report["properties"]["rewrites"]


def test_the_verb_loads_nothing_heavy_to_refuse() -> None:
    code = (
        "import sys; from edgeup.cli.main import main; "
        "status = main(['compare', '--decoder', 'upcnov']); "
        "heavy = [m for m in ('torch', 'onnxruntime', 'matplotlib') if m in sys.modules]; "
        "sys.exit(0 if status == 2 and not heavy else str(heavy))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_precisions_and_shapes_are_models_of_their_own(edgeup: Callable, tmp_path: Path) -> None:
    variants = ("--precision", "fp32,fp16", "--duration", "0.05", "--threads", "1")
    shapes = ("--model", "unet", *UNET[2:6], "--shape", "1x1x32x32,1x1x48x48")
    ran = edgeup("compare", "--decoder", "nearest", *variants, *shapes, "-o", tmp_path)
    assert ran.status == 0, ran.err
    report = json.loads((tmp_path / "compare.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert [(entry["name"], entry["precision"]) for entry in report["models"]] == [
        (f"nearest {precision} 1x1x{size}x{size}", precision)
        for precision in ("fp32", "fp16")
        for size in (32, 48)
    ]
    for entry, size in zip(report["models"], (32, 48, 32, 48), strict=True):
        assert entry["model"]["inputs"][0]["shape"] == [1, 1, size, size]
        assert sum(stage["macs"] for stage in entry["stages"]) == entry["onnx"]["macs"] > 0
    single, _, half, _ = report["models"]
    assert half["onnx"]["bytes"] < 0.7 * single["onnx"]["bytes"]
    assert half["parity"][0]["max_abs"] > 10 * single["parity"][0]["max_abs"] > 0
    page = (tmp_path / "compare.html").read_text()
    for entry in report["models"]:
        assert page.count(entry["name"]) >= 2
        assert entry["name"] in ran.out
    assert "Pareto" in page
    assert max(map(len, ran.out.splitlines())) <= 80
    firsts = ["nearest fp32 1x1x32x32", "nearest fp32 1x1x48x48"]
    assert [entry["ratio"]["to"] for entry in report["models"]] == firsts * 2
    assert [entry["ratio"]["median"] for entry in report["models"][:2]] == [1, 1]
    assert all(any(e["pareto"] for e in report["models"] if e["ratio"]["to"] == f) for f in firsts)
    said = f"over that of the first with its input shape ({'; '.join(firsts)}) in the same round"
    for text in (ran.out, page):
        assert said in " ".join(text.split())
    assert "On the line of 1×1×32×32 float32: 1. " in page
    assert "On the line of 1×1×48×48 float32: " in page


def _measured(name: str) -> dict[str, Any]:
    """A row whose every figure is as wide as they come."""
    return {
        "name": name,
        "backend": "onnxruntime",
        "model": {"macs": 123.456e9},
        "onnx": {"macs": 123.456e9, "bytes": 123.4e6},
        "error_of_peak": 1.2e-3,
        "latency": {"median_ms": 1234.56, "p90_ms": 1234.56},
        "ratio": {"to": "first", "median": 10.25, "low": 10.11, "high": 10.99},
        "power": {"measured": True, "energy_per_inference_mj": 1.23e4},
        "pareto": True,
    }


@pytest.mark.parametrize("energy", [True, False])
def test_no_name_and_no_column_of_the_table_is_cut(energy: bool) -> None:
    from edgeup.cli.compare_table import compare_table

    names = [
        f"fast-upproj {precision} 1x3x{size}x2048 onnxruntime"
        for precision in ("fp32", "fp16")
        for size in (1024, 1025)
    ]
    entries = [_measured(name) for name in names]
    for entry in entries:
        entry["power"]["measured"] = energy
    lines = [line.plain for line in compare_table(entries)]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line in names] == names
    figures = ["123.456", "123.456", "123.4", "1.2e-03", "1234.56", "1234.56"]
    figures += ["1.23e+04"] if energy else []
    figures += ["10.25", "(10.11", "to", "10.99)", "*"]
    assert [line.split() for line in lines[3::2]] == [figures] * 4
    for word in ("GMACs", "ONNX", "MB", "error", "median", "p90", "ratio", *["energy"] * energy):
        assert word in " ".join(lines[:2])


def test_short_names_stand_beside_their_figures() -> None:
    from edgeup.cli.compare_table import compare_table

    entries = [{**_measured(name), "power": {"measured": False}} for name in ("upconv", "b")]
    lines = [line.plain for line in compare_table(entries)]
    assert [line.split()[0] for line in lines[2:]] == ["upconv", "b"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--precision", "fp16,fp16"), "--precision names fp16 twice"),
        (("--precision", "bf16"), "unknown precision 'bf16'"),
        (("--shape", "1x1x32x32,1x1x32x32"), "--shape names 1x1x32x32 twice"),
    ],
)
def test_a_variant_that_cannot_be_is_refused(
    edgeup: Callable, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = edgeup("compare", "--decoder", "nearest", *UNET[:6], *arguments, "-o", tmp_path / "out")
    assert ran.status == 2
    assert words in ran.err
    assert not (tmp_path / "out").exists()

"""`edgeup compare` on several backends: whose outputs are compared, what is timed, what energy."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from rich.console import Console

from edgeup.cli.compare_summary import compare_summary
from edgeup.html.files import html_of
from edgeup.pipeline.compare.marks import mark_pareto
from edgeup.pipeline.compare.plot import draw, panels_of
from edgeup.pipeline.compare.request import CompareRequest, Entrant
from edgeup.pipeline.compare.subjects import compare_subjects
from edgeup.pipeline.subject import Subject
from edgeup.runtime.machine import Machine
from edgeup.spec import TensorSpec
from edgeup.targets import find_target

SCHEMA = json.loads((files("edgeup") / "data" / "compare.schema.json").read_text())
UNET = ("--model", "unet", "--option", "width=0.0625", "--option", "padding=same")
UNET += ("--shape", "1x1x32x32", "--duration", "0.05", "--threads", "1")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def test_two_backends_in_one_measurement(edgeup: Callable, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    ran = edgeup(
        *("compare", "--decoder", "nearest", "--backend", "onnxruntime,torch", *UNET),
        *("--precision", "fp32,fp16", "-o", tmp_path),
    )
    assert ran.status == 0, ran.err
    assert torch.get_num_threads() == before
    report = json.loads((tmp_path / "compare.json").read_text())
    jsonschema.validate(report, SCHEMA)
    single, module, half = report["models"]
    assert [(e["name"], e["backend"], e["precision"]) for e in report["models"]] == [
        ("nearest fp32 onnxruntime", "onnxruntime", "fp32"),
        ("nearest fp32 torch", "torch", "fp32"),
        ("nearest fp16 onnxruntime", "onnxruntime", "fp16"),
    ]
    out = "fp16 on torch is left out: torch runs the module as it is written, in fp32"
    assert out in report["notices"]
    assert any("rounds less than a GPU does" in notice for notice in report["notices"])
    assert module["latency"]["backend"] == "PyTorch eager"
    assert len({entry["latency"]["iterations"] for entry in report["models"]}) == 1
    assert module["ratio"]["median"] != 1.0
    # PyTorch is the reference itself: no error, no file, no parity of its own.
    assert (module["error_of_peak"], module["passed"]) == (0.0, True)
    assert not {"onnx", "parity", "rewrites"} & set(module)
    assert 0 < single["error_of_peak"] < 1e-5 < 1e-4 < half["error_of_peak"] < 2e-2
    assert "fp16" in half["parity"][0]["tolerance"]["reason"]
    assert any(entry["pareto"] for entry in report["models"])
    assert single["power"]["measured"] is False
    assert max(map(len, ran.out.splitlines())) <= 80
    for words in ("reference", "energy: not measured: this is no Jetson", "Pareto-efficient"):
        assert words in " ".join(ran.out.split())
    page = html_of(report).decode()
    assert "PyTorch itself: the reference" in page
    assert page.count("efficient</td>") == sum(entry["pareto"] for entry in report["models"])
    assert "on the lower edge: nearest fp32 torch" in page


def test_torch_alone_needs_no_file(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeup.pipeline.compare import backends

    monkeypatch.setattr(backends, "export_subject", None)
    arguments = ("--decoder", "nearest,transposed", "--backend", "torch", *UNET)
    ran = edgeup("compare", *arguments, "-o", tmp_path, "--format", "json")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, SCHEMA)
    assert [entry["name"] for entry in ran.json["models"]] == ["nearest", "transposed"]
    assert [panel.quantity[:5] for panel in panels_of(ran.json["models"])] == ["GMACs"]


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_module_lives_on_only_where_it_is_run(backend: str) -> None:
    import gc
    import weakref

    from edgeup.pipeline.compare.backends import candidates

    modules = []

    def make() -> Subject:
        subject = _subject("one", _Drawing())
        modules.append(weakref.ref(subject.module))
        return subject

    entrant = Entrant("one", make, "fp32", {backend: "one"})
    request = CompareRequest("none", "edgeup compare", find_target("cpu"), threads=1)
    found, _ = candidates(entrant, request, lambda words: None)
    gc.collect()
    assert (modules[0]() is None) == (backend == "onnxruntime")
    with found["one"].load() as run:
        run()


def test_an_export_is_dropped_when_it_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch is to run later holds the module alone, not its file and graphs."""
    import gc
    import weakref

    from edgeup.pipeline.compare import backends

    real, exports = backends.export_subject, []

    def export(*given: Any) -> Any:
        proven = real(*given)
        exports.append(weakref.ref(proven))
        return proven

    monkeypatch.setattr(backends, "export_subject", export)
    rows = {"onnxruntime": "file", "torch": "module"}
    entrant = Entrant("one", lambda: _subject("one", _Drawing()), "fp32", rows)
    request = CompareRequest("none", "edgeup compare", find_target("cpu"), threads=1)
    found, _ = backends.candidates(entrant, request, lambda words: None)
    gc.collect()
    assert list(found) == ["file", "module"]
    assert [export() for export in exports] == [None]


REFUSED = [
    (["--backend", "onnxrutime"], r"unknown backend 'onnxrutime': did you mean onnxruntime\?"),
    (["--backend", "torch,torch"], r"--backend names torch twice; leave one out"),
    (["--backend", "torch", "--precision", "fp16"], r"nothing to compare: fp16 on torch is left"),
    (["--precision", "fp16", "--target", "jetpack-5.1.2"], r"takes fp16 from flags, so the ONNX"),
    (["--backend", "torch,tensorrt"], r"^edgeup: --backend tensorrt: this machine has no NVIDIA"),
    (["--backend", "tensorrt", "--target", "cpu"], r"tensorrt: there is no engine to build for c"),
]


@pytest.mark.parametrize(("arguments", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_no_backend_runs_is_one_line(
    edgeup: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    from edgeup.cli import named
    from edgeup.runtime.engine import device

    monkeypatch.setattr(device, "find_device", lambda machine: None)
    monkeypatch.setattr(named, "_fastdepth", None)  # nothing is built
    ran = edgeup("compare", "--decoder", "upconv", *arguments, "-o", tmp_path / "out")
    assert ran.status == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert re.search(reason, ran.err), ran.err
    assert not (tmp_path / "out").exists()


SENSOR = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    f"{SENSOR}/in1_label": "VDD_IN",
    f"{SENSOR}/in1_input": 5000,
    f"{SENSOR}/curr1_input": 1000,
}


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Callable]:
    """A made-up board, and a way to set the current that it draws."""
    monkeypatch.setattr("edgeup.runtime.board.watch._IDLE_AT_LEAST_S", 0.3)

    def write(path: str, value: object) -> None:
        goal = tmp_path / "board" / path
        goal.parent.mkdir(parents=True, exist_ok=True)
        fresh = goal.with_name(goal.name + ".new")
        fresh.write_text(f"{value}\n")
        fresh.replace(goal)

    for path, value in ORIN.items():
        write(path, value)
    machine = Machine(root=tmp_path / "board", which=lambda name: None, run=lambda command: None)
    return machine, lambda milliamps: write(f"{SENSOR}/curr1_input", milliamps)


class _Drawing(torch.nn.Module):
    """One convolution, while which the board draws so much."""

    def __init__(self, draw: Callable[[int], None] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.draw = draw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.draw is not None:
            self.draw(3000)
        return self.conv(x)


def _subject(name: str, module: torch.nn.Module) -> Subject:
    facts = {"decoder": name, "parameters": 112, "macs": 3888, "weights": {"source": "random"}}
    spec = TensorSpec("x", (1, 3, 8, 8))
    return Subject(name, "one convolution", module.eval(), (spec,), ("y",), facts)


def _entrant(name: str, backend: str, draw: Callable[[int], None] | None = None) -> Entrant:
    return Entrant(name, lambda: _subject(name, _Drawing(draw)), "fp32", {backend: name})


def test_energy_is_of_each_model_alone_where_the_board_tells(
    orin: tuple[Machine, Callable[[int], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    machine, draw_milliamps = orin
    bind = OnnxRuntimeSession.bind

    def bound(session: OnnxRuntimeSession, feeds: Any) -> Callable[[], object]:
        run = bind(session, feeds)
        return lambda: (draw_milliamps(2000), run())

    monkeypatch.setattr(OnnxRuntimeSession, "bind", bound)

    def stage(words: str) -> None:
        if words.startswith("measuring the power"):
            draw_milliamps(1000)

    entrants = [
        _entrant("calm", "onnxruntime"),
        _entrant("hungry", "torch", draw_milliamps),
    ]
    request = CompareRequest(
        *("none", "edgeup compare", find_target("cpu")),
        threads=1,
        duration_s=0.4,
        machine=machine,
        power_interval_s=0.02,
    )
    report = compare_subjects(entrants, request, stage)
    jsonschema.validate(json.loads(json.dumps(report, allow_nan=False)), SCHEMA)
    calm, hungry = (entry["power"] for entry in report["models"])
    assert (calm["mean_mw"], hungry["mean_mw"]) == (
        pytest.approx(10000, rel=0.1),
        pytest.approx(15000, rel=0.1),
    )
    assert hungry["idle_mw"] == pytest.approx(5000)
    for one in (calm, hungry):
        added = (one["mean_mw"] - 5000) * one["seconds"] / one["inferences"]
        assert one["energy_per_inference_mj"] == pytest.approx(added)
    assert [panel.quantity[:6] for panel in panels_of(report["models"])] == [
        *("larges", "energy", "GMACs "),
    ]
    console = Console(width=80, no_color=True)
    with console.capture() as caught:
        console.print(*compare_summary(report, Path("out")))
    text = " ".join(caught.get().split())
    assert "better in one of latency, error and energy and no worse in the rest" in text
    assert "each model alone, above idle" in text
    assert max(map(len, caught.get().splitlines())) <= 80
    assert "energy of an inference, mJ (log)" in html_of(report).decode()
    assert draw(report).startswith(b"\x89PNG")


def test_without_sensors_no_board_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeup.runtime.board import watch

    monkeypatch.setattr(watch, "BoardWatch", None)
    request = CompareRequest(
        *("none", "edgeup compare", find_target("cpu")),
        duration_s=0.0,
        machine=Machine(root=tmp_path),
    )
    report = compare_subjects([_entrant("one", "torch")], request, lambda words: None)
    assert report["models"][0]["power"] == {
        "measured": False,
        "reason": "this is no Jetson: power is read from a Jetson's rails",
    }


def _entry(
    name: str, error: float | None, ms: float, mj: float | None = None, *, size: int = 8
) -> dict[str, Any]:
    """Measured without noise."""
    power = {"measured": mj is not None, "energy_per_inference_mj": mj}
    return {
        "name": name,
        "backend": "onnxruntime",
        "model": {"decoder": name, "macs": 10**9, "inputs": [{"shape": [1, 3, size, size]}]},
        "error_of_peak": error,
        "latency": {"median_ms": ms},
        "ratio": {"low": ms, "high": ms},
        "power": power,
    }


def test_energy_counts_only_where_all_have_it() -> None:
    entries = [
        _entry("precise", 1e-6, 9, 5),
        _entry("fast", 1e-3, 1, 9),
        _entry("frugal", 1e-3, 2, 1),
        _entry("unknown", None, 0.5, 0.5),
    ]
    mark_pareto(entries)
    assert [entry["pareto"] for entry in entries] == [True, True, True, False]
    entries[0]["power"] = {"measured": False}
    mark_pareto(entries)
    assert [entry["pareto"] for entry in entries] == [True, True, False, False]


def test_a_larger_picture_is_not_a_worse_network() -> None:
    entries = [
        _entry("small", 1e-6, 1),
        _entry("slow", 1e-6, 2),
        _entry("large", 1e-6, 4, size=16),
        _entry("slow and large", 1e-6, 5, size=16),
    ]
    mark_pareto(entries)
    assert [entry["pareto"] for entry in entries] == [True, False, True, False]
    assert panels_of(entries)[0].fronts() == {"1x3x8x8": [(1, 1e-6)], "1x3x16x16": [(4, 1e-6)]}


def test_the_line_of_a_panel_joins_what_is_efficient_in_it() -> None:
    entries = [
        _entry("a", 1e-2, 1),
        _entry("b", 1e-3, 2),
        _entry("c", 1e-3, 3),
        _entry("d", 0.0, 8),
        _entry("e", None, 5),
        _entry("f", 1e-9, 9),
    ]
    mark_pareto(entries)
    error, macs = panels_of(entries)
    low, _ = error.limits()
    assert error.fronts() == {"1x3x8x8": [(1, 1e-2), (2, 1e-3), (8, low)]}
    assert error.on_edge
    assert low < 1e-9 / 2
    assert [point.efficient for point in error.points] == [True, True, False, True, False]
    assert [point.y for point in macs.points] == [1.0] * 6
    assert (macs.fronts(), macs.on_edge) == ({}, False)


def test_of_a_crowd_only_the_efficient_are_named() -> None:
    entries = [_entry(f"n{i}", 0.1 / (i + 1) ** 2, 1.0 + (i % 7) * i) for i in range(60)]
    mark_pareto(entries)
    [error, _] = panels_of(entries)
    named = {point.name for point, _ in error.named()}
    assert named == {entry["name"] for entry in entries if entry["pareto"]}
    assert 1 < len(named) < 20
    few = panels_of(entries[:10])[0]
    assert len(few.named()) == 10


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_shows_the_page(edgeup: Callable, tmp_path: Path) -> None:
    arguments = ("--decoder", "nearest", "--backend", "onnxruntime,torch", *UNET)
    ran = edgeup("compare", *arguments, "-o", tmp_path, "--format", "json")
    report = copy.deepcopy(ran.json)
    report["models"][0]["name"] = "<b>bold"
    page = tmp_path / "page.html"
    page.write_bytes(html_of(report))
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"),
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "&lt;b&gt;bold" in done.stdout
    assert "Pareto plots" in done.stdout
    assert "Energy: not measured: this is no Jetson" in done.stdout

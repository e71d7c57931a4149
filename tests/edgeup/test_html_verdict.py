"""What a page says first: passed, failed, measured or estimated, and what speaks against it."""

import copy
import io
import json
import re
import shutil
import subprocess
from html import escape, unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.errors import EdgeupError
from edgeup.html.changes import findings, nvidia
from edgeup.html.equality import worst_case
from edgeup.html.files import html_of, html_of_several, read_report
from edgeup.html.markup import table
from edgeup.html.page import page
from edgeup.html.regression import Run
from edgeup.html.roof import drawing
from edgeup.html.several import runs_table
from edgeup.html.summary import tiles, title_of
from edgeup.html.times import latency, layers
from edgeup.html.verdict import passed, verdict

Report = dict[str, Any]
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def words_of(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def look_of(markup: str) -> str:
    found = re.match(r'<div class="([^"]*)">', markup)
    assert found
    return found[1]


def output(good: bool = True, **more: Any) -> Report:
    return {
        **{"name": "depth", "passed": good, "max_abs": 0.5, "reason": "", "elements": 12_000},
        **{"tolerance": {"atol": 1.0, "rtol": 0.0}, "needed": {"atol": 0.5}, "cases": []},
        **{"mismatches": 3, "psnr": 61.25, "task": None},
        **more,
    }


def profile(**more: Any) -> Report:
    report = {
        **{"kind": "profile", "passed": True, "notices": ["the times are unsteady", "load 3.6"]},
        **{"gates": {"conditions": [], "failures": []}, "baseline": None, "versus": None},
        "model": {"name": "model", "path": "a/model.onnx"},
        "latency": {
            **{"backend": "ORT", "device": "CPU", "threads": 1, "iterations": 9, "max_ms": 14.0},
            **{"median_ms": 10.0, "p90_ms": 11.0, "p95_ms": 12.0, "p99_ms": 13.0, "min_ms": 9.0},
        },
    }
    return report | more


def test_a_profile_without_limits_is_measured_and_not_passed() -> None:
    report = profile()
    box = verdict(report)
    assert passed(report) is None
    assert look_of(box) == "verdict open"
    words = words_of(box)
    assert "Passed" not in words
    assert words == "Measured; no limit was given. the times are unsteady load 3.6"
    for limited in (
        profile(gates={"conditions": ["latency>20ms"], "failures": []}),
        profile(baseline={"path": "b.json"}),
    ):
        assert passed(limited) is True
        assert look_of(verdict(limited)) == "verdict"
        assert "load 3.6" in words_of(verdict(limited))


def test_an_estimate_is_not_passed_alone_or_beside_others() -> None:
    report = {"kind": "estimate", "notices": []}
    assert passed(report) is None
    assert look_of(verdict(report)) == "verdict open"
    assert passed({"parity": []}) is None
    rows = runs_table([Run("a", report), Run("b", profile(passed=False))], figures=())
    assert re.findall(r"<td[^>]*><span[^>]*>(.*?)</span>", rows) == ["–", "FAILED"]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ({"passed": True, "parity": [output(), output(False)]}, "output depth did not pass"),
        (
            profile(gates={"conditions": ["x"], "failures": ["latency is 9 ms"]}),
            "a limit does not hold: latency is 9 ms",
        ),
        ({"passed": True, "accepted": False}, "the target does not accept it"),
        (
            {"passed": True, "nodes": [{"node": "up", "verdict": "different"}]},
            "node up is different",
        ),
        ({"passed": True, "read_back": {"passed": False}}, "layers of the engine are not as asked"),
    ],
)
def test_a_verdict_that_the_figures_contradict_is_no_pass(report: Report, why: str) -> None:
    assert passed(report) is False
    assert look_of(verdict(report)) == "verdict failed"
    assert f"calls itself passed, but {why}" in words_of(verdict(report))
    assert "Passed" not in words_of(verdict(report))


@pytest.mark.parametrize("said", ["false", "true", 1, 0, None, []])
def test_a_verdict_that_is_neither_true_nor_false_is_refused(said: Any) -> None:
    for report in (profile(passed=said), profile(parity=[output(passed=said)])):
        with pytest.raises(EdgeupError, match=r"passed is .*, and neither true nor false"):
            html_of(report, "altered.json")


def test_two_profiled_models_are_both_named_and_told_of() -> None:
    ratio = {"median": 0.979, "low": 0.929, "high": 1.032, "confidence": 0.99, "of": "latency"}
    other = profile(model={"name": "model", "path": "b/model.onnx"})
    other["latency"]["median_ms"] = 80.6
    other["latency"]["max_ms"] = 88.5
    report = profile(
        versus={
            **{"model": other["model"], "latency": other["latency"], "ratio": ratio},
            **{"verdict": "equal", "words": "no difference beyond noise"},
        }
    )
    assert title_of(report) == "a/model.onnx against b/model.onnx"
    assert title_of(profile()) == "a/model.onnx"
    assert "no difference beyond noise" in words_of(verdict(report))
    assert "latency of a/model.onnx is 0.979 of that of b/model.onnx" in words_of(verdict(report))
    shown = words_of(latency(report))
    assert "b/model.onnx 80.6 ms" in shown
    assert {"14 ms", "88.5 ms"} <= set(re.findall(r"[\d.]+ ms", shown))
    assert "1 thread," in shown


def test_slower_than_the_original_and_random_weights_are_said_first() -> None:
    gain = {"median": 0.89, "low": 0.86, "high": 0.91, "confidence": 0.95}
    report = {
        **{"passed": True, "latency": {"versus_original": gain}},
        "notices": ["weights are random (seed 0): the output means nothing"],
    }
    box = verdict(report)
    assert "SLOWER" in words_of(box)
    assert "weights are random (seed 0)" in words_of(box)
    assert '<strong class="bad">SLOWER' in box


def test_a_failed_verify_names_the_first_node_and_has_tiles() -> None:
    node = {
        **{"node": "up", "op": "Resize", "among": ["up"], "value": "v", "candidate_value": "v"},
        **{"candidate_node": "up", "candidate_op": "Resize", "unlike": ["mode: linear, cubic"]},
    }
    report = {
        **{"passed": False, "candidate": {}, "task": "depth", "notices": []},
        "parity": [
            output(name="small", max_abs=0.1),
            output(False, max_abs=2.0, task={"delta_1.25": 0.875, "cases": []}),
        ],
        "bisect": {"first_difference": node, "first_nonfinite": None},
    }
    box = words_of(verdict(report))
    assert "First node whose output differs: Resize up. The two nodes differ in mode: linear" in box
    shown = words_of(tiles(report))
    for said in ("2.00e+00 output depth", "3 of 12,000 elements", "61.2 dB", "delta_1.25 0.875"):
        assert said in shown, said


def test_many_notices_are_folded() -> None:
    box = verdict(profile(notices=[f"notice {n}" for n in range(9)]))
    assert "The other 3 notices" in words_of(box)
    assert words_of(box).endswith("notice 8")


def test_findings_have_rule_and_evidence_and_nvidia_a_colon() -> None:
    found = {
        **{"node": "pool", "op": "MaxPool", "verdict": "refused", "rule": "pooling-indices"},
        **{"evidence": "importer source", "reason": "values alone", "remedy": "optimize"},
    }
    shown = words_of(findings({"nodes": [found]}))
    assert all(said in shown for said in found.values())
    asked = {
        **{"stage": "parse", "accepted": False, "decides": True, "package": "p", "version": "1"},
        "errors": [
            {"op": "MaxUnpool", "node": "unpool", "text": "false"},
            {"op": "", "node": "", "text": "no memory"},
        ],
        "disagreement": None,
    }
    said = words_of(nvidia({"nvidia": asked}))
    assert said.endswith("MaxUnpool unpool: false no memory")


def test_pictures_have_their_own_range_and_say_that_of_the_colours() -> None:
    def shown(**more: Any) -> str:
        png = "iVBORw0KGgo="
        pictures = [
            {"shows": "reference", "png": png, "range": [0.0, 27.1], **more},
            {"shows": "error", "png": png, "range": [0.0, 18.1]},
        ]
        one = {"output": "y", "case": "a", "channel": 0, "channels": 1, "scale": 3}
        return words_of(worst_case({"worst_case": [{**one, "pictures": pictures}]}))

    assert "reference: 0 to 9.03; colours: 0 to 27.1 on both" in shown(values=[0.0, 9.03])
    assert "reference: 0 to 27.1 where they differ: 0 to 18.1" in shown(values=[0.0, 27.1])
    assert "reference: colours: 0 to 27.1 on both" in shown()  # an older report
    assert "Of 3×3 pixels the middle one is shown" in shown()


def test_on_paper_layers_appear_once_under_their_heading() -> None:
    rows = [
        {"name": f"n{i}", "mean_ms": 1.0 + i, "share": 0.01, "operator": "Conv"} for i in range(30)
    ]
    drawn = layers(
        {"layers": {"rows": rows, "source": "x", "runs": 3, "total_ms": 9, "stages": []}}
    )
    assert '<div class="screen"><h3>The 25 that cost most</h3>' in drawn
    assert "<summary>All 30 layers in the order of execution</summary>" in drawn
    style = page("t").decode().split("@media print")[1]
    assert ".screen { display: none; }" in style
    assert not re.search(r"summary\s*{[^}]*display: none", style)


def layer(name: str, estimate: float, macs: int, moved: int, kind: str = "dense") -> Report:
    return {
        **{"name": name, "kind": kind, "estimate_us": estimate, "macs": macs, "bytes": moved},
        **{"operators": ["Conv"], "kind_measured": True, "share": 0.1, "binds": "memory"},
    }


def test_numbers_on_the_roofline_lie_on_nothing() -> None:
    gpu = {
        **{"title": "Board", "gmacs_per_s": 5118.0, "gbytes_per_s": 68.3},
        "depthwise_gmacs_per_s": 1279.0,
    }
    found = [layer(f"l{i}", 300.0 - i, 250_000_000, 8_000_000 + 90_000 * i) for i in range(8)]
    found += [layer("far", 150, 180_000_000, 500_000), layer("no macs", 900, 0, 1)]
    svg = drawing({"gpu": gpu, "layers": found, "costliest": [9, *range(8)]})
    numbers = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="mid halo">(\d)</text>', svg)
    places = {int(n): (float(x), float(y)) for x, y, n in numbers}
    assert sorted(places) == [2, 3, 4, 5, 6, 7, 8]  # 1 multiplies nothing
    for one, (x, y) in places.items():
        for other, (x2, y2) in places.items():
            assert one == other or abs(x - x2) >= 7 or abs(y - y2) >= 11, (one, other)
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', svg)
    [(right, base)] = re.findall(r'x="([\d.]+)" y="([\d.]+)" class="end halo">without', svg)
    left, low, high = float(right) - 150, float(base) - 9, float(base)
    for x, y, r in [tuple(map(float, circle)) for circle in circles]:
        inside = left < x + r and x - r < float(right) and low < y + r and y - r < high
        assert not inside, (x, y, r)


def net(path: Path) -> Path:
    """Convolution to half the size, resize, convolution."""
    value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(size=(6, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(size=(1, 6, 5, 5)).astype(np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "down", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Resize", ["a", "", "twice"], ["b"], "up", mode="nearest"),
        helper.make_node("Conv", ["b", "w2"], ["y"], "head", pads=[2] * 4),
    ]
    graph = helper.make_graph(
        *(nodes, "g", [value("x", kind, [1, 3, 48, 64])], [value("y", kind, [1, 1, 48, 64])]),
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture(scope="module")
def estimate(tmp_path_factory: pytest.TempPathFactory) -> Report:
    from edgeup.pipeline.estimate.model import EstimateRequest, estimate_file
    from edgeup.targets import find_target

    path = net(tmp_path_factory.mktemp("net") / "net.onnx")
    request = EstimateRequest(find_target("orin-nano-8gb"), "edgeup estimate net.onnx", "fp16")
    made: Report = json.loads(json.dumps(estimate_file(path, request)))
    schema = json.loads((files("edgeup") / "data" / "estimate.schema.json").read_text())
    jsonschema.validate(made, schema)
    return made


def test_the_page_of_an_estimate_has_stages_kinds_and_every_layer(estimate: Report) -> None:
    stages = estimate["stages"]
    total = sum(stage["estimate_us"] for stage in stages) / 1e3
    assert total == pytest.approx(estimate["total"]["estimate_ms"])
    assert sum(stage["macs"] for stage in stages) == estimate["total"]["macs"] > 0
    content = html_of(estimate).decode()
    words = words_of(content.split("<main>")[1])
    for stage in stages:
        assert stage["name"] in words
    assert "form chosen" not in words  # nothing was rewritten, and nothing is known of that
    assert f"All {len(estimate['layers'])} layers" in words
    for name, kind in (("down", "dense"), ("up", "resize"), ("head", "dense")):
        assert any(one["name"] == name and one["kind"] == kind for one in estimate["layers"])
        assert name in words.split(" layers in the order of execution")[1]
    kinds = words.split("By kind")[1].split("All ")[0]
    assert "measured on TX2" in kinds
    assert "assumed" in kinds
    older = {key: value for key, value in estimate.items() if key != "stages"}
    assert "Estimate for the board" in html_of(older).decode()


def test_estimates_are_compared_side_by_side(estimate: Report, tmp_path: Path) -> None:
    longer = copy.deepcopy(estimate)
    longer["total"]["estimate_ms"] *= 2
    elsewhere = copy.deepcopy(estimate)
    elsewhere["gpu"]["power_mode"] = "7W"
    paths = [tmp_path / f"{name}.json" for name in ("one", "longer", "elsewhere")]
    for path, report in zip(paths, (estimate, longer, elsewhere), strict=True):
        path.write_text(json.dumps(report))
    content, held = html_of_several(paths)
    assert list(held[0].worse) == ["longer estimate"]
    assert {"estimate", "work"} == set(held[0].compared)
    assert held[1].not_compared["estimate"].startswith("other power mode of the estimate: ")
    words = words_of(content.decode().split("<main>")[1])
    assert "▲ longer estimate" in words
    assert "passed" not in words


def test_where_nothing_could_be_compared_the_box_is_not_green(
    estimate: Report, tmp_path: Path
) -> None:
    other = copy.deepcopy(estimate)
    other["model"]["inputs"][0]["shape"] = [1, 3, 96, 64]
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, report in zip(paths, (estimate, other), strict=True):
        path.write_text(json.dumps(report))
    content = html_of_several(paths)[0].decode()
    assert re.search(r'<div class="verdict open"><p><strong class="warn">Nothing could', content)


def test_a_run_of_several_has_its_stages_in_figures(estimate: Report, tmp_path: Path) -> None:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path in paths:
        path.write_text(json.dumps(estimate))
    read_report(paths[0])
    content = html_of_several(paths)[0].decode()
    assert content.count('aria-label="Stages"') == 2
    assert content.count(">estimated<") == 2


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_cuts_no_figure(
    estimate: Report, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    from edgeup.cli.estimate_summary import estimate_summary
    from edgeup.cli.verb import Answer, Format

    monkeypatch.setenv("COLUMNS", str(columns))
    answer = Answer(Format.TEXT, terminal=True)
    answer.text = io.StringIO()
    answer.show(*estimate_summary(estimate, ()))
    shown = re.sub(r"\x1b\[[\d;]*m", "", answer.text.getvalue())
    assert "…" not in shown
    for one in estimate["layers"]:
        cells = f"{one['bytes'] / 1e6:.2f} {one['bound_us']:.0f} {one['estimate_us']:.0f}"
        assert cells in " ".join(shown.split()), one["name"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_short_name_is_one_line_on_a_phone(tmp_path: Path) -> None:
    rows = [["nnconv/5dwskip", "passed", *["123 ms"] * 9], ["a" * 60, "x", *["1"] * 9]]
    shown = table(["run", "verdict", *["median latency"] * 9], rows, left=2, label="Runs")
    script = """onload = () => {
      const page = document.querySelector('iframe').contentDocument;
      document.body.dataset.lines = [...page.querySelectorAll('tbody th')].map(head => {
        const range = page.createRange();
        range.selectNodeContents(head);
        return new Set([...range.getClientRects()].map(one => one.top)).size;
      }).join();
    }"""
    frame = tmp_path / "frame.html"
    source = escape(page("t", shown).decode())
    frame.write_text(
        f'<!DOCTYPE html><body><iframe width="360" height="800" srcdoc="{source}"></iframe>'
        f"<script>{script}</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    [lines] = re.findall(r'data-lines="([\d,]+)"', done.stdout)
    short, long = map(int, lines.split(","))
    assert short == 1
    assert 1 < long < 6

"""What the pages of verify and profile show, what is refused, and what was not compared."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from html import escape, unescape
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.cli.main import main
from edgeup.errors import EdgeupError
from edgeup.html.files import html_of, html_of_several, read_report
from edgeup.html.held import held_against
from edgeup.html.kinds import kind_of
from edgeup.html.regression import Run
from edgeup.pipeline.profile.work import roof_section

VALUE, FLOAT = helper.make_tensor_value_info, TensorProto.FLOAT
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
Edgeup = Callable[..., Any]
Report = dict[str, Any]


def schema(name: str) -> Any:
    return json.loads((files("edgeup") / "data" / f"{name}.schema.json").read_text())


def network(path: Path, coordinates: str = "asymmetric", mode: str = "nearest") -> Path:
    """Convolution to half the size, resize, convolution."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(size=(6, 3, 3, 3)) * 0.3,
        "w2": random.normal(size=(1, 6, 5, 5)) * 0.3,
        "twice": np.array([1, 1, 2, 2]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "down", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Resize", ["a", "", "twice"], ["b"], "up", mode=mode,
                         coordinate_transformation_mode=coordinates, nearest_mode="floor"),
        helper.make_node("Conv", ["b", "w2"], ["y"], "head", pads=[2] * 4),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [VALUE("x", FLOAT, [1, 3, 48, 64])],
        [VALUE("y", FLOAT, [1, 1, 48, 64])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


def words_of(page: bytes) -> str:
    body = page.decode().split("<main>")[1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def row(page: bytes, first: str) -> list[str]:
    """The cells of the table row that begins so."""
    found = re.search(rf"<tr><th[^>]*>{re.escape(escape(first))}</th>(.*?)</tr>", page.decode())
    assert found, first
    return [words_of(b"<main>" + cell.encode()) for cell in re.findall("<td.*?</td>", found[1])]


def run(*arguments: object) -> int:
    """The command line without its output, so that a result can serve many tests."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def verified_once(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two models, of which one resizes in another coordinate mode."""
    folder = tmp_path_factory.mktemp("verified")
    good, bad = (
        network(folder / f"{mode}.onnx", mode, "linear") for mode in ("half_pixel", "asymmetric")
    )
    status = run(
        *("verify", good, bad, "--task", "depth", "--bisect", "-o", folder / "v.json"),
        *("--fail-on", "parity", "--kinds", "natural,ramp"),
    )
    assert status == 1
    report: Report = json.loads((folder / "v.json").read_text())
    jsonschema.validate(report, schema("verify"))
    assert (folder / "v.html").read_bytes() == html_of(report)
    return report


@pytest.fixture
def verified(verified_once: Report) -> Report:
    return copy.deepcopy(verified_once)


def test_the_page_of_verify_holds_what_its_json_holds(verified: Report) -> None:
    page = html_of(verified)
    words = words_of(page)
    [output] = verified["parity"]
    for key in ("max_abs", "max_rel", "mean_abs", "rmse", "p50_abs", "p90_abs", "p99_9_abs"):
        assert f"{output[key]:.2e}" in words, key
    worst = output["worst"]
    for said in (
        *(f"{output['cosine']:.8f}", f"PSNR {output['psnr']:.1f} dB", str(worst["index"])),
        *(f"in {worst['case']} at", f"{worst['candidate']:.6g}", f"{worst['reference']:.6g}"),
        *(f"atol {output['needed']['atol']:.2e} at that rtol", output["tolerance"]["reason"]),
        f"{output['mismatches']:,} of {output['elements']:,} elements",
        *(f"{output['task'][name]:.4g}" for name in ("abs_rel", "delta_1.25", "edge_error")),
        *(one["words"] for one in output["diagnoses"]),
        *("First node whose output differs: Resize up", "Conditions: parity", "natural, ramp"),
        *(verified["reference"]["sha256"], verified["candidate"]["backend"]),
        "asymmetric.onnx against half_pixel.onnx",
    ):
        assert " ".join(said.split()) in words, said
    assert output["diagnoses"]


def test_verify_draws_the_worst_case(verified: Report) -> None:
    [pictures] = verified["worst_case"]
    assert pictures["case"] == verified["parity"][0]["worst"]["case"]
    shown = [one["shows"] for one in pictures["pictures"]]
    assert shown == ["input", "reference", "candidate", "error"]
    assert pictures["pictures"][3]["range"][1] == pytest.approx(verified["parity"][0]["max_abs"])
    assert html_of(verified).count(b"<img ") == 4


def test_two_sides_of_one_name_are_told_apart(verified: Report) -> None:
    for side in ("reference", "candidate"):
        verified[side] |= {"name": "model.onnx", "path": f"{side}/model.onnx"}
    assert "candidate/model.onnx against reference/model.onnx" in words_of(html_of(verified))


def test_the_page_says_that_one_of_several_nodes_differs(verified: Report) -> None:
    verified["bisect"]["first_difference"]["among"] = ["conv", "relu", "up"]
    words = words_of(html_of(verified))
    assert "First value that both sides have and that differs, made by: Resize up" in words
    assert "one of these nodes conv, relu, up" in words


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An optimized model, beside which its report lies."""
    folder = tmp_path_factory.mktemp("profiled")
    goal = folder / "m.onnx"
    assert run("optimize", network(folder / "raw.onnx"), "-o", goal, "--threads", 1) == 0
    return goal


@pytest.fixture(scope="module")
def profiled_once(optimized: Path) -> Report:
    return profile(optimized, "--layers", "--percentile", "50,99.9")


@pytest.fixture
def profiled(profiled_once: Report) -> Report:
    return copy.deepcopy(profiled_once)


def profile(model: Path, *more: str) -> Report:
    """Its report; the model's own stays beside it."""
    goal = model.with_name("profile.json")
    status = run(
        *("profile", model, "--iterations", 12, "--duration", 0, "--warmup", "1ms"),
        *("--threads", 1, "-o", goal, *more),
    )
    assert status == 0
    report: Report = json.loads(goal.read_text())
    jsonschema.validate(report, schema("profile"))
    return report


def test_the_page_of_a_profile_has_stages_forms_percentiles_and_rates(profiled: Report) -> None:
    page, layers = html_of(profiled), profiled["layers"]
    words = words_of(page)
    for name, value in profiled["latency"]["percentiles_ms"].items():
        assert f"{name} {value:.3g} ms" in words
    assert "p99.9" in profiled["latency"]["percentiles_ms"]
    formed = [form["form"] for stage in layers["stages"] for form in stage["forms"]]
    assert formed
    head = next(r for r in layers["rows"] if r["macs"] and "Conv" in r["operators"])
    assert sum(r["macs"] or 0 for r in layers["rows"]) == sum(s["macs"] for s in layers["stages"])
    cells = row(page, f"1. {max(layers['rows'], key=_cost)['name']}")
    first = max(layers["rows"], key=_cost)
    assert float(cells[1].replace(",", "")) == pytest.approx(
        first["macs"] / first["mean_ms"] * 1e-6, rel=0.01
    )
    assert float(cells[2]) == pytest.approx(first["macs"] / first["bytes"], rel=0.01)
    assert head["kind"] in ("dense", "pointwise")
    assert "No roof: the peak of a CPU under ONNX Runtime is not on record" in words
    assert all(form in words for form in formed)


def _cost(layer: Report) -> float:
    return float(layer["mean_ms"]) if layer["macs"] else 0.0


def test_what_is_absent_says_why_and_which_option_gives_it(optimized: Path, tmp_path: Path) -> None:
    alone = profile(network(tmp_path / "alone.onnx"), "--layers")
    assert "no report of export or optimize lies beside alone.onnx" in words_of(html_of(alone))
    report = optimized.with_suffix(".json").read_bytes()
    (tmp_path / "alone.json").write_bytes(report)
    other = profile(tmp_path / "alone.onnx", "--layers")
    assert "the report beside alone.onnx is of another file" in words_of(html_of(other))
    assert "--layers was not given" in words_of(html_of({**alone, "layers": None}))
    words = words_of(html_of(json.loads(report)))
    assert words.count("names no board, and an estimate needs one: --target") == 2


def test_a_baseline_and_the_warm_up_are_on_the_page(profiled: Report) -> None:
    profiled["baseline"] = {
        **{"path": "B.json", "model": "m.onnx", "max_regression": 0.05},
        "figures": [{"quantity": "latency", "baseline": 10.0, "now": 12.5, "change": 0.25}],
    }
    jsonschema.validate(profiled, schema("profile"))
    page = html_of(profiled)
    assert row(page, "latency") == ["10 ms", "12.5 ms", "+25.0%"]
    assert f"warm-up {profiled['warmup']['runs']} run" in words_of(page)
    assert "an empty model takes" in words_of(page)


def test_the_roof_is_that_of_the_board_where_it_is_known(profiled: Report) -> None:
    jetson = {"board": "NVIDIA Jetson Orin Nano Developer Kit", "power_mode": "MAXN_SUPER"}
    report = {
        "setting": {"backend": "TensorRT 10.3"},
        "board": {"jetson": jetson},
        "environment": {"memory_bytes": 7_990_000_000},
    }
    roof: Any = roof_section(report, "fp16")["roof"]
    assert (roof["title"], roof["power_mode"]) == ("Jetson Orin Nano 8 GB", "MAXN_SUPER")
    assert 5_000 < roof["gmacs_per_s"] < 20_000
    for change, reason in (
        ({"setting": {"backend": "onnxruntime CPU"}}, "a CPU under ONNX Runtime"),
        ({"board": None}, "not run on a Jetson"),
        ({"environment": {}}, "does not tell which board on record"),
        ({"board": {"jetson": {**jetson, "power_mode": "OWN"}}}, "does not tell a board"),
    ):
        assert reason in roof_section({**report, **change}, "fp16")["no_roof"]
    assert "precision" in roof_section(report, None)["no_roof"]
    profiled["layers"] = {**profiled["layers"], "roof": roof}
    del profiled["layers"]["no_roof"]
    jsonschema.validate(profiled, schema("profile"))
    words = words_of(html_of(profiled))
    assert "The roof is that of Jetson Orin Nano 8 GB in power mode MAXN_SUPER and fp16" in words
    assert f"peak {roof['gmacs_per_s']:.0f} GMAC/s" in words


def test_the_board_is_on_the_page(profiled: Report) -> None:
    clock = {
        **{"name": "gpu", "mhz": 1020.0, "min_mhz": 306.0, "max_mhz": 1020.0},
        **{"governor": "x", "locked": False},
    }
    state = {
        **{"clocks": [clock], "temperatures_c": {"tj": 48.4}, "cooling": {"fan": 0}},
        **{"over_current": {}, "gpu_load_percent": 3.0, "load_average": [0.1, 0.2, 0.3]},
        **{"gpu_off_mask": None, "power_mode": "15W"},
    }
    profiled["board"] = {
        "jetson": {
            **{"board": "NVIDIA Jetson Orin Nano", "l4t": "36.4.3", "jetpack": "6.2"},
            **{"power_mode": "15W", "power_mode_id": 0},
        },
        **{"clocks_locked": False, "throttled": ["cooling fan went to 2"], "marks": ["a mark"]},
        "before": state,
        "during": {
            **{"looks": 3, "clocks": {"gpu": {"low_mhz": 510.0, "high_mhz": 918.0}}},
            **{"hottest_c": {"tj": 61.7}, "gpu_load_percent": {"low": 5.0, "high": 99.0}},
        },
        "after": {**state, "cooling": {"fan": 2}, "temperatures_c": {"tj": 59.9}},
    }
    jsonschema.validate(profiled, schema("profile"))
    page = html_of(profiled)
    words = words_of(page)
    for said in (
        *("Orin Nano", "6.2 (L4T 36.4.3)", "power mode 15W", "NOT locked", "a mark"),
        *("throttled cooling fan went to 2", "5 to 99 %", "fan 0 to 2", "Not measured: this is no"),
    ):
        assert said in words, said
    assert row(page, "gpu") == ["1020", "510–918", "1020", "306–1020", "NO"]
    assert row(page, "tj") == ["48.4", "61.7", "59.9"]


def measured(**power: Any) -> Callable[[Report], None]:
    def change(report: Report) -> None:
        report["power"] = {"measured": True, "energy_per_inference_mj": 5.0, **power}

    return change


def shaped(report: Report) -> None:
    report["model"]["inputs"][0]["shape"] = [4, 3, 48, 64]


@pytest.mark.parametrize(
    ("change", "worse", "why"),
    [
        (lambda r: r["latency"]["percentiles_ms"].update({"p99.9": 1e3}), ["slower p99.9"], {}),
        (lambda r: r["memory"].update(peak_bytes=10**12), ["more memory"], {}),
        (lambda r: r["latency"].update(device="X"), [], {"median latency": "other device: "}),
        (lambda r: r["latency"].update(threads=7), [], {"p99": "number of threads: 1 and 7"}),
        (lambda r: r["latency"].update(backend="X"), [], {"memory": "other backend: "}),
        (shaped, [], {"median latency": "1×3×48×64 float32 and 4×3×48×64 float32"}),
        (lambda r: r["latency"]["percentiles_ms"].pop("p90"), [], {"p90": "only one has it"}),
        (measured(), [], {"energy, mJ": "only two has it"}),
    ],
)  # fmt: skip
def test_what_was_not_compared_is_never_called_worse_or_fine(
    profiled: Report, tmp_path: Path, edgeup: Edgeup,
    change: Callable[[Report], Any], worse: list[str], why: dict[str, str],
) -> None:  # fmt: skip
    second = copy.deepcopy(profiled)
    second["latency"]["median_ms"] *= 1 if worse or not why else 10
    if list(why) in (["p90"], ["energy, mJ"]):
        second["latency"]["median_ms"] = profiled["latency"]["median_ms"]
    change(second)
    held = held_against(Run("one", profiled), Run("two", second))
    assert list(held.worse) == worse
    assert {"size"} <= set(held.compared)
    for heading, reason in why.items():
        assert reason in held.not_compared[heading]
        assert heading not in held.compared
    assert bool(held.not_compared) == bool(why)
    if "energy, mJ" in why:
        return  # not a whole report: its power has but one figure
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, report in zip(paths, (profiled, second), strict=True):
        path.write_text(json.dumps(report))
    page, _ = html_of_several(paths)
    ran = edgeup("report", *paths, "-o", tmp_path / "page.html")
    for text in (words_of(page), " ".join(ran.out.split())):
        assert ("not compared" in text) == bool(why)
        assert all(what in text for what in worse)
    assert ("No regression against one" in ran.out) == (not worse)


def test_a_report_that_lacks_something_is_refused(
    verified: Report, profiled: Report, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    for kind, report in (("verify", verified), ("profile", profiled)):
        assert kind_of(report, path) == kind
        for key in schema(kind)["required"]:
            path.write_text(json.dumps({k: v for k, v in report.items() if k != key}))
            with pytest.raises(EdgeupError, match=rf"(?s)lacks .*{key}|has no {key}"):
                read_report(path)
    inside = copy.deepcopy(profiled)
    del inside["layers"]["rows"][0]["mean_ms"], inside["latency"]["median_ms"]
    path.write_text(json.dumps(inside))
    with pytest.raises(EdgeupError, match=r"lacks latency\.median_ms, layers\.rows\[\]\.mean_ms$"):
        read_report(path)
    with pytest.raises(EdgeupError, match=r"kind is \['profile'\]"):
        kind_of({**profiled, "kind": ["profile"]}, path)


def test_what_lies_beside_an_engine_has_a_page(
    profiled: Report, tmp_path: Path, edgeup: Edgeup
) -> None:
    sidecar = {
        **{"schema_version": 1, "engine": {"sha256": "a" * 64}, "onnx": {"sha256": "b" * 64}},
        "tensorrt": {"package": "tensorrt_rtx", "version": "1.7.1"},
        **{"device": {"name": None, "compute_capability": None}, "precision": "fp16"},
        "options": {
            **{"strongly_typed": True, "fp16_flag": False, "keep_fp32": [], "tf32": True},
            **{"workspace_bytes": None, "builder_optimization_level": None, "shapes": {}},
            **{"version_compatible": False, "hardware_compatibility": None, "dla_core": None},
            **{"gpu_fallback": False, "sparse_weights": False, "profiling_verbosity": "detailed"},
            "compute_capabilities": ["8.6"],
        },
        **{"created": "2026-01-01T00:00:00+00:00", "edgeup": "0.1.0", "target": "rtx"},
        **{"using": "tensorrt", "build_s": 0.5, "kept_fp32": ["head"]},
        "read_back": {
            **{"passed": True, "verified": False, "why": "no GPU", "downgrades": [], "layers": 0},
            **{"compared": 0, "fp16_share": None, "fp32_layers": [], "gpu_layers": []},
        },
    }
    jsonschema.validate(sidecar, schema("engine"))
    path, other = tmp_path / "m.engine.json", tmp_path / "p.json"
    path.write_text(json.dumps(sidecar))
    other.write_text(json.dumps(profiled))
    ran = edgeup("report", path, "-o", tmp_path / "e.html")
    assert ran.status == 0, ran.err
    words = words_of((tmp_path / "e.html").read_bytes())
    for said in ("Engine for rtx", "TensorRT for RTX 1.7.1", "no GPU", "kept fp32 head", "b" * 64):
        assert said in words
    ran = edgeup("report", other, path, "-o", tmp_path / "e.html")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "describes an engine" in ran.err


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_phone_sees_times_shares_and_all_stages_without_scrolling(
    profiled: Report, tmp_path: Path
) -> None:
    page = escape(html_of(profiled).decode())
    script = """onload = () => {
      const page = document.querySelector('iframe').contentDocument;
      const ends = [...page.querySelectorAll('table.bars tbody tr')]
        .filter(row => row.offsetParent)
        .map(row => row.querySelector('svg.bar').getBoundingClientRect().right);
      const shown = [...page.querySelectorAll('figure.across, figure.down')]
        .filter(figure => figure.offsetParent).map(figure => figure.className);
      document.body.dataset.found = Math.max(...ends) + ' ' + ends.length + ' ' + shown.join();
    }"""
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!DOCTYPE html><body><iframe width="360" height="800" srcdoc="{page}"></iframe>'
        f"<script>{script}</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900"),
            frame.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    [found] = re.findall(r'data-found="([^"]*)"', done.stdout)
    right, rows, shown = found.split()
    assert shown == "down"
    assert int(rows) >= len(profiled["layers"]["stages"]) + len(profiled["layers"]["rows"])
    assert 100 < float(right) <= 360

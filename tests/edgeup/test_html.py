"""The pages: whole, true of the report, escaped, without a network; and in a real browser."""

import base64
import copy
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from edgeup.errors import EdgeupError
from edgeup.html.files import html_of, html_of_several, names_of, read_report
from edgeup.html.held import Held, held_against
from edgeup.html.markup import Markup, join, tag
from edgeup.html.pareto import Point, frontier
from edgeup.html.regression import Run
from edgeup.html.scale import Scale, ticks
from edgeup.html.single import SECTIONS
from edgeup.html.times import merged

HOSTILE = '<script>alert("1")</script>'
BREAKOUT = '"><img src=x onerror=alert(2)>\u202e'
VOID = {"br", "img", "meta"}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


class Page(HTMLParser):
    """What is in a page; fails on tags that do not match, and on what could run or load."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.meta: list[dict[str, str | None]] = []
        self.sources: list[str] = []
        self.style = ""
        self.feed(content.decode())
        assert self.open == []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        assert len(said) == len(attrs), f"an attribute of {name} is there twice"
        assert not [key for key in said if key.startswith("on") or key == "style"], (name, said)
        self.tags.append(name)
        self.ids += [said["id"] or ""] if "id" in said else []
        self.sources += [said[key] or "" for key in ("src", "href", "action") if key in said]
        if name == "meta":
            self.meta.append(said)
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def hostile_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoder and decoder whose nodes and values have names that break out of naive markup."""
    random = np.random.default_rng(0)
    weights = {
        "down": random.normal(size=(8, 3, 3, 3)), "up": random.normal(size=(4, 8, 5, 5)),
        "last": random.normal(size=(1, 4, 1, 1)), "twice": np.array([1, 1, 2, 2]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "down"], ["a"], HOSTILE, strides=[2, 2], pads=[1] * 4),
        helper.make_node("Resize", ["a", "", "twice"], ["b"], BREAKOUT, mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Conv", ["b", "up"], ["c"], "</title></style>", pads=[2] * 4),
        helper.make_node("Conv", ["c", "last"], [HOSTILE], "last"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        BREAKOUT,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 48, 64])],
        [helper.make_tensor_value_info(HOSTILE, TensorProto.FLOAT, [1, 1, 48, 64])],
        [numpy_helper.from_array(array.astype(np.float32), n) for n, array in weights.items()],
    )
    path = tmp_path_factory.mktemp("model") / "net&<b>.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def report(hostile_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from edgeup.pipeline.optimize import FileRequest, optimize_file
    from edgeup.report import compose, schema
    from edgeup.targets import find_target

    output = tmp_path_factory.mktemp("out") / "out.onnx"
    request = FileRequest(find_target("orin-nano-8gb"), output)
    made = compose(**optimize_file(hostile_model, request, lambda words: None).sections)
    jsonschema.validate(made, schema())
    assert made["rewrites"]
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


def changed(report: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    other = copy.deepcopy(report)
    change(other)
    return other


def write(path: Path, report: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report))
    return path


def several(tmp_path: Path, *reports: dict[str, Any]) -> tuple[bytes, list[Held]]:
    paths = [write(tmp_path / f"run{i}.json", one) for i, one in enumerate(reports)]
    return html_of_several(paths)


def test_every_section_is_there_and_true_of_the_report(report: dict[str, Any]) -> None:
    page = Page(html_of(report))
    parts = ("stages", "parity", "worst", "latency", "roofline", "rewrites", "refusals", "model")
    assert [name for name in page.ids if not name.endswith("-heading")] == [*parts, "environment"]
    assert len(set(page.ids)) == len(page.ids)
    assert page.words.index("Passed") < page.words.index("stage by stage")
    for said in (
        *(stage["name"] for stage in report["stages"]),
        *(site["why"] for site in report["rewrites"]),
        *(case["kind"] for case in report["parity"][0]["cases"]),
        *(
            "decoder 48x64",
            report["rewrites"][0]["form"],
            report["command"],
            "Estimate, not measured",
        ),
        *(report["environment"]["python"], report["onnx"]["sha256"], "nothing was run on a Jetson"),
        f"median {report['latency']['median_ms']:.3g} ms",
    ):
        assert " ".join(str(said).split()) in page.words, said
    assert page.tags.count("img") == 4  # input, reference, candidate, error
    bars = page.words.count("Runs by latency")
    assert bars == 1


def test_the_histogram_and_the_stages_add_up(report: dict[str, Any]) -> None:
    spread = report["latency"]["histogram"]
    assert sum(spread["counts"]) == report["latency"]["iterations"]
    assert len(spread["edges_ms"]) == len(spread["counts"]) + 1
    edges, counts = merged(spread["edges_ms"], spread["counts"])
    assert sum(counts) == sum(spread["counts"])
    assert len(edges) == len(counts) + 1
    assert edges == sorted(edges)
    assert sum(stage["macs"] for stage in report["stages"]) == report["onnx"]["macs"] > 0
    assert sum(stage["nodes"] for stage in report["stages"]) == sum(
        report["onnx"]["nodes"].values()
    )
    total = sum(stage["estimate_us"] for stage in report["stages"]) / 1e3
    assert total == pytest.approx(report["estimate"]["total"]["estimate_ms"])
    assert sum(form["sites"] for s in report["stages"] for form in s["forms"]) == len(
        report["rewrites"]
    )


def test_names_from_a_file_are_text_and_nothing_else(report: dict[str, Any]) -> None:
    content = html_of(report)
    page = Page(content)
    assert "script" not in page.tags
    assert HOSTILE in page.words  # shown, as it is
    assert "onerror=alert(2)" in page.words
    assert "\u202e" not in content.decode()  # would turn the line around
    assert "\\u202e" in content.decode()


def test_a_page_loads_nothing_and_allows_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    pages = [html_of(report), several(tmp_path, report, report)[0]]
    for content in pages:
        page = Page(content)
        assert not re.search(rb"https?:|url\(|@import", content)
        assert all(source.startswith("data:image/png;base64,") for source in page.sources)
        [policy] = [m["content"] for m in page.meta if m.get("http-equiv")]
        assert policy is not None
        digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:")
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert {"prefers-color-scheme: dark", "@media print"} <= set(
            re.findall(r"prefers-color-scheme: dark|@media print", page.style)
        )


def test_a_picture_that_is_no_png_is_refused(report: dict[str, Any]) -> None:
    svg = base64.b64encode(b"<svg onload=alert(3)>").decode()
    for content in (svg, "no base64 at all", '"><script>'):
        bad = copy.deepcopy(report)
        bad["worst_case"][0]["pictures"][0]["png"] = content
        with pytest.raises(EdgeupError, match="picture is not"):
            html_of(bad)


def test_markup_escapes_all_but_itself() -> None:
    made = tag("p", "<b>", tag("i", "&"), class_='"x"', aria_label="'")
    assert made == '<p class="&quot;x&quot;" aria-label="&#x27;">&lt;b&gt;<i>&amp;</i></p>'
    assert join("<", Markup("<br>")) == "&lt;<br>"
    assert tag("p", "a\x00\x1b[31mb") == r"<p>a\x00\x1b[31mb</p>"


def test_a_failed_report_says_so_first(report: dict[str, Any]) -> None:
    def fail(r: dict[str, Any]) -> None:
        r["passed"] = r["parity"][0]["passed"] = False
        r["latency"] = {"not_measured": "no kernels"}
        r["worst_case"] = r["stages"] = []

    words = Page(html_of(changed(report, fail))).words
    assert words.index("FAILED") < words.index("is not equal")
    assert "Not measured: no kernels" in words
    assert "Passed" not in words


def slower(by: float) -> Callable[[dict[str, Any]], None]:
    def change(r: dict[str, Any]) -> None:
        latency = r["latency"]
        interval = latency["median_interval"]
        latency["median_ms"] *= by
        interval["low_ms"] *= by
        interval["high_ms"] *= by

    return change


def steady(r: dict[str, Any]) -> None:
    """A measurement with a narrow interval: what the machine does meanwhile is not tested here."""
    r["latency"] |= {"median_ms": 10.0}
    r["latency"]["median_interval"] = {"low_ms": 9.9, "high_ms": 10.1, "confidence": 0.95}


def overlapping(r: dict[str, Any]) -> None:
    """Slower, but so unsteady that it may be chance."""
    r["latency"]["median_ms"] = 11.0
    r["latency"]["median_interval"] = {"low_ms": 10.0, "high_ms": 12.0, "confidence": 0.95}


def wrong(r: dict[str, Any]) -> None:
    for case in r["parity"][0]["cases"]:
        if case["peak"]:  # an error where the reference is 0 is no share of its peak
            case["max_abs"] = (case["max_abs"] + 1e-6) * 2


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda r: None, []),
        (slower(1.3), ["slower"]),
        (slower(1.04), []),  # the intervals are apart, but two runs differ so by chance
        (slower(0.5), []),
        (lambda r: (slower(1.3)(r), r["latency"].update(device="CPU: another")), []),
        (overlapping, []),
        (wrong, ["larger error"]),
        (lambda r: r["onnx"].update(macs=r["onnx"]["macs"] + 1), ["more work"]),
        (lambda r: r["onnx"].update(bytes=r["onnx"]["bytes"] * 2), ["larger"]),
        (lambda r: r["onnx"].update(macs=None), []),
        (lambda r: r.update(passed=False), ["failed"]),
        (lambda r: r.update(latency={"not_measured": "no kernels"}), []),
    ],
)  # fmt: skip
def test_what_got_worse_is_marked(
    report: dict[str, Any], tmp_path: Path, change: Callable[[Any], None], found: list[str]
) -> None:
    first = changed(report, steady)
    second = changed(first, change)
    content, [held] = several(tmp_path, first, second)
    assert held == held_against(Run("run0", first), Run("run1", second))
    assert list(held.worse) == found
    words = Page(content).words
    assert ("No regression against run0" in words) == (not found)
    for what in found:
        assert f"run1 : {what}" in words
        assert (f"▲ {what}" in words) == (what != "failed")
    other = first["latency"].get("device") != second["latency"].get("device")
    assert ("median latency" in held.not_compared) == other
    assert ("median latency" in held.compared) == (not other)
    assert ("median latency, p90, p99 not compared: " in words) == other


def test_what_is_no_report_is_refused_in_one_line(
    report: dict[str, Any], tmp_path: Path, edgeup: Callable
) -> None:
    good = write(tmp_path / "good.json", report)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    cases = {
        "no schema_version": write(tmp_path / "a.json", [1, 2]),
        "schema version 2": write(tmp_path / "b.json", {"schema_version": 2}),
        "not JSON": deep,
        "does not exist": tmp_path / "missing.json",
        "is a folder": tmp_path,
        "schema version True": write(tmp_path / "t.json", {"schema_version": True}),
        "it has little of what any verb writes": write(tmp_path / "c.json", {"schema_version": 1}),
        "it lacks latency": write(
            tmp_path / "l.json", {k: v for k, v in report.items() if k != "latency"}
        ),
        "not a report as edgeup writes it": write(
            tmp_path / "p.json", {**report, "parity": [{"name": 3}]}
        ),
        "its kind is 'baseline'": write(
            tmp_path / "k.json", {"schema_version": 1, "kind": "baseline"}
        ),
    }
    (tmp_path / "nan.json").write_text('{"schema_version": 1, "x": NaN}')
    cases["NaN is not a number"] = tmp_path / "nan.json"
    for line, path in cases.items():
        for given in ([path], [good, path]):
            ran = edgeup("report", *given, "-o", tmp_path / "out.html")
            assert ran.status == 2
            assert line in ran.err
            assert ran.err.count("\n") == 1
    assert not (tmp_path / "out.html").exists()
    ran = edgeup("report", good, "-o", good)
    assert (ran.status, good.read_text()) == (2, json.dumps(report))


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for key, value in inside:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += places(value, (*path, key))
    return found


def test_a_mangled_report_is_drawn_or_refused(report: dict[str, Any]) -> None:
    """Nothing else may come of it, and nothing in it may become markup."""
    random = np.random.default_rng(0)
    values = [None, -1, 0, 1e308, float("inf"), HOSTILE, [], {}, [[]], {"a": 1}, True]
    known, drawn, refused = places(report), 0, 0
    for _ in range(80):
        mangled = copy.deepcopy(report)
        *way, last = known[random.integers(len(known))]
        place: Any = mangled
        for key in way:
            place = place[key]
        place[last] = values[random.integers(len(values))]
        try:
            Page(html_of(mangled))
            drawn += 1
        except EdgeupError:
            refused += 1
    assert min(drawn, refused) > 5


def test_the_verb_writes_one_page(report: dict[str, Any], tmp_path: Path, edgeup: Callable) -> None:
    first = changed(report, steady)
    a = write(tmp_path / "a" / "report.json", first)
    b = write(tmp_path / "b" / "report.json", changed(first, slower(2)))
    out = tmp_path / "page.html"
    ran = edgeup("report", a, b, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    assert (ran.json["page"], ran.json["regressions"]) == (str(out), {"b": ["slower"]})
    assert "median latency" in ran.json["compared"]["b"]
    assert ran.json["not_compared"] == {"b": {}}
    Page(out.read_bytes())
    ran = edgeup("report", a, b, "-o", out)
    assert "b: slower" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80 or str(out) in ran.out
    assert edgeup("report", a, "-o", out).status == 0
    assert out.read_bytes() == html_of(read_report(a))


def test_optimize_writes_the_page_beside_its_report(
    hostile_model: Path, tmp_path: Path, edgeup: Callable
) -> None:
    ran = edgeup("optimize", hostile_model, "-o", tmp_path / "o.onnx", "--threads", "1")
    assert ran.status == 0, ran.err
    assert (tmp_path / "o.html").read_bytes() == html_of(read_report(tmp_path / "o.json"))
    with pytest.raises(EdgeupError, match="not JSON"):
        read_report(tmp_path / "o.onnx")


def test_names_of_runs_tell_them_apart() -> None:
    paths = [Path(text) for text in ("x/report.json", "y/report.json", "z/fast.json")]
    assert names_of(paths) == ["x", "y", "fast"]
    assert names_of([Path("a/x.json"), Path("b/x.json")]) == ["a/x.json", "b/x.json"]
    assert names_of([Path("x.json")] * 2) == ["x.json", "x.json (2)"]


def test_the_frontier_holds_what_nothing_beats() -> None:
    points = [
        Point(n, *at)
        for n, at in {"a": (1, 9), "b": (2, 4), "c": (3, 5), "d": (8, 1), "e": (8, 2)}.items()
    ]
    assert [point.name for point in frontier(points)] == ["a", "b", "d"]


@pytest.mark.parametrize(("low", "high"), [(1e-7, 1e3), (150, 300), (20, 21), (0.003, 0.4)])
def test_an_axis_has_round_ticks_inside(low: float, high: float) -> None:
    scale = Scale(low, high, 0, 100)
    found = ticks(scale)
    assert 1 <= len(found) <= 7
    assert all(low <= value <= high for value in found)
    assert (scale(low), scale(high)) == (0, 100)


def test_each_section_has_a_name_of_its_own() -> None:
    names = [name for name, *_ in SECTIONS]
    assert len(set(names)) == len(names) >= 12


def browse(page: Path, folder: Path, *arguments: str) -> tuple[str, str]:
    """What headless Chromium makes of a page: stdout and the lines of its console."""
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--log-level=0"),
            *(*arguments, page.as_uri()),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@in_a_browser
def test_a_browser_shows_the_page_without_an_error(report: dict[str, Any], tmp_path: Path) -> None:
    for name, content in {
        "one": html_of(report),
        "two": several(tmp_path, report, changed(report, wrong))[0],
    }.items():
        page = tmp_path / f"{name}.html"
        page.write_bytes(content)
        dom, console = browse(page, tmp_path, "--dump-dom")
        assert console == ""
        assert "<script" not in dom
        picture = tmp_path / f"{name}.png"
        browse(page, tmp_path, f"--screenshot={picture}", "--window-size=1280,2000")
        assert picture.stat().st_size > 20_000


@in_a_browser
def test_the_console_is_read_at_all(report: dict[str, Any], tmp_path: Path) -> None:
    """The policy stops a script, and the browser says so: an empty console means something."""
    page = tmp_path / "page.html"
    page.write_bytes(html_of(report).replace(b"</main>", b"<script>document.x=1</script></main>"))
    _, console = browse(page, tmp_path, "--dump-dom")
    assert "Content Security Policy" in console


@in_a_browser
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_is_wider_than_the_screen(
    report: dict[str, Any], tmp_path: Path, width: int
) -> None:
    content = several(tmp_path, report, report)[0], html_of(report)
    frames = "".join(
        f'<iframe width="{width}" height="800" srcdoc="{html.escape(page.decode())}"></iframe>'
        for page in content
    )
    script = (
        "onload = () => { document.body.dataset.widths = [...document.querySelectorAll('iframe')]"
        ".map(f => f.contentDocument.documentElement.scrollWidth).join() }"
    )
    page = tmp_path / "frames.html"
    page.write_text(f"<!DOCTYPE html><body>{frames}<script>{script}</script>", encoding="utf-8")
    dom, _ = browse(page, tmp_path, "--dump-dom", "--window-size=1400,900")
    [widths] = re.findall(r'data-widths="([\d,]+)"', dom)
    inside = [int(text) for text in widths.split(",")]
    assert len(inside) == 2
    assert all(0 < one <= width for one in inside), inside

"""Latency: a histogram, the figures, and a bar per layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.decoder import bar
from edgeup.html.markup import Markup, facts, first_of_all, join, table, tag

Section = Mapping[str, Any]

_WIDTH, _HEIGHT, _LEFT, _BASE = 400.0, 170.0, 8.0, 130.0
_LAYERS_SHOWN = 25
_PERCENTILES = ("p90", "p95", "p99")
"""Of a report that does not say which were asked for."""
_OTHERS = ("mean", "min", "max", "std")
PARTS = {
    "h2d": "copy to the device",
    "compute": "network",
    "d2h": "copy back",
    "enqueue": "enqueueing, on the host",
}


def latency(report: Section) -> Markup:
    """Where it was measured, the figures, how they are spread; or why there are none."""
    section = report["latency"]
    if "not_measured" in section:
        return tag("p", f"Not measured: {section['not_measured']}.", class_="warn")
    return join(
        tag("p", _where(report)),
        tag("div", _figures(section), _spread(section), class_="charts"),
        facts(_how(report)),
        _parts(section),
        *(tag("p", line) for line in (*against_original(section), *against_other(report))),
        _both(report),
    )


def _where(report: Section) -> str:
    section = report["latency"]
    board = report.get("target", {}).get("board")
    other = f" This says nothing of {board}: nothing ran there." if board else ""
    threads = words.count(section["threads"], "thread")
    runs = words.count(section["iterations"], "run")
    return f"{section['backend']} on {section['device']}, {threads}, {runs}.{other}"


def _how(report: Section) -> dict[str, str]:
    """What a profile did before, and what it says of a model that does nothing."""
    warmup, overhead = report.get("warmup"), report.get("overhead")
    rows = {}
    if warmup:
        settled = "" if warmup["settled"] else ", and the times had NOT settled"
        rows["warm-up"] = (
            f"{words.count(warmup['runs'], 'run')}, {words.figures(warmup['seconds'])} s{settled}"
        )
    if overhead:
        rows["an empty model"] = f"takes {words.microseconds(overhead['empty_model_ms'] * 1e3)}"
    return rows


def baseline(report: Section) -> Markup:
    """The figures that were held against a saved baseline."""
    found = report["baseline"]
    rows = [
        [
            row["quantity"],
            *(_HELD[row["quantity"]](row[key]) for key in ("baseline", "now")),
            f"{row['change']:+.1%}",
        ]
        for row in found["figures"]
    ]
    said = f"{found['path']}, of {found['model']}; {found['max_regression']:.1%} worse is allowed."
    headings = ["quantity", "baseline", "now", "change"]
    return join(tag("p", said), table(headings, rows, label="Against the baseline"))


_HELD: Mapping[str, Callable[[Any], str]] = {
    "latency": words.milliseconds,
    "size": words.megabytes,
    "energy": lambda value: f"{words.figures(value)} mJ",
}
"""How the figures of a baseline are written."""


def _figures(section: Section) -> Markup:
    interval = section.get("median_interval")
    around = ""
    if interval:
        around = (
            f" ({words.figures(interval['low_ms'])} to {words.figures(interval['high_ms'])} with "
            f"{interval['confidence']:.0%} confidence)"
        )
    elif "no_interval" in section:
        around = f" (no interval: {section['no_interval']})"
    rows = {name: words.milliseconds(value) for name, value in times_of(section).items()}
    rows["median"] += around
    if "cv" in section:
        rows["variation"] = f"{section['cv']:.1%}" + (
            " – unsteady: the mean says little" if section["cv"] > 0.025 else ""
        )
    if section.get("throughput_per_s") is not None:
        rows["throughput"] = f"{words.figures(section['throughput_per_s'])} per second"
    return facts(rows)


def times_of(section: Section) -> dict[str, float]:
    """Median, the percentiles that were asked for, and the rest, in milliseconds."""
    asked = section.get("percentiles_ms")
    if asked is None:
        asked = {key: section[f"{key}_ms"] for key in _PERCENTILES if f"{key}_ms" in section}
    others = {key: section[f"{key}_ms"] for key in _OTHERS if f"{key}_ms" in section}
    return {"median": section["median_ms"], **asked, **others}


def _parts(section: Section) -> Markup | str:
    """Copies, network and enqueueing apart, where the backend tells them."""
    parts = section.get("parts")
    if not parts:
        return ""
    rows = [
        [said, *(words.milliseconds(parts[key][f"{of}_ms"]) for of in ("median", "mean", "max"))]
        for key, said in PARTS.items()
    ]
    return table(["part", "median", "mean", "max"], rows, left=1, label="Parts of the latency")


def _spread(section: Section) -> str:
    found = section.get("histogram")
    if not found:
        return ""
    edges, counts = merged(found["edges_ms"], found["counts"])
    caption = "Runs by latency; the last bar holds all beyond the 99th percentile."
    drawing = histogram(edges, counts, section["median_ms"])
    return tag("figure", drawing, tag("figcaption", caption))


def merged(edges: Sequence[float], counts: Sequence[int]) -> tuple[list[float], list[int]]:
    """Fewer bins where there are few runs; the last one, open above, stays by itself."""
    inner = counts[:-1]
    wanted = max(5, math.ceil(2 * math.sqrt(sum(counts))))
    by = max(1, math.ceil(len(inner) / wanted))
    starts = range(0, len(inner), by)
    return (
        [*(edges[i] for i in starts), edges[len(inner)], edges[-1]],
        [*(sum(inner[i : i + by]) for i in starts), counts[-1]],
    )


def histogram(edges: Sequence[float], counts: Sequence[int], median: float) -> Markup:
    """Bars of one width; the last one stands apart."""
    most, number = max(*counts, 1), len(counts)
    step = (_WIDTH - 2 * _LEFT - 12) / number
    low, high = edges[0], edges[-2]

    def left(index: int) -> float:
        return _LEFT + step * index + (12 if index == number - 1 else 0)

    bars = [
        tag(
            "rect",
            tag("title", f"{words.figures(edges[i])} to {words.figures(edges[i + 1])} ms: {count}"),
            x=left(i), y=_BASE - 110 * count / most, width=max(step - 1.5, 0.5),
            height=110 * count / most, class_="fill",
        )
        for i, count in enumerate(counts)
    ]  # fmt: skip
    share = (median - low) / (high - low) if high > low else 0.5
    at = _LEFT + step * (number - 1) * min(max(share, 0.0), 1.0)
    return tag(
        "svg",
        tag("title", f"Histogram of {sum(counts)} runs, median {words.milliseconds(median)}"),
        *bars,
        tag("line", x1=0.0, x2=_WIDTH, y1=_BASE, y2=_BASE, class_="axis"),
        tag("line", x1=at, x2=at, y1=8.0, y2=_BASE + 4, class_="mark"),
        tag("text", f"{words.figures(low)} ms", x=_LEFT, y=_BASE + 17),
        tag("text", f"{words.figures(high)}+", x=_WIDTH - _LEFT, y=_BASE + 17, class_="end"),
        tag("text", f"median {words.milliseconds(median)}", x=min(max(at, 60.0), _WIDTH - 60),
            y=_BASE + 33, class_="mid"),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", class_="chart", role="img",
    )  # fmt: skip


def against_original(section: Section) -> Iterator[str | Markup]:
    """What `edgeup optimize` gained, or lost, in a sentence."""
    gain = section.get("versus_original")
    if not gain:
        return
    if gain["low"] <= 1 <= gain["high"]:
        verdict = "no difference beyond noise"
    else:
        verdict = "faster" if gain["low"] > 1 else "SLOWER"
    said = (
        f"Against the original, taken in turn: original / result = {gain['median']:.3f} "
        f"({gain['low']:.3f} to {gain['high']:.3f} with {gain['confidence']:.0%} confidence): "
    )
    yield join(said, tag("strong", verdict, class_="bad" if verdict == "SLOWER" else None))


def against_other(report: Section) -> Iterator[str | Markup]:
    """What `edgeup profile --vs` found, in a sentence."""
    versus = report.get("versus")
    if not versus:
        return
    found, other = versus["ratio"], versus["model"]["path"]
    yield join(
        f"Against {other}, taken in turn: ",
        tag("strong", versus["words"], class_="bad" if versus["verdict"] == "slower" else None),
        f". The {found.get('of', 'latency')} of {report['model']['path']} is {found['median']:.3f} "
        f"of that of {other} ({found['low']:.3f} to {found['high']:.3f} with "
        f"{found['confidence']:.0%} confidence), each with the caches as the other left them; "
        f"alone, it may be another.",
    )


def _both(report: Section) -> Markup | str:
    """The times of both models of `edgeup profile --vs`, side by side."""
    versus = report.get("versus")
    if not versus:
        return ""
    sides = [(one["model"]["path"], times_of(one["latency"])) for one in (report, versus)]
    names = [name for name in sides[0][1] if name in sides[1][1]]
    rows = [[path, *(words.milliseconds(times[name]) for name in names)] for path, times in sides]
    return table(["model", *names], rows, label="Times of both models")


def layers(report: Section) -> Markup:
    """A bar per layer of a profile, the costliest first; all of them in the order of the run."""
    section = report["layers"]
    if section is None:
        return tag("p", f"Not measured: {_no_layers(report)}.")
    rows = section["rows"]
    costly = sorted(rows, key=lambda row: -row["mean_ms"])
    said = (
        f"By {section['source']}, {words.count(section['runs'], 'run')}: "
        f"{words.count(len(rows), 'layer')}, {words.milliseconds(section['total_ms'])} together."
    )
    unstaged = "" if section["stages"] else tag("p", _NO_STAGES, class_="soft")
    if len(rows) <= _LAYERS_SHOWN:
        return join(tag("p", said), _layer_table(costly, section), unstaged)
    return join(
        tag("p", said),
        first_of_all(
            f"The {_LAYERS_SHOWN} that cost most",
            _layer_table(costly[:_LAYERS_SHOWN], section),
            f"All {len(rows)} layers in the order of execution",
            _layer_table(rows, section),
        ),
        unstaged,
    )


_NO_STAGES = (
    "The layers are not traced to the model's nodes and stages: with --onnx MODEL.onnx, what the "
    "engine was built from, they are."
)


def _no_layers(report: Section) -> str:
    """Why no layer was timed, and which option times them."""
    loaded = "times" in report["setting"]
    option = "--load-profile" if loaded else "--layers"
    return (
        f"{option} was not given; it tells what each layer and stage takes, and where the layers "
        f"lie on a roofline"
    )


def _layer_table(rows: Sequence[Section], section: Section) -> Markup:
    """What matters most stands first: a phone shows the first columns."""
    most = max((row["mean_ms"] for row in section["rows"]), default=0.0)
    stages = section.get("stages", ())
    return table(
        ["layer", "mean", "share", "", "stage", "operator"],
        [
            [
                str(row["name"]),
                words.milliseconds(row["mean_ms"]),
                f"{row['share']:.1%}",
                bar(row["mean_ms"], most),
                "" if row.get("stage") is None else stages[row["stage"]]["name"],
                str(row["operator"]),
            ]
            for row in rows
        ],
        left={0, 4, 5},
        label="Layers",
        class_="bars",
    )

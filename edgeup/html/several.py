"""The page of several runs: a table with what got worse, Pareto plots, then each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.decoder import figure as stage_figure
from edgeup.html.decoder import stages_of
from edgeup.html.equality import worst_case
from edgeup.html.markup import Markup, join, scroll, table, tag
from edgeup.html.page import page, section
from edgeup.html.pareto import Point, pareto
from edgeup.html.regression import (
    FIGURES,
    RUN_TO_RUN,
    Run,
    comparable,
    energy_mj,
    error_of_peak,
    macs,
    median_ms,
    regressions,
)
from edgeup.html.summary import verdict
from edgeup.html.times import histogram, merged

Report = Mapping[str, Any]


def runs_page(runs: Sequence[Run]) -> bytes:
    """Reports of separate runs; the first is what the others are held against."""
    title = f"{len(runs)} runs side by side"
    first = runs[0]
    worse = {run.name: regressions(first.report, run.report) for run in runs[1:]}
    regressed = {name: what for name, what in worse.items() if what}
    lines = [
        tag("p", tag("strong", name), f": {', '.join(what)}") for name, what in regressed.items()
    ]
    count = words.count(len(regressed), "run")
    head = (
        tag("strong", f"{count} worse than {first.name}", class_="bad")
        if regressed
        else tag("strong", f"No regression against {first.name}", class_="good")
    )
    box = tag("div", tag("p", head), *lines, class_="verdict failed" if regressed else "verdict")
    about = (
        f"Marked is what is worse than in {first.name}: a latency where the intervals of the "
        f"medians are apart and the medians differ by more than {RUN_TO_RUN:.0%}, on the same "
        f"device, backend and threads; an error that grew by more than a tenth; more "
        f"multiply-accumulates; a larger file."
    )
    compared = join(
        _table(runs, marked=True),
        tag("p", about, class_="soft"),
        *(
            tag("p", f"{run.name}: another device, backend or number of threads; its latency is "
                "not compared.", class_="warn")
            for run in runs[1:]
            if median_ms(run.report) and not comparable(first.report, run.report)
        ),
    )  # fmt: skip
    return page(
        title,
        tag("h1", title),
        box,
        section("runs", "Side by side", compared),
        *_plots(runs),
        *_each(runs),
    )


def compare_page(report: Report) -> bytes:
    """A report of `edgeup compare`: its models, timed in turn."""
    shared = {key: report[key] for key in ("target", "environment")}
    runs = [Run(entry["name"], {**shared, **entry}) for entry in report["models"]]
    title = f"{report['network']}: {len(runs)} models compared"
    inputs = [words.shape(s["shape"]) for run in runs for s in run.report["model"]["inputs"]]
    shapes = ", ".join(dict.fromkeys(inputs))
    latency = report["models"][0]["latency"]
    about = (
        f"Latency: {latency['backend']} on {latency['device']}, {latency['threads']} threads, "
        f"{words.count(latency['iterations'], 'round')} in which each ran once; ratios are to "
        f"{report['reference']}. It says nothing of another device."
    )
    failed = [
        f"{entry['name']} is not equal within tolerance."
        for entry in report["models"]
        if not _passed(entry)
    ]
    said = failed or [f"All {len(runs)} compute what PyTorch computes, within tolerance."]
    if any(entry.get("precision", "fp32") != "fp32" for entry in report["models"]):
        said.append("What is not fp32 was compared with the fp32 graph, which passed before.")
    head = tag("strong", "FAILED" if failed else "Passed", class_="bad" if failed else "good")
    box = tag(
        "div", tag("p", head), *(tag("p", line) for line in said),
        class_="verdict failed" if failed else "verdict",
    )  # fmt: skip
    notices = tag("ul", [tag("li", str(notice)) for notice in report["notices"]])
    return page(
        title,
        tag("h1", title),
        tag("p", f"input {shapes} · for {report['target']['name']}", class_="soft"),
        box,
        section("runs", "Side by side", _table(runs, marked=False), tag("p", about, class_="soft")),
        *_plots(runs),
        *_each(runs),
        section("notices", "Notices", notices),
        section("command", "Command", tag("pre", str(report["command"]))),
    )


def _table(runs: Sequence[Run], *, marked: bool) -> Markup:
    """A row per run; columns that no run has a figure for are left out."""
    shown = [f for f in FIGURES if any(f.value(run.report) is not None for run in runs)]
    ratios = any("ratio" in run.report for run in runs)
    headings = ["run", "verdict", *(f.heading for f in shown), *(["ratio"] if ratios else [])]
    rows = []
    for run in runs:
        cells = [
            _cell(figure.text(value), run is not runs[0] and marked and value is not None
                  and figure.value(runs[0].report) is not None
                  and figure.worse(runs[0].report, run.report), figure.why)
            if (value := figure.value(run.report)) is not None
            else words.NONE
            for figure in shown
        ]  # fmt: skip
        rows.append([run.name, _verdict(run.report), *cells, *([_ratio(run)] if ratios else [])])
    return table(headings, rows, left=2, label="Runs side by side")


def _cell(text: str, worse: bool, why: str) -> Markup | str:
    return join(text, " ", tag("span", f"▲ {why}", class_="bad")) if worse else text


def _verdict(report: Report) -> Markup:
    passed = _passed(report)
    return tag("span", "passed" if passed else "FAILED", class_="good" if passed else "bad")


def _passed(report: Report) -> bool:
    outputs = report.get("parity", ())
    return bool(report.get("passed", all(output["passed"] for output in outputs)))


def _ratio(run: Run) -> str:
    found = run.report.get("ratio")
    if not found:
        return words.NONE
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _plots(runs: Sequence[Run]) -> list[Markup]:
    """Latency against error, work and energy, as far as there are figures of two runs."""
    axes = (
        (error_of_peak, "largest error, of the output's peak (log)"),
        (_gmacs, "1e9 multiply-accumulates (log)"),
        (energy_mj, "energy of an inference, mJ (log)"),
    )
    drawn = []
    for quantity, name in axes:
        points = [
            Point(run.name, x, y)
            for run in runs
            if (x := median_ms(run.report)) and (y := quantity(run.report))
        ]
        if len(points) > 1:
            drawn.append(pareto(points, "median latency, ms (log)", name))
    if not drawn:
        return []
    about = (
        "Lower left is better; on the line are the runs that no other beats in both. The error is "
        "that of parity with the reference, not accuracy on a data set."
    )
    if equal := [run.name for run in runs if error_of_peak(run.report) == 0]:
        about += f" Without any error, and so not on a logarithmic axis: {', '.join(equal)}."
    return [
        section(
            "pareto",
            "Pareto plots",
            tag("p", about, class_="soft"),
            tag("div", *drawn, class_="charts"),
        )
    ]


def _gmacs(report: Report) -> float | None:
    found = macs(report)
    return None if found is None else found / 1e9


def _each(runs: Sequence[Run]) -> list[Markup]:
    return [section(f"run-{number}", run.name, _one(run)) for number, run in enumerate(runs, 1)]


def _one(run: Run) -> Markup:
    """Verdict, stages, latency, pictures, command."""
    report = run.report
    parts: list[Markup] = [verdict(report)] if "passed" in report else []
    if stages := stages_of(report):
        parts.append(tag("figure", scroll("Stages as blocks", stage_figure(stages))))
    spread = report.get("latency", {}).get("histogram")
    if spread:
        edges, counts = merged(spread["edges_ms"], spread["counts"])
        parts.append(tag("figure", histogram(edges, counts, report["latency"]["median_ms"])))
    if report.get("worst_case"):
        parts.append(tag("details", tag("summary", "The worst case"), worst_case(report)))
    if report.get("command"):
        parts.append(tag("pre", str(report["command"])))
    return join(*parts)

"""The page of several runs: a table with what got worse, Pareto plots, then each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.conditions import input_shapes
from edgeup.html.decoder import decoder
from edgeup.html.equality import worst_case
from edgeup.html.held import Held, figures_of, headline
from edgeup.html.markup import Markup, join, table, tag
from edgeup.html.page import page, section
from edgeup.html.pareto import Point, pareto
from edgeup.html.regression import (
    FIGURES,
    RUN_TO_RUN,
    Figure,
    Run,
    energy_mj,
    largest_error,
    macs,
    median_ms,
)
from edgeup.html.times import histogram, merged
from edgeup.html.verdict import passed, verdict

Report = Mapping[str, Any]


def runs_page(runs: Sequence[Run], held: Sequence[Held]) -> bytes:
    """Reports of separate runs; the first is what the others are held against."""
    title = f"{len(runs)} runs side by side"
    first = runs[0].name
    about = (
        f"Marked is what is worse than in {first}: a latency where the intervals of the medians "
        f"are apart and the medians differ by more than {RUN_TO_RUN:.0%}; a percentile that grew "
        f"by more than a quarter; an error that grew by more than a tenth; memory or energy that "
        f"grew by more than {RUN_TO_RUN:.0%}; more multiply-accumulates; a larger file. Times, "
        f"memory and energy are compared on one device and backend, with one input shape and as "
        f"many threads; errors against one reference, on one set of inputs and with one rounding."
    )
    return page(
        title,
        tag("h1", title),
        _box(first, held),
        section(
            "runs",
            "Side by side",
            runs_table(runs, held, figures_of([run.report for run in runs])),
            tag("p", about, class_="soft"),
        ),
        section("compared", f"What was compared with {first}", *map(_coverage, held)),
        *plots(runs),
        *each(runs),
    )


def _box(first: str, held: Sequence[Held]) -> Markup:
    """What got worse; where nothing did, of how much that can be said."""
    worse = [one for one in held if one.worse]
    text, style = headline(first, held)
    lines = [tag("p", tag("strong", one.name), f": {', '.join(one.worse)}") for one in worse]
    lines += [
        tag("p", tag("strong", one.name), f": {', '.join(one.not_compared)} not compared",
            class_="warn")
        for one in held
        if one.not_compared
    ]  # fmt: skip
    look = {"bad": "verdict failed", "warn": "verdict open", "good": "verdict"}[style]
    return tag("div", tag("p", tag("strong", text, class_=style)), *lines, class_=look)


def _coverage(held: Held) -> Markup:
    """One run: which figures were compared, and of the others why not."""
    return join(
        tag("p", tag("strong", held.name), f": compared: {', '.join(held.compared) or 'nothing'}."),
        *(
            tag("p", f"{held.name}: {', '.join(headings)} not compared: {why}.", class_="warn")
            for why, headings in held.reasons().items()
        ),
    )


def runs_table(
    runs: Sequence[Run], held: Sequence[Held] = (), figures: Sequence[Figure] = FIGURES
) -> Markup:
    """A row per run; columns that no run has a figure for are left out.

    Args:
        runs: the first is what the others were held against.
        held: what is to be marked, of each but the first; nothing where it is empty.
        figures: the columns.
    """
    shown = [figure for figure in figures if any(_is_there(figure, run.report) for run in runs)]
    ratios = any("ratio" in run.report for run in runs)
    marks = any("pareto" in run.report for run in runs)
    headings = [
        *("run", "verdict"),
        *(["Pareto"] if marks else []),
        *(f.heading for f in shown),
        *(["ratio"] if ratios else []),
    ]
    worse = [(), *(one.worse for one in held)] if held else [()] * len(runs)
    rows = []
    for run, marked in zip(runs, worse, strict=True):
        cells = [_cell(_text(figure, run.report), figure.why, marked) for figure in shown]
        mark = ["●\u00a0efficient" if run.report.get("pareto") else ""] if marks else []
        ratio = [_ratio(run)] if ratios else []
        rows.append([run.name, _verdict(run.report), *mark, *cells, *ratio])
    return table(headings, rows, left=3 if marks else 2, label="Runs side by side")


def _is_there(figure: Figure, report: Report) -> bool:
    return figure.value(report) is not None or figure.is_undefined(report)


def _text(figure: Figure, report: Report) -> str:
    if figure.is_undefined(report):
        return "not finite"
    value = figure.value(report)
    return words.NONE if value is None else figure.text(value)


def _cell(text: str, why: str, worse: Sequence[str]) -> Markup | str:
    return join(text, " ", tag("span", f"▲ {why}", class_="bad")) if why in worse else text


def _verdict(report: Report) -> Markup:
    if is_reference(report):
        return tag("span", "reference")
    good = passed(report)
    if good is None:
        return tag("span", words.NONE)
    return tag("span", "passed" if good else "FAILED", class_="good" if good else "bad")


def is_reference(report: Report) -> bool:
    """Whether it is PyTorch itself, with which the others are compared."""
    return report.get("backend") == "torch"


def _ratio(run: Run) -> str:
    found = run.report.get("ratio")
    if not found:
        return words.NONE
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def plots(runs: Sequence[Run]) -> list[Markup]:
    """Latency against error, work and energy, as far as there are figures of two runs."""
    axes = (
        (largest_error, "largest error, of the output's peak (log)"),
        (_gmacs, "1e9 multiply-accumulates (log)"),
        (energy_mj, "energy of an inference, mJ (log)"),
    )
    drawn = []
    for quantity, name in axes:
        points = [
            Point(
                run.name, x, y, input_shapes(run.report) or "", not run.report.get("pareto", True)
            )
            for run in runs
            if (x := median_ms(run.report)) and (y := quantity(run.report)) is not None
        ]
        if len(points) > 1 and any(point.y > 0 for point in points):
            drawn.append(pareto(points, "median latency, ms (log)", name))
    if not drawn:
        return []
    about = (
        "Lower left is better; on a line are the runs, of those that are Pareto-efficient where "
        "that was judged, that no other one with the same input shape is lower left of. The error "
        "is that of parity with the reference, not accuracy on a data set."
    )
    errors = {run.name: largest_error(run.report) for run in runs if median_ms(run.report)}
    equal = [name for name, error in errors.items() if error == 0]
    if equal and len(equal) < len(errors):
        about += f" Without any error, and so on the lower edge: {', '.join(equal)}."
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


def each(runs: Sequence[Run]) -> list[Markup]:
    """A section for each run."""
    return [section(f"run-{number}", run.name, _one(run)) for number, run in enumerate(runs, 1)]


def _one(run: Run) -> Markup:
    """Verdict, stages, latency, pictures, command."""
    report = run.report
    said = "PyTorch itself: the reference that the others are compared with."
    head = tag("p", said) if is_reference(report) else verdict(report)
    parts = [head, decoder(report)]
    spread = report.get("latency", {}).get("histogram")
    if spread:
        edges, counts = merged(spread["edges_ms"], spread["counts"])
        parts.append(tag("figure", histogram(edges, counts, report["latency"]["median_ms"])))
    if report.get("worst_case"):
        parts.append(tag("details", tag("summary", "The worst case"), worst_case(report)))
    if report.get("command"):
        parts.append(tag("pre", str(report["command"])))
    return join(*parts)

"""A run held against the first: what is worse, and what was not compared, and why.

Silence about a figure would read as "no worse", so every figure that either run has is either
compared or named with the reason why it was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.html import words
from edgeup.html.regression import FIGURES, Figure, Run, percentile_figures

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """One run against the first.

    Attributes:
        name: of the run.
        worse: in words.
        compared: headings of figures.
        not_compared: reasons by heading.
    """

    name: str
    worse: tuple[str, ...]
    compared: tuple[str, ...]
    not_compared: Mapping[str, str]

    def reasons(self) -> dict[str, list[str]]:
        """The headings by reason: one reason mostly holds for several."""
        found: dict[str, list[str]] = {}
        for heading, why in self.not_compared.items():
            found.setdefault(why, []).append(heading)
        return found


def held_against(first: Run, run: Run) -> Held:
    """Every figure of either."""
    before, after = first.report, run.report
    worse = ["failed"] if before.get("passed") is True and after.get("passed") is False else []
    compared: list[str] = []
    not_compared: dict[str, str] = {}
    for figure in figures_of([before, after]):
        was, now = figure.value(before), figure.value(after)
        if was is None and now is None:
            continue
        why = _why_not(figure, first, run, (was, now))
        if why:
            not_compared[figure.heading] = why
            continue
        compared.append(figure.heading)
        worse += [figure.why] if figure.worse(before, after) else []
    return Held(run.name, tuple(worse), tuple(compared), not_compared)


def figures_of(reports: Sequence[Report]) -> list[Figure]:
    """All figures, with a percentile for each that a report has."""
    at = [figure.heading for figure in FIGURES].index("median latency") + 1
    return [*FIGURES[:at], *percentile_figures(reports), *FIGURES[at:]]


def _why_not(
    figure: Figure, first: Run, run: Run, values: tuple[float | None, float | None]
) -> str:
    for value, having in zip(values, (run, first), strict=True):
        if value is None:
            return f"only {having.name} has it"
    was, now = conditions(first.report), conditions(run.report)
    for need in figure.needs:
        if was.get(need) != now.get(need):
            return f"other {need}: {_said(was.get(need))} and {_said(now.get(need))}"
    return ""


def conditions(report: Report) -> dict[str, Any]:
    """What must be equal for figures to be compared."""
    ran = {**(report.get("setting") or {}), **(report.get("latency") or {})}
    jetson = (report.get("board") or {}).get("jetson") or {}
    return {
        "device": ran.get("device"),
        "backend": ran.get("backend"),
        "number of threads": ran.get("threads"),
        "number of streams": ran.get("streams"),
        "use of CUDA graphs": ran.get("cuda_graph"),
        "counting of copies": ran.get("data_transfers"),
        "power mode": jetson.get("power_mode"),
        "input shape": _inputs(report),
        "reference": _short(report.get("reference") or {}),
    }


def _short(side: Mapping[str, Any]) -> str | None:
    """The file, by the start of its hash; a name where there is no file; not of an export."""
    digest = side.get("sha256")
    return side.get("name") if digest is None else str(digest)[:12]


def _inputs(report: Report) -> str | None:
    model: Any = report.get("model") or {}
    specs = model.get("inputs") or (report.get("inputs") or {}).get("inputs")
    if specs is None:
        return None
    return ", ".join(f"{words.shape(spec['shape'])} {spec['dtype']}" for spec in specs)


def _said(value: Any) -> str:
    return "not told" if value is None else str(value)

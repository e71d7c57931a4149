"""A run held against the first: what is worse, and what was not compared, and why.

Silence about a figure would read as "no worse", so every figure that either run has is either
compared or named with the reason why it was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.html import words
from edgeup.html.conditions import conditions, said
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
        undefined: headings of figures that should be there, and are no numbers: of a NaN, nothing
            can be said.
    """

    name: str
    worse: tuple[str, ...]
    compared: tuple[str, ...]
    not_compared: Mapping[str, str]
    undefined: tuple[str, ...] = ()

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
    undefined: list[str] = []
    for figure in figures_of([before, after]):
        lacking = [one for one in (first, run) if figure.is_undefined(one.report)]
        if not lacking and figure.value(before) is None and figure.value(after) is None:
            continue
        unlike = _unlike(figure, first, run)
        if lacking:
            undefined.append(figure.heading)
            names = " and ".join(one.name for one in lacking)
            not_compared[figure.heading] = f"no finite number in {names}"
            worse += [f"no finite {figure.heading}"] if lacking == [run] and not unlike else []
        elif unlike:
            not_compared[figure.heading] = unlike
        else:
            compared.append(figure.heading)
            worse += [figure.why] if figure.worse(before, after) else []
    return Held(run.name, tuple(worse), tuple(compared), not_compared, tuple(undefined))


def headline(first: str, held: Sequence[Held]) -> tuple[str, str]:
    """What all came to, and how it is to be shown: bad, warn or good."""
    if worse := sum(bool(one.worse) for one in held):
        return f"{words.count(worse, 'run')} worse than {first}", "bad"
    undefined = dict.fromkeys(heading for one in held for heading in one.undefined)
    if undefined:
        return f"Not comparable with {first}: no finite {', '.join(undefined)}", "warn"
    if not any(one.compared for one in held):
        return f"Nothing could be compared with {first}", "warn"
    of_all = " in what was compared" if any(one.not_compared for one in held) else ""
    return f"No regression against {first}{of_all}", "good"


def figures_of(reports: Sequence[Report]) -> list[Figure]:
    """All figures, with a percentile for each that a report has."""
    at = [figure.heading for figure in FIGURES].index("median latency") + 1
    return [*FIGURES[:at], *percentile_figures(reports), *FIGURES[at:]]


def _unlike(figure: Figure, first: Run, run: Run) -> str:
    """Why the figures of the two are of different things; empty where they are of one."""
    for one, having in ((run, first), (first, run)):
        if figure.value(one.report) is None and not figure.is_undefined(one.report):
            return f"only {having.name} has it"
    was, now = conditions(first.report), conditions(run.report)
    for need in figure.needs:
        if need in was and need in now and was[need] != now[need]:
            return f"other {need}: {said(was[need])} and {said(now[need])}"
    doubts = ((one.name, figure.untold(one.report)) for one in (first, run))
    return next((f"{why} in {name}" for name, why in doubts if why), "")

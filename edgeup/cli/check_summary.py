"""What `edgeup check` found, as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from edgeup.cli.summary import shortened, target_line, written_line

if TYPE_CHECKING:
    from rich.console import RenderableType

Entry = Mapping[str, Any]

STYLES = {"refused": "bold red", "different": "bold magenta", "warning": "yellow"}
"""In the order in which they are shown."""

WORDS = {
    "refused": "refused",
    "different": "accepted, but computes something else",
    "warning": "warning",
}
NAMES_SHOWN = 3


def check_summary(report: Mapping[str, Any], written: Iterable[Path]) -> Iterable[RenderableType]:
    """The verdict in a line; findings, grouped; DLA; NVIDIA's verdict; notices; files."""
    yield _verdict(report)
    for verdict in STYLES:
        entries = [entry for entry in report["nodes"] if entry["verdict"] == verdict]
        for group in _grouped(entries, ("rule", "op", "reason", "remedy")):
            yield Text()
            yield from _finding(verdict, group)
    if report["fallbacks"]:
        yield Text("\nDLA would leave to the GPU", style="bold")
        yield from _fallbacks(report["fallbacks"])
    if (precision := report["precision"]) is not None:
        stays = "these stay in fp32" if precision["in_fp32"] else "every node has it"
        yield Text(f"\n{precision['asked']}: {stays}", style="bold")
        yield from _fallbacks(precision["in_fp32"])
    if report["nvidia"] is not None:
        yield Text()
        yield from _nvidia(report["nvidia"])
    for notice in report["notices"]:
        yield Text(f"\nnote: {notice}", style="yellow")
    yield from written_line(written)


def _fallbacks(entries: Sequence[Entry]) -> Iterable[RenderableType]:
    for group in _grouped(entries, ("op", "reason")):
        first = group[0]
        yield Padding(Text(_names(group), style="cyan"), (0, 0, 0, 2), expand=False)
        yield Padding(Text(f"{first['reason']} [{first['evidence']}]"), (0, 0, 0, 4), expand=False)


def _verdict(report: Mapping[str, Any]) -> Text:
    counts = Counter(entry["verdict"] for entry in report["nodes"])
    parts = [f"{counts[kind]} {kind}" for kind in STYLES if counts[kind]]
    model = report["model"]
    found = f": {', '.join(parts)}" if parts else ""
    verdict, style = _in_a_word(report)
    return Text(
        f"{model['path']} on {target_line(report['target'])}: "
        f"{verdict}; {model['nodes']} {'node' if model['nodes'] == 1 else 'nodes'}{found}",
        style=style,
    )


def _in_a_word(report: Mapping[str, Any]) -> tuple[str, str]:
    """Both of the last end with exit status 1."""
    if report["passed"]:
        return "accepted", "bold green"
    if report["accepted"]:
        return "ACCEPTED, BUT NOT EQUAL", "bold red"
    return "NOT ACCEPTED", "bold red"


def _grouped(entries: Sequence[Entry], keys: tuple[str, ...]) -> Iterable[list[Entry]]:
    """Entries that say the same, together, in the order of the first of each."""

    def same(entry: Entry) -> tuple[str, ...]:
        return tuple(entry[key] for key in keys)

    places: dict[tuple[str, ...], int] = {}
    for entry in entries:
        places.setdefault(same(entry), len(places))
    ordered = sorted(entries, key=lambda entry: places[same(entry)])
    return (list(group) for _, group in groupby(ordered, key=same))


def _finding(verdict: str, group: Sequence[Entry]) -> Iterable[RenderableType]:
    first = group[0]
    heading = Text(WORDS[verdict], style=STYLES[verdict])
    heading.append(f": {_names(group)}", style="default")
    yield heading
    yield Padding(Text(first["reason"]), (0, 0, 0, 2), expand=False)
    if first["remedy"]:
        yield Padding(Text(f"remedy: {first['remedy']}", style="green"), (0, 0, 0, 2), expand=False)
    yield Padding(
        Text(f"rule {first['rule']}; {first['evidence']}", style="dim"), (0, 0, 0, 2), expand=False
    )


def _names(group: Sequence[Entry]) -> str:
    shown = ", ".join(shortened(entry["node"]) for entry in group[:NAMES_SHOWN])
    more = len(group) - NAMES_SHOWN
    count = f"{len(group)} " if len(group) > 1 else ""
    return f"{count}{group[0]['op']} {shown}" + (f" and {more} more" if more > 0 else "")


def _nvidia(asked: Mapping[str, Any]) -> Iterable[RenderableType]:
    what = "parser and builder" if asked["stage"] == "build" else "parser"
    verdict = "accepted" if asked["accepted"] else f"refused when asked to {asked['stage']}"
    yield Text(
        f"NVIDIA's {what}, {asked['package']} {asked['version']}: {verdict}",
        style="green" if asked["accepted"] else "red",
    )
    for error in asked["errors"]:
        where = " ".join(part for part in (error["op"], error["node"]) if part)
        said = f"{shortened(where) + ': ' if where else ''}{shortened(error['text'])}"
        yield Padding(Text(said), (0, 0, 0, 2), expand=False)
    if not asked["decides"]:
        told = "another version's than the target's: it does not decide"
        yield Padding(Text(told, style="dim"), (0, 0, 0, 2), expand=False)
    if asked["disagreement"]:
        yield Padding(
            Text(f"disagreement: {asked['disagreement']}", style="yellow"),
            (0, 0, 0, 2),
            expand=False,
        )

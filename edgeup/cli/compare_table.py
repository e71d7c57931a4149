"""The table of a comparison, 80 columns wide: every name whole, every column there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from rich.text import Text

Entry = Mapping[str, Any]

_WIDTH = 80
_GAP = " "
_INDENT = 2
"""Of figures below a name, where there is room."""
_HEADINGS = 2
"""Lines."""


def compare_table(entries: Sequence[Entry]) -> Iterator[Text]:
    """Headings, then a row per model.

    A name may have a precision, a shape and a backend behind it. Where there is no room for it
    beside the figures, it stands on a line of its own above them.
    """
    figures = [_GAP.join(line) for line in zip(*_columns(entries), strict=True)]
    names = ["", "model", *(str(entry["name"]) for entry in entries)]
    width = max(map(len, names))
    if width + len(_GAP) + len(figures[0]) <= _WIDTH:
        lines = [f"{name:{width}}{_GAP}{row}" for name, row in zip(names, figures, strict=True)]
    else:
        indent = " " * max(0, min(_INDENT, _WIDTH - len(figures[0])))
        indented = [indent + row for row in figures]
        rows = zip(names[2:], indented[2:], strict=True)
        lines = [*indented[:2], *chain.from_iterable(rows)]
    for index, line in enumerate(lines):
        yield Text(line.rstrip(), style="dim" if index < _HEADINGS else "")


def _columns(entries: Sequence[Entry]) -> Iterator[list[str]]:
    """Two lines of headings and a figure per model, all of one width."""
    measured = any(entry["power"]["measured"] for entry in entries)
    several = len({entry["ratio"]["to"] for entry in entries}) > 1
    table: list[tuple[str, str, Callable[[Entry], str]]] = [
        ("", "GMACs", lambda entry: f"{entry['model']['macs'] / 1e9:.3f}"),
        ("ONNX", "GMACs", _graph_gmacs),
        ("ONNX", "MB", _megabytes),
        ("", "error", _error),
        ("median", "ms", lambda entry: f"{entry['latency']['median_ms']:.2f}"),
        ("p90", "ms", lambda entry: f"{entry['latency']['p90_ms']:.2f}"),
        *([("energy", "mJ", _energy)] if measured else []),
        (f"ratio to {'its' if several else 'the'} first", "(95 % interval)", _ratio),
        ("", "", lambda entry: "*" if entry["pareto"] else ""),
    ]
    for above, below, cell in table:
        lines = [above, below, *map(cell, entries)]
        width = max(map(len, lines))
        yield [f"{line:>{width}}" for line in lines]


def _graph_gmacs(entry: Entry) -> str:
    macs = entry.get("onnx", {}).get("macs")
    return "-" if macs is None else f"{macs / 1e9:.3f}"


def _megabytes(entry: Entry) -> str:
    return f"{entry['onnx']['bytes'] / 1e6:.1f}" if "onnx" in entry else "-"


def _error(entry: Entry) -> str:
    if entry["backend"] == "torch":
        return "reference"
    return "-" if entry["error_of_peak"] is None else f"{entry['error_of_peak']:.1e}"


def _energy(entry: Entry) -> str:
    energy = entry["power"].get("energy_per_inference_mj")
    return "-" if energy is None else f"{energy:.3g}"


def _ratio(entry: Entry) -> str:
    ratio = entry["ratio"]
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"

"""The picture of a comparison: error, energy and MACs against latency, each in a panel."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from edgeup.errors import MissingPackageError
from edgeup.pareto import rule
from edgeup.pipeline.compare.marks import energy_counts, input_shapes
from edgeup.pipeline.compare.panel import (
    CROWD,
    INK,
    LINE,
    MARKER,
    Panel,
    Point,
    Style,
    draw_panel,
    label_panel,
)

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

# Okabe & Ito 2008: told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = {"onnxruntime": "o", "torch": "s", "tensorrt": "^"}
_LINES: tuple[Style, ...] = ("-", "--", ":", "-.")
_GREY = "#777777"
_TITLE_CHARACTERS = 110
"""Of a line of the title: it has the figure's width of 9 inches, at 10 points."""

Entry = Mapping[str, Any]


def require_matplotlib() -> None:
    """Raise the one clear line where matplotlib is missing.

    Raises:
        MissingPackageError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingPackageError("matplotlib", "image", "drawing the comparison")


def draw(report: Mapping[str, Any]) -> bytes:
    """A PNG of a report of `edgeup.pipeline.compare.subjects.compare_subjects`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = panels_of(report["models"])
    size = (9.0, 2.0 + 4.7 * len(panels))
    figure = Figure(
        figsize=size, dpi=150, facecolor="white", layout=ConstrainedLayoutEngine(h_pad=0.12)
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)
    figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10, color=INK)
    handles = list(_legend(report["models"]))
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    lines = _lines(report["models"])
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        draw_panel(axes, panel, lines)
    grid[-1, 0].set_xlabel("median latency, ms (log scale)", color=INK)
    figure.draw_without_rendering()  # settles the layout, so that places in pixels hold
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        label_panel(axes, panel)
    stream = io.BytesIO()
    # Without metadata, which would hold matplotlib's version and nothing of ours.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def panels_of(entries: Sequence[Entry]) -> list[Panel]:
    """Those for which there are figures: a logarithmic axis needs one above 0."""
    quantities = (
        ("largest error, of the output's peak (log scale)", _error, True),
        ("energy of an inference above idle, mJ (log scale)", _energy, True),
        ("GMACs of the graph that runs (log scale)", _gmacs, False),
    )
    colours = _colours(entries)
    panels = []
    for words, quantity, has_front in quantities:
        points = tuple(
            Point(
                entry["name"],
                entry["latency"]["median_ms"],
                value,
                colour,
                _SHAPES[entry["backend"]],
                entry["pareto"],
                input_shapes(entry),
            )
            for entry, colour in zip(entries, colours, strict=True)
            if (value := quantity(entry)) is not None
        )
        if any(point.y > 0 for point in points):
            panels.append(Panel(words, points, has_front))
    return panels


def _error(entry: Entry) -> float | None:
    found: float | None = entry["error_of_peak"]
    return found


def _energy(entry: Entry) -> float | None:
    found: float | None = entry["power"].get("energy_per_inference_mj")
    return found


def _gmacs(entry: Entry) -> float | None:
    """Of the exported graph; where its shapes leave them open, or there is none, as written."""
    macs = entry.get("onnx", {}).get("macs")
    return float(entry["model"]["macs"] if macs is None else macs) / 1e9


def _family(entry: Entry) -> str:
    """What stands before the kernel size: ``nnconv`` of ``nnconv5dw``."""
    return re.sub(r"\d.*", "", str(entry["model"]["decoder"]))


def _colours(entries: Sequence[Entry]) -> list[str]:
    families = list(dict.fromkeys(map(_family, entries)))
    return [_COLOURS[families.index(_family(entry)) % len(_COLOURS)] for entry in entries]


def _lines(entries: Sequence[Entry]) -> dict[str, Style]:
    """By input shapes, the style of the line through the points that have them."""
    return dict(zip(dict.fromkeys(map(input_shapes, entries)), cycle(_LINES), strict=False))


def _title(report: Mapping[str, Any]) -> str:
    entries = report["models"]
    encoder = entries[0]["model"].get("encoder")
    shapes = _listed(map(input_shapes, entries))
    latencies = [entry["latency"] for entry in entries]
    where = "; ".join(
        f"{_listed(one['backend'] for one in latencies if one['device'] == device)} on {device}"
        for device in dict.fromkeys(one["device"] for one in latencies)
    )
    named = " Only these are named." if len(entries) > CROWD else ""
    marks = textwrap.fill(f"{rule(energy=energy_counts(entries))}{named}", _TITLE_CHARACTERS)
    return (
        f"Decoders of {report['network']}{f', {encoder} encoder' if encoder else ''}, "
        f"input {shapes}: lower left is better\n"
        f"{where}\n"
        f"{max(one['threads'] for one in latencies)} CPU threads, {latencies[0]['iterations']} "
        f"rounds in turn; says nothing of another device\n"
        f"{marks}"
    )


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _legend(entries: Sequence[Entry]) -> Iterator[Line2D]:
    """What filling, shape and colour mean, as far as they tell anything apart."""
    from matplotlib.lines import Line2D

    def mark(label: str, colour: str, shape: str = "o", fill: str | None = None) -> Line2D:
        return Line2D(
            *([], []),
            linestyle="",
            marker=shape,
            markersize=MARKER,
            color=colour,
            markerfacecolor=fill or colour,
            label=label,
        )

    yield mark("filled: Pareto-efficient", _GREY)
    yield mark("hollow: a filled one is better", _GREY, fill="white")
    if len(lines := _lines(entries)) > 1:
        for inputs, style in lines.items():
            yield Line2D([], [], color=LINE, linestyle=style, label=f"input {inputs}")
    backends = list(dict.fromkeys(entry["backend"] for entry in entries))
    if len(backends) > 1:
        for backend in backends:
            yield mark(backend, _GREY, _SHAPES[backend])
    families = dict(zip(map(_family, entries), _colours(entries), strict=True))
    if len(families) > 1:
        for family, colour in families.items():
            yield mark(family, colour)

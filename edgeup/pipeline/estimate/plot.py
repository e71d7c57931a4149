"""The picture of an estimate: the board's roofline, and the layers where they are estimated."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.label_placement import Box, Place, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

FORMATS = (".png", ".svg")
LABELLED = 6

# Okabe & Ito 2008: told apart with any colour vision.
_COLOURS = {
    "dense": "#D55E00",
    "pointwise": "#0072B2",
    "depthwise": "#009E73",
    "transposed": "#CC79A7",
    "depthwise-transposed": "#56B4E9",
    "matmul": "#E69F00",
}
_INK = "#333333"
_ROOF = "#888888"
_LARGEST = 220.0
"""Area of the costliest layer's disc, in square points; the others' are in proportion."""
_SMALLEST = 8.0


def check_picture(goal: Path) -> None:
    """Refuse a picture that cannot be drawn, before any work is done.

    Raises:
        EdgeupError: not the name of a PNG or SVG.
        MissingPackageError: matplotlib is not installed.
    """
    from importlib.util import find_spec

    if goal.suffix.lower() not in FORMATS:
        raise EdgeupError(f"--plot {goal}: wanted a name that ends in {' or '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingPackageError("matplotlib", "image", "drawing the estimate")


def draw_estimate(report: Mapping[str, Any], suffix: str) -> bytes:
    """A picture of a report of `edgeup.pipeline.estimate.model.estimate_file`.

    Args:
        report: not changed.
        suffix: one of `FORMATS`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # matplotlib writes an SVG at 72 dots per inch, and labels are placed in dots.
    dpi = 150 if suffix == ".png" else 72
    figure = Figure(figsize=(9.0, 6.4), dpi=dpi, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = [layer for layer in report["layers"] if layer["macs"]]
    points = [
        (layer["macs"] / layer["bytes"], layer["macs"] / layer["estimate_us"] * 1e-3)
        for layer in shown
    ]
    _dress(axes, points, report["gpu"])
    axes.set_title(_title(report), loc="left", fontsize=10, color=_INK)
    _roofs(axes, report["gpu"])
    _layers(axes, shown, points)
    if shown:
        axes.legend(handles=_samples(shown), loc="lower right", frameon=True, fontsize=9)
    figure.draw_without_rendering()  # settles the layout, so that places in dots hold
    _name_memory_roof(axes, report["gpu"])
    _label(axes, shown, points)
    stream = io.BytesIO()
    # Without metadata, which would hold matplotlib's version and nothing of ours; the salt makes
    # two drawings of one report equal.
    metadata = {"Software": None} if suffix == ".png" else {"Date": None, "Creator": None}
    with rc_context({"svg.hashsalt": "edgeup"}):
        figure.savefig(stream, format=suffix.removeprefix("."), metadata=metadata)
    return stream.getvalue()


def _title(report: Mapping[str, Any]) -> str:
    gpu, total = report["gpu"], report["total"]
    silent = [layer for layer in report["layers"] if not layer["macs"]]
    moves = sum(layer["estimate_us"] for layer in silent) * 1e-3
    rest = f"; {len(silent)} layers without MACs ({moves:.2f} ms) not shown" if silent else ""
    return (
        f"Estimate, not measured: {report['model']['name'][-60:]}, {total['estimate_ms']:.2f} ms\n"
        f"on {gpu['title']}, power mode {gpu['power_mode']}, {gpu['precision']}\n"
        f"a disc per layer, its area is the layer's estimated time{rest}"
    )


def _dress(axes: Axes, points: Sequence[tuple[float, float]], gpu: Mapping[str, Any]) -> None:
    ridge = gpu["gmacs_per_s"] / gpu["gbytes_per_s"]
    x = [ridge / 8, ridge * 4, *(x for x, _ in points)]
    y = [gpu["gmacs_per_s"], gpu["gmacs_per_s"] / 100, *(y for _, y in points)]
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(min(x) / 1.6, max(x) * 1.6)
    axes.set_ylim(min(y) / 2, max(y) * 2)
    axes.set_xlabel("MACs per byte moved (log scale)", color=_INK)
    axes.set_ylabel("1e9 MACs per second, estimated (log scale)", color=_INK)
    axes.grid(visible=True, which="major", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _roofs(axes: Axes, gpu: Mapping[str, Any]) -> None:
    """What the memory lets through, up to each arithmetic peak."""
    left, right = axes.get_xlim()
    peaks = {"peak": gpu["gmacs_per_s"]}
    if gpu["depthwise_gmacs_per_s"] < gpu["gmacs_per_s"]:
        peaks["peak without tensor cores"] = gpu["depthwise_gmacs_per_s"]
    for name, peak in peaks.items():
        ridge = peak / gpu["gbytes_per_s"]
        line = "-" if name == "peak" else "--"
        axes.plot([ridge, right], [peak, peak], line, color=_ROOF, linewidth=1.4)
        axes.text(
            right, peak, f"{name}, {peak:.0f} GMAC/s ", ha="right", va="bottom",
            fontsize=8, color=_INK,
        )  # fmt: skip
    ridge = gpu["gmacs_per_s"] / gpu["gbytes_per_s"]
    axes.plot([left, ridge], [left * gpu["gbytes_per_s"], peaks["peak"]], color=_ROOF, lw=1.4)


def _name_memory_roof(axes: Axes, gpu: Mapping[str, Any]) -> None:
    """Along the line, whose slope in dots is known once the layout is settled."""
    left, ridge = axes.get_xlim()[0], gpu["gmacs_per_s"] / gpu["gbytes_per_s"]
    middle = math.sqrt(left * ridge)
    start, end = axes.transData.transform(
        [(left, left * gpu["gbytes_per_s"]), (ridge, gpu["gmacs_per_s"])]
    )
    axes.text(
        middle, middle * gpu["gbytes_per_s"], f"memory, {gpu['gbytes_per_s']:.1f} GB/s",
        rotation=math.degrees(math.atan2(end[1] - start[1], end[0] - start[0])),
        rotation_mode="anchor", ha="center", va="bottom", fontsize=8, color=_INK,
    )  # fmt: skip


def _layers(
    axes: Axes, layers: Sequence[Mapping[str, Any]], points: Sequence[tuple[float, float]]
) -> None:
    areas = _areas(layers)
    for kind in dict.fromkeys(layer["kind"] for layer in layers):
        members = [i for i, layer in enumerate(layers) if layer["kind"] == kind]
        axes.scatter(
            [points[i][0] for i in members],
            [points[i][1] for i in members],
            s=[areas[i] for i in members],
            color=_COLOURS[kind],
            edgecolor="white",
            alpha=0.75,
        )


def _areas(layers: Sequence[Mapping[str, Any]]) -> list[float]:
    """In square points, in proportion to the layers' times."""
    most = max((layer["share"] for layer in layers), default=1.0)
    return [max(_SMALLEST, _LARGEST * layer["share"] / most) for layer in layers]


def _samples(layers: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    """A disc per kind, for the legend."""
    from matplotlib.lines import Line2D

    kinds = dict.fromkeys(layer["kind"] for layer in layers)
    return [Line2D([], [], marker="o", ls="", color=_COLOURS[k], label=k) for k in kinds]


def _label(
    axes: Axes, layers: Sequence[Mapping[str, Any]], points: Sequence[tuple[float, float]]
) -> None:
    """The layers that cost most, by name, with a thin line where the name had to move away."""
    costly = sorted(range(len(layers)), key=lambda i: -layers[i]["share"])[:LABELLED]
    if not costly:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - it was made by this figure
    texts = [
        axes.text(
            0,
            0,
            f"{layers[i]['name'][-24:]}  {layers[i]['share']:.0%}",
            fontsize=8,
            color=_INK,
            transform=None,
            va="bottom",
        )
        for i in costly
    ]
    extents = [text.get_window_extent() for text in texts]
    centres = [(float(x), float(y)) for x, y in axes.transData.transform(points)]
    places = [centres[i] for i in costly]
    dot = figure.dpi / 72  # 72 points are an inch
    radii = [math.sqrt(area / math.pi) * dot for area in _areas(layers)]
    obstacles = [_around(centre, radius) for centre, radius in zip(centres, radii, strict=True)]
    obstacles += [Box(*t.get_window_extent().extents) for t in axes.texts if t not in texts]
    legend = axes.get_legend()
    if legend is not None:
        obstacles.append(Box(*legend.get_window_extent().extents))
    boxes = place_labels(
        places,
        [(extent.width, extent.height) for extent in extents],
        radius=max(radii),
        inside=Box(*axes.get_window_extent().extents),
        obstacles=obstacles,
    )
    for text, box, place in zip(texts, boxes, places, strict=True):
        text.set_position((box.left, box.bottom))
        if box.distance(place) > 1.5 * max(radii):
            ends = zip(place, box.nearest(place), strict=True)
            axes.plot(*ends, color=_INK, linewidth=0.6, transform=None, zorder=1)


def _around(place: Place, radius: float) -> Box:
    return Box(place[0] - radius, place[1] - radius, place[0] + radius, place[1] + radius)

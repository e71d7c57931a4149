"""The picture of a comparison: MACs against latency, a labelled point per model."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeup.errors import MissingPackageError
from edgeup.pipeline.label_placement import Box, Place, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito 2008: told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_INK = "#333333"
_MARKER = 7  # points; the radius is half of it


def require_matplotlib() -> None:
    """Raise the one clear line where matplotlib is missing.

    Raises:
        MissingPackageError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingPackageError("matplotlib", "image", "drawing the comparison")


def draw(report: Mapping[str, Any]) -> bytes:
    """A PNG of a report of `edgeup.pipeline.compare.compare_subjects`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.4), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [str(entry["name"]) for entry in report["models"]]
    gmacs = [_macs(entry) / 1e9 for entry in report["models"]]
    medians = [entry["latency"]["median_ms"] for entry in report["models"]]
    _dress(axes, gmacs, medians)
    axes.set_title(_title(report), loc="left", fontsize=10, color=_INK)
    colours = _colours(names)
    for family in dict.fromkeys(map(_family, names)):
        members = [i for i, name in enumerate(names) if _family(name) == family]
        axes.plot(
            [gmacs[i] for i in members],
            [medians[i] for i in members],
            "o",
            markersize=_MARKER,
            color=colours[members[0]],
            markeredgecolor="white",
            label=family,
        )
    if 1 < len(set(colours)) < len(names):
        axes.legend(loc="lower right", frameon=True, fontsize=9)
    figure.draw_without_rendering()  # settles the layout, so that places in pixels hold
    _label(axes, names, list(zip(gmacs, medians, strict=True)), colours)
    stream = io.BytesIO()
    # Without metadata, which would hold matplotlib's version and nothing of ours.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _macs(entry: Mapping[str, Any]) -> int:
    """Of the graph that was timed; where its shapes leave them open, of the network."""
    macs: int | None = entry["onnx"]["macs"]
    return int(entry["model"]["macs"]) if macs is None else macs


def _family(name: str) -> str:
    """What stands before the kernel size: ``nnconv`` of ``nnconv5dw``."""
    return re.sub(r"\d.*", "", name)


def _colours(names: Sequence[str]) -> list[str]:
    families = list(dict.fromkeys(map(_family, names)))
    return [_COLOURS[families.index(_family(name)) % len(_COLOURS)] for name in names]


def _title(report: Mapping[str, Any]) -> str:
    latency = report["models"][0]["latency"]
    encoder = report["models"][0]["model"].get("encoder")
    shape = "x".join(str(dim) for dim in report["inputs"][0]["shape"])
    return (
        f"Decoders of {report['network']}{f', {encoder} encoder' if encoder else ''}, "
        f"input {shape}: lower left is better\n"
        f"ONNX Runtime on {latency['device']}, {latency['threads']} threads, "
        f"{latency['iterations']} rounds; says nothing of a GPU"
    )


def _dress(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log", xlim=_limits(x), ylim=_limits(y))
    axes.set_xlabel("GMACs of the exported graph (log scale)", color=_INK)
    axes.set_ylabel("median latency on the CPU, ms (log scale)", color=_INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """A factor of 5 at least, so that two of the ticks 1, 2, 5, 10 are inside."""
    low, high = min(values), max(values)
    margin = max(1.3, math.sqrt(5 * low / high))
    return low / margin, high * margin


def _label(
    axes: Axes, names: Sequence[str], points: Sequence[Place], colours: Sequence[str]
) -> None:
    """Write each name beside its point, with a thin line to it where it had to move away."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - it was made by this figure
    places = [(float(x), float(y)) for x, y in axes.transData.transform(points)]
    texts = [
        axes.text(0, 0, name, fontsize=8, color=_darker(colour), transform=None, va="bottom")
        for name, colour in zip(names, colours, strict=True)
    ]
    extents = [text.get_window_extent() for text in texts]
    legend = axes.get_legend()
    radius = _MARKER / 2 * figure.dpi / 72  # 72 points are an inch
    boxes = place_labels(
        places,
        [(extent.width, extent.height) for extent in extents],
        radius=radius,
        inside=Box(*axes.get_window_extent().extents),
        obstacles=[] if legend is None else [Box(*legend.get_window_extent().extents)],
    )
    for text, box, place in zip(texts, boxes, places, strict=True):
        text.set_position((box.left, box.bottom))
        if box.distance(place) > 2 * radius:
            ends = zip(place, box.nearest(place), strict=True)
            axes.plot(*ends, color=text.get_color(), linewidth=0.6, transform=None, zorder=1)


def _darker(colour: str) -> str:
    """Three fifths of each channel: small text on white needs more contrast than a disc."""
    channels = (int(colour[i : i + 2], 16) * 3 // 5 for i in (1, 3, 5))
    return "#" + "".join(f"{channel:02x}" for channel in channels)

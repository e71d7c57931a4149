"""One panel of the picture of a comparison: a quantity against latency, less being better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeup.label_placement import Box, Place, place_labels
from edgeup.pareto import efficient

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Style: TypeAlias = Literal["-", "--", ":", "-."]
"""Of a line."""
INK = "#333333"
MARKER = 7
"""Size in points; the radius is half of it."""
LINE = "#999999"
CROWD, _CROWD_ON_EDGE = 40, 6
"""More names than these, in a panel or along its edge, would cover each other."""


@dataclass(frozen=True)
class Point:
    """A model. What is not above 0 has no place on a logarithmic axis: it stands on the edge.

    Attributes:
        name: the model's.
        x: latency.
        y: the panel's quantity.
        colour: of the mark.
        shape: of the mark.
        efficient: whether the mark is filled.
        inputs: the shapes that it was run with; a line joins efficient points with the same.
    """

    name: str
    x: float
    y: float
    colour: str
    shape: str
    efficient: bool
    inputs: str


@dataclass(frozen=True)
class Panel:
    """``quantity`` names the axis; ``has_front``: it is a cost, so its front has a line."""

    quantity: str
    points: tuple[Point, ...]
    has_front: bool

    @property
    def on_edge(self) -> bool:
        """Whether a point stands on the lower edge."""
        return any(point.y <= 0 for point in self.points)

    def places(self) -> list[Place]:
        """Where the points are drawn."""
        edge = self.limits()[0]
        return [(point.x, point.y if point.y > 0 else edge) for point in self.points]

    def limits(self) -> tuple[float, float]:
        """Of the quantity; the lower edge is further away where points stand on it."""
        low, high = _limits([point.y for point in self.points if point.y > 0])
        return (low / 4 if self.on_edge else low), high

    def named(self) -> list[tuple[Point, Place]]:
        """The points whose names are written: in a crowd, those of the efficient ones alone."""
        on_edge = sum(point.y <= 0 for point in self.points)
        return [
            (point, place)
            for point, place in zip(self.points, self.places(), strict=True)
            if point.efficient
            or (len(self.points) <= CROWD and (point.y > 0 or on_edge <= _CROWD_ON_EDGE))
        ]

    def fronts(self) -> dict[str, list[Place]]:
        """By input shapes, of the efficient points those that no other one is lower left of."""
        if not self.has_front:
            return {}
        by_inputs: dict[str, list[tuple[Point, Place]]] = {}
        for point, place in zip(self.points, self.places(), strict=True):
            if point.efficient:
                by_inputs.setdefault(point.inputs, []).append((point, place))
        return {inputs: _front(there) for inputs, there in by_inputs.items()}


def _front(there: Sequence[tuple[Point, Place]]) -> list[Place]:
    best = efficient([(point.x, point.y) for point, _ in there])
    return sorted(place for (_, place), good in zip(there, best, strict=True) if good)


def draw_panel(axes: Axes, panel: Panel, lines: Mapping[str, Style]) -> None:
    """Axes, lines and points; the names follow when the layout is settled.

    Args:
        axes: where.
        panel: what.
        lines: the style of each line, by input shapes.
    """
    _dress(axes, panel)
    for inputs, front in panel.fronts().items():
        axes.plot(
            *zip(*front, strict=True),
            color=LINE,
            linewidth=1.2,
            linestyle=lines[inputs],
            drawstyle="steps-post",
            zorder=1.5,
            clip_on=False,
        )
    for point, (x, y) in zip(panel.points, panel.places(), strict=True):
        axes.plot(
            x,
            y,
            point.shape,
            markersize=MARKER,
            color=point.colour,
            markerfacecolor=point.colour if point.efficient else "white",
            clip_on=False,
        )


def label_panel(axes: Axes, panel: Panel) -> None:
    """Write names beside their points, with a thin line to it where it had to move away."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - it was made by this figure
    named = panel.named()
    if not named:
        return
    places = _pixels(axes, [place for _, place in named])
    radius = MARKER / 2 * figure.dpi / 72  # 72 points are an inch
    others = [
        Box(x - radius, y - radius, x + radius, y + radius)
        for x, y in set(_pixels(axes, panel.places())) - set(places)
    ]
    texts = [
        axes.text(
            0, 0, point.name, fontsize=8, color=_darker(point.colour), transform=None, va="bottom"
        )
        for point, _ in named
    ]
    extents = [text.get_window_extent() for text in texts]
    fronts = panel.fronts().values()
    boxes = place_labels(
        places,
        [(extent.width, extent.height) for extent in extents],
        radius=radius,
        inside=Box(*axes.get_window_extent().extents),
        obstacles=[*others, *(box for front in fronts for box in _along(axes, front))],
    )
    for text, box, place in zip(texts, boxes, places, strict=True):
        text.set_position((box.left, box.bottom))
        if box.distance(place) > 2 * radius:
            ends = zip(place, box.nearest(place), strict=True)
            axes.plot(*ends, color=text.get_color(), linewidth=0.6, transform=None, zorder=1)


def _pixels(axes: Axes, places: Sequence[Place]) -> list[Place]:
    return [(float(x), float(y)) for x, y in axes.transData.transform(places)]


def _along(axes: Axes, front: Sequence[Place]) -> Iterator[Box]:
    """The pieces of the front's line, in pixels."""
    for (left, high), (right, low) in pairwise(_pixels(axes, front)):
        yield Box(left, high - 1, right, high + 1)
        yield Box(right - 1, low, right + 1, high)


def _dress(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    limits = _limits([point.x for point in panel.points])
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=panel.limits())
    on_edge = ";\n0 stands on the lower edge" if panel.on_edge else ""
    axes.set_ylabel(f"{panel.quantity}{on_edge}", color=INK)
    for axis, (low, high) in ((axes.xaxis, limits), (axes.yaxis, panel.limits())):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelbottom=True)
    axes.grid(visible=True, which="major", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """A factor of 5 at least, so that two of the ticks 1, 2, 5, 10 are inside."""
    low, high = min(values), max(values)
    margin = max(1.3, math.sqrt(5 * low / high))
    return low / margin, high * margin


def _darker(colour: str) -> str:
    """Three fifths of each channel: small text on white needs more contrast than a disc."""
    channels = (int(colour[i : i + 2], 16) * 3 // 5 for i in (1, 3, 5))
    return "#" + "".join(f"{channel:02x}" for channel in channels)

"""Two quantities against each other, with the runs that no other of their kind beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

from edgeup.html import words
from edgeup.html.grid import grid
from edgeup.html.labels import around, numbers
from edgeup.html.markup import Markup, tag
from edgeup.html.scale import Scale
from edgeup.label_placement import Box
from edgeup.pareto import efficient


@dataclass(frozen=True)
class Point:
    """A run; less is better on both axes. What is not above 0 stands on the axis's edge.

    ``inputs``: the shapes that it was run with; a line joins runs with the same.
    ``beaten``: by another one, beyond noise; so it is not on a line.
    """

    name: str
    x: float
    y: float
    inputs: str = ""
    beaten: bool = False


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats, from left to right; of points in one place, the first."""
    good = efficient([(point.x, point.y) for point in points])
    best = [point for point, is_good in zip(points, good, strict=True) if is_good]
    return sorted({(point.x, point.y): point for point in reversed(best)}.values(), key=_place)


def frontiers(points: Sequence[Point]) -> dict[str, list[Point]]:
    """One for each input shape: a larger picture is not a worse network."""
    left = [point for point in points if not point.beaten]
    shapes = dict.fromkeys(point.inputs for point in left)
    return {inputs: frontier([p for p in left if p.inputs == inputs]) for inputs in shapes}


def _place(point: Point) -> tuple[float, float]:
    return point.x, point.y


def pareto(points: Sequence[Point], x_name: str, y_name: str) -> Markup:
    """The plot, and below it the names of what lies on the lines; names would cover each other."""
    x = Scale.around([point.x for point in points], 48, 386, by=1.25)
    heights = [point.y for point in points if point.y > 0]
    edge = [min(heights) / 3] if len(heights) < len(points) else []
    y = Scale.around([*heights, *edge], 258, 26, by=1.25)
    fronts = frontiers(points)
    best = [point for front in fronts.values() for point in front]
    others = [point for point in points if point not in best]
    circles = {n: (x(point.x), y(point.y), 5.0) for n, point in enumerate([*best, *others], 1)}
    drawing = tag(
        "svg",
        tag("title", f"{y_name} against {x_name}; undominated: {', '.join(p.name for p in best)}"),
        *grid(x, y, below=16, text=_cost),
        *(tag("polyline", points=_steps(front, x, y), class_="frontier")
          for front in fronts.values()),
        *(_mark(point, x, y, point in best) for point in points),
        *numbers(circles, Box(48, 26, 400, 258), map(around, circles.values())),
        tag("text", x_name, x=217.0, y=296.0, class_="mid"),
        tag("text", y_name, x=4.0, y=14.0),
        viewBox="0 0 400 302", class_="chart", role="img",
    )  # fmt: skip
    return tag("figure", drawing, tag("figcaption", _named(fronts, others)))


def _steps(front: Sequence[Point], x: Scale, y: Scale) -> str:
    corners = [front[0]]
    for before, after in pairwise(front):
        corners += [Point("", after.x, before.y), after]
    return " ".join(f"{x(corner.x):.1f},{y(corner.y):.1f}" for corner in corners)


def _named(fronts: Mapping[str, Sequence[Point]], others: Sequence[Point]) -> str:
    """The points by their number: names would cover each other in the picture."""
    number = count(1)
    said = []
    for inputs, front in fronts.items():
        where = (
            f"On the line of {inputs or 'an unknown input'}" if len(fronts) > 1 else "On the line"
        )
        names = "; ".join(f"{next(number)}. {point.name}" for point in front)
        said.append(f"{where}: {names}.")
    if others:
        names = "; ".join(f"{next(number)}. {point.name}" for point in others)
        said.append(f"Others: {names}.")
    return " ".join(said)


def _cost(value: float) -> str:
    return f"{value:.0e}" if value < 1e-2 or value >= 1e4 else f"{value:g}"


def _mark(point: Point, x: Scale, y: Scale, best: bool) -> Markup:
    said = f"{point.name}: {words.figures(point.x)}, {point.y:.3g}"
    return tag(
        "circle", tag("title", said), cx=x(point.x), cy=y(point.y), r="5" if best else "4",
        class_="disc decoder" if best else "disc encoder",
    )  # fmt: skip

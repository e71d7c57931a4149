"""Two quantities against each other, with the runs that no other run beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgeup.html import words
from edgeup.html.markup import Markup, tag
from edgeup.html.scale import Scale, ticks
from edgeup.pareto import efficient


@dataclass(frozen=True)
class Point:
    """A run; less is better on both axes. What is not above 0 stands on the axis's edge."""

    name: str
    x: float
    y: float


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats, from left to right; of points in one place, the first."""
    good = efficient([(point.x, point.y) for point in points])
    best = [point for point, is_good in zip(points, good, strict=True) if is_good]
    return sorted({(point.x, point.y): point for point in reversed(best)}.values(), key=_place)


def _place(point: Point) -> tuple[float, float]:
    return point.x, point.y


def pareto(points: Sequence[Point], x_name: str, y_name: str) -> Markup:
    """The plot, and below it the names of what lies on the line; names would cover each other."""
    x = Scale.around([point.x for point in points], 48, 386, by=1.25)
    heights = [point.y for point in points if point.y > 0]
    edge = [min(heights) / 3] if len(heights) < len(points) else []
    y = Scale.around([*heights, *edge], 258, 26, by=1.25)
    best = frontier(points)
    corners = [best[0]]
    for before, after in pairwise(best):
        corners += [Point("", after.x, before.y), after]
    steps = " ".join(f"{x(corner.x):.1f},{y(corner.y):.1f}" for corner in corners)
    drawing = tag(
        "svg",
        tag("title", f"{y_name} against {x_name}; undominated: {', '.join(p.name for p in best)}"),
        *_grid(x, y),
        tag("polyline", points=steps, class_="frontier"),
        *(_mark(point, x, y, point in best) for point in points),
        *(_number(number, point, x, y) for number, point in enumerate(best, 1)),
        tag("text", x_name, x=217.0, y=296.0, class_="mid"),
        tag("text", y_name, x=4.0, y=14.0),
        viewBox="0 0 400 302", class_="chart", role="img",
    )  # fmt: skip
    named = "; ".join(f"{number}. {point.name}" for number, point in enumerate(best, 1))
    return tag("figure", drawing, tag("figcaption", f"On the line: {named}."))


def _grid(x: Scale, y: Scale) -> Iterator[Markup]:
    for value in ticks(x):
        at = x(value)
        yield tag("line", x1=at, x2=at, y1=26.0, y2=258.0, class_="grid")
        yield tag("text", f"{value:g}", x=at, y=274.0, class_="mid soft")
    for value in ticks(y):
        at = y(value)
        yield tag("line", x1=48.0, x2=386.0, y1=at, y2=at, class_="grid")
        yield tag("text", f"{value:.0e}" if value < 1e-2 or value >= 1e4 else f"{value:g}",
                  x=44.0, y=at + 4, class_="end soft")  # fmt: skip


def _mark(point: Point, x: Scale, y: Scale, best: bool) -> Markup:
    said = f"{point.name}: {words.figures(point.x)}, {point.y:.3g}"
    return tag(
        "circle", tag("title", said), cx=x(point.x), cy=y(point.y), r="5" if best else "4",
        class_="disc decoder" if best else "disc encoder",
    )  # fmt: skip


def _number(number: int, point: Point, x: Scale, y: Scale) -> Markup:
    """At the left, where the line never is: it comes from above, and goes on to the right."""
    return tag("text", str(number), x=x(point.x) - 8, y=y(point.y) + 4, class_="end")

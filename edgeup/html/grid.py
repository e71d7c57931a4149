"""The lines of a chart with logarithmic axes, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeup.html.markup import Markup, tag
from edgeup.html.scale import Scale, ticks


def grid(
    x: Scale, y: Scale, *, below: float, text: Callable[[float], str] = "{:g}".format
) -> Iterator[Markup]:
    """A line and a number per tick, from one end of the other axis to its other end.

    Args:
        x: from left to right.
        y: from the bottom to the top.
        below: how far under the drawing the numbers of ``x`` stand.
        text: of a number of ``y``.
    """
    for value in ticks(x):
        at = x(value)
        yield tag("line", x1=at, x2=at, y1=y.end, y2=y.start, class_="grid")
        yield tag("text", f"{value:g}", x=at, y=y.start + below, class_="mid soft")
    for value in ticks(y):
        at = y(value)
        yield tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid")
        yield tag("text", text(value), x=x.start - 4, y=at + 4, class_="end soft")

"""Labels of a drawing, where they cover neither its discs nor each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from edgeup.html.markup import Markup, tag
from edgeup.label_placement import Box, place_labels

Circle: TypeAlias = tuple[float, float, float]
"""Centre and radius; y points down, as in all drawings here."""

_LETTER, _LINE = 5.8, 12.0
"""Width of a character and height of a line, as the pages write in drawings."""


def around(circle: Circle) -> Box:
    """The room that it takes."""
    x, y, radius = circle
    return Box(x - radius, y - radius, x + radius, y + radius)


def numbers(
    circles: Mapping[int, Circle], inside: Box, obstacles: Iterable[Box]
) -> Iterator[Markup]:
    """A number beside each circle, with a line to those that are further away."""
    boxes = place_labels(
        [(x, y) for x, y, _ in circles.values()],
        [(_LETTER * len(str(number)) + 2, _LINE) for number in circles],
        radius=5.0,
        inside=inside,
        obstacles=obstacles,
    )
    for (number, (x, y, radius)), box in zip(circles.items(), boxes, strict=True):
        near_x, near_y = box.nearest((x, y))
        if math.dist((near_x, near_y), (x, y)) > radius + _LETTER:
            yield tag("line", x1=x, y1=y, x2=near_x, y2=near_y, class_="leader")
        yield tag("text", str(number), x=(box.left + box.right) / 2, y=box.top - 2.5,
                  class_="mid halo")  # fmt: skip


def along(text: str, start: float, line: float, end: float, taken: Sequence[Box]) -> Box:
    """Where a text fits best above or below a line from ``start`` to ``end``, rather at its end."""
    width = _LETTER * len(text)
    steps = range(max(1, math.floor((end - width - start) / 8) + 1))
    places = [
        Box(end - 8 * step - width, top, end - 8 * step, top + _LINE)
        for step in steps
        for top in (line - 15, line + 3)
    ]
    return min(places, key=lambda place: sum(place.overlap(other) for other in taken))

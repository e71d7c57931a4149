"""Where the labels of a crowded scatter plot go, so that each is read and tells its point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

Place: TypeAlias = tuple[float, float]
"""x and y in any one unit, pixels for instance."""

_DISTANCES = (1.2, 2, 3, 4.5, 6.5, 9, 12, 16)
"""From the point to the label, in radii of a point; the nearest first."""

_DIRECTIONS = tuple((math.cos(a), math.sin(a)) for a in (math.tau * i / 16 for i in range(16)))


class Box(NamedTuple):
    """A rectangle along the axes."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def nearest(self, point: Place) -> Place:
        """The place inside that is nearest to a point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def distance(self, point: Place) -> float:
        """From a point to the rectangle; 0 inside."""
        return math.dist(point, self.nearest(point))


def place_labels(
    points: Sequence[Place],
    sizes: Sequence[Place],
    *,
    radius: float,
    inside: Box,
    obstacles: Iterable[Box] = (),
) -> list[Box]:
    """A box per point, each chosen greedily where it does least harm; crowded points choose first.

    Harm is, by weight: leaving the plot, covering a label, point or obstacle, a leader that
    crosses one, standing nearer to another point than to its own, distance.

    Args:
        points: the places of the points.
        sizes: width and height of each label.
        radius: of a point as it is drawn.
        inside: where labels may be.
        obstacles: what may not be covered either, such as a legend.
    """
    marks = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    fixed = [*marks, *obstacles]
    placed: dict[int, Box] = {}

    def harm(index: int, box: Box) -> float:
        point = points[index]
        taken = [*(mark for mark in fixed if mark is not marks[index]), *placed.values()]
        own = box.distance(point)
        covered = sum(box.overlap(other) for other in taken) + box.overlap(marks[index])
        leader = list(_between(point, box.nearest(point)))
        crossed = sum(any(other.distance(p) == 0 for p in leader) for other in taken)
        mistaken = sum(
            box.distance(other) < own + radius
            for number, other in enumerate(points)
            if number != index
        )
        return (
            10 * (box.area - box.overlap(inside))
            + 5 * covered
            + radius**2 * (2 * crossed + mistaken)
            + radius * own
        )

    def crowd(index: int) -> int:
        return -sum(math.dist(points[index], other) < 12 * radius for other in points)

    for index in sorted(range(len(points)), key=crowd):
        boxes = _candidates(points[index], sizes[index], radius)
        placed[index] = min(boxes, key=lambda box: harm(index, box))
    return [placed[index] for index in range(len(points))]


def _candidates(point: Place, size: Place, radius: float) -> Iterator[Box]:
    """Boxes around a point; straight to the right comes first."""
    width, height = size
    for distance, (right, up) in product(_DISTANCES, _DIRECTIONS):
        x = point[0] + right * (distance * radius + width / 2)
        y = point[1] + up * (distance * radius + height / 2)
        yield Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _between(start: Place, end: Place) -> Iterator[Place]:
    steps = 8
    for step in range(1, steps):
        share = step / steps
        yield start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])

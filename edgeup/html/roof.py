"""The picture of a roofline: what a board can do, and the layers where they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.grid import grid
from edgeup.html.labels import Circle, along, around, numbers
from edgeup.html.markup import Markup, join, tag
from edgeup.html.scale import Scale
from edgeup.label_placement import Box

Section = Mapping[str, Any]

LABELLED = 8
_LARGEST = 13.0
"""Radius of the costliest layer's disc; areas are in proportion to the estimated times."""
_KINDS = ("dense", "pointwise", "depthwise", "transposed", "depthwise-transposed", "matmul")


def drawing(estimate: Section) -> Markup:
    """Multiply-accumulates per second over those per byte, both logarithmic.

    Without a GPU the roof is not known, and the layers stand alone.
    """
    gpu = estimate["gpu"]
    layers = [layer for layer in estimate["layers"] if layer["macs"]]
    points = [point_of(layer) for layer in layers]
    ridge = gpu["gmacs_per_s"] / gpu["gbytes_per_s"] if gpu else 1.0
    peaks = [gpu["gmacs_per_s"] / 100, gpu["gmacs_per_s"]] if gpu else []
    around = [ridge / 8, ridge * 4] if gpu else []
    x = Scale.around([*around, *(x for x, _ in points)], 44, 394)
    y = Scale.around([*peaks, *(y for _, y in points)], 270, 8)
    of = gpu["title"] if gpu else "an unknown processor"
    circles = list(_circles(layers, points, x, y))
    discs = [_disc(layers[i], circles[i]) for i in _costliest_first(layers)]
    labels, covered = _roof_labels(gpu, x, y, circles) if gpu else ([], [])
    return tag(
        "svg",
        tag("title", f"Roofline of {of} with {len(layers)} layers"),
        *grid(x, y, below=14),
        tag("text", "MACs per byte moved", x=219.0, y=303.0, class_="mid"),
        tag("text", "GMAC/s", x=48.0, y=18.0),
        *(_roofs(gpu, x, y) if gpu else ()),
        *discs,
        *labels,
        *_ranks(estimate, circles, covered),
        viewBox="0 0 400 312", class_="chart", role="img",
    )  # fmt: skip


def point_of(layer: Section) -> tuple[float, float]:
    """MACs per byte, and 1e9 MACs per second."""
    return layer["macs"] / layer["bytes"], layer["macs"] / layer["estimate_us"] * 1e-3


def _roofs(gpu: Section, x: Scale, y: Scale) -> Iterator[Markup]:
    peak, memory, depthwise = _peaks(gpu)
    left = _leftmost(memory, x, y)
    corners = [(left, left * memory), (peak / memory, peak), (x.high, peak)]
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    yield tag("polyline", points=path, class_="roof")
    if depthwise < peak:
        at = y(depthwise)
        start = x(max(depthwise / memory, x.low))
        yield tag("line", x1=start, x2=394.0, y1=at, y2=at, class_="roof dash")


def _peaks(gpu: Section) -> tuple[float, float, float]:
    """Multiply-accumulates, bytes, and multiply-accumulates without tensor cores, 1e9 a second."""
    return gpu["gmacs_per_s"], gpu["gbytes_per_s"], gpu["depthwise_gmacs_per_s"]


def _leftmost(memory: float, x: Scale, y: Scale) -> float:
    return x.low if x.low * memory >= y.low else y.low / memory


def _roof_labels(
    gpu: Section, x: Scale, y: Scale, circles: Sequence[Circle]
) -> tuple[list[Markup], list[Box]]:
    """What the lines are, where the least discs are in the way; and the room that it takes."""
    peak, memory, depthwise = _peaks(gpu)
    said = [(f"peak {peak:.0f} GMAC/s", peak)]
    said += [(f"without tensor cores {depthwise:.0f}", depthwise)] if depthwise < peak else []
    taken = [around(circle) for circle in circles]
    boxes: list[Box] = []
    labels = []
    for text, rate in said:
        box = along(text, x(max(rate / memory, x.low)), y(rate), 392.0, [*taken, *boxes])
        boxes.append(box)
        labels.append(tag("text", text, x=box.right, y=box.top - 3, class_="end halo"))
    middle = math.sqrt(_leftmost(memory, x, y) * peak / memory)
    rise = y(memory * middle) - y(memory * middle * 2)
    slope = -math.degrees(math.atan2(rise, x(middle * 2) - x(middle)))
    at_x, at_y = x(middle), y(middle * memory) - 5
    labels.append(
        tag(
            "text", f"memory {memory:.0f} GB/s", x=at_x, y=at_y, class_="mid halo",
            transform=f"rotate({slope:.1f} {at_x:.1f} {at_y:.1f})",
        )
    )  # fmt: skip
    return labels, boxes


def _circles(
    layers: Sequence[Section], points: Sequence[tuple[float, float]], x: Scale, y: Scale
) -> Iterator[Circle]:
    most = max((layer["estimate_us"] for layer in layers), default=1.0)
    for layer, (right, up) in zip(layers, points, strict=True):
        yield x(right), y(up), max(2.0, _LARGEST * math.sqrt(layer["estimate_us"] / most))


def _costliest_first(layers: Sequence[Section]) -> list[int]:
    return sorted(range(len(layers)), key=lambda i: -layers[i]["estimate_us"])


def _disc(layer: Section, circle: Circle) -> Markup:
    said = f"{layer['name']}: {layer['kind']}, {words.microseconds(layer['estimate_us'])}"
    return tag(
        "circle", tag("title", said), cx=circle[0], cy=circle[1], r=circle[2],
        class_=f"disc {_class_of(layer['kind'])}",
    )  # fmt: skip


def _ranks(
    estimate: Section, circles: Sequence[Circle], covered: Sequence[Box]
) -> Iterator[Markup]:
    """The numbers of the costliest, of those that multiply."""
    drawn = [index for index, layer in enumerate(estimate["layers"]) if layer["macs"]]
    circle_of = dict(zip(drawn, circles, strict=True))
    numbered = {
        number: circle_of[index]
        for number, index in enumerate(estimate["costliest"][:LABELLED], 1)
        if index in circle_of
    }
    return numbers(numbered, Box(46, 10, 394, 270), [*map(around, circles), *covered])


def _class_of(kind: str) -> str:
    return kind if kind in _KINDS else "other-kind"


def legend(estimate: Section) -> Markup:
    """The colours of the kinds of layers that are in the picture."""
    kinds = dict.fromkeys(layer["kind"] for layer in estimate["layers"] if layer["macs"])
    samples = [
        join(
            tag(
                "svg",
                tag("circle", cx="5", cy="5", r="5", class_=_class_of(kind)),
                viewBox="0 0 10 10", width="10", height="10", aria_hidden="true",
            ),
            f" {kind}   ",
        )
        for kind in kinds
    ]  # fmt: skip
    return tag("p", *samples, class_="soft")

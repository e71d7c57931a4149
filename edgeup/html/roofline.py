"""Rooflines with the model's layers on them: estimated for a board and said so, or measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.decoder import no_estimate
from edgeup.html.markup import Markup, join, table, tag
from edgeup.html.scale import Scale, ticks
from edgeup.html.summary import estimate_of

Section = Mapping[str, Any]

_LABELLED = 8
_LARGEST = 13.0
"""Radius of the costliest layer's disc; areas are in proportion to the estimated times."""
_KINDS = ("dense", "pointwise", "depthwise", "transposed", "depthwise-transposed", "matmul")


def roofline(report: Section) -> Markup:
    """The total and its parts, the picture, the layers that cost most, what is uncertain."""
    estimate = estimate_of(report)
    if not estimate:
        return tag("p", f"No estimate and no roofline: {no_estimate(report)}.", class_="warn")
    total, gpu = estimate["total"], estimate["gpu"]
    said = (
        f"An estimate from shapes alone; nothing was run on a {gpu['title']}. In power mode "
        f"{gpu['power_mode']} and {gpu['precision']} it comes to "
        f"{words.milliseconds(total['estimate_ms'])}: {words.milliseconds(total['compute_ms'])} "
        f"of arithmetic, {words.milliseconds(total['memory_ms'])} of memory traffic, "
        f"{words.milliseconds(total['launch_ms'])} of starting layers. No implementation takes "
        f"less than {words.milliseconds(total['bound_ms'])}."
    )
    costly = [estimate["layers"][index] for index in estimate["costliest"]]
    caption = (
        "A disc per layer that multiplies; its area is the estimated time. On a line, the board "
        "can do no more. Numbers are those of the table."
    )
    return join(
        tag("p", said),
        tag(
            "div",
            tag("figure", drawing(estimate), _legend(estimate), tag("figcaption", caption)),
            tag("div", _costliest(costly)),
            class_="charts",
        ),
        tag("ul", [tag("li", notice, class_="soft") for notice in estimate["notices"]]),
    )


def drawing(estimate: Section) -> Markup:
    """Multiply-accumulates per second over those per byte, both logarithmic.

    Without a GPU the roof is not known, and the layers stand alone.
    """
    gpu = estimate["gpu"]
    layers = [layer for layer in estimate["layers"] if layer["macs"]]
    points = [_point(layer) for layer in layers]
    ridge = gpu["gmacs_per_s"] / gpu["gbytes_per_s"] if gpu else 1.0
    peaks = [gpu["gmacs_per_s"] / 100, gpu["gmacs_per_s"]] if gpu else []
    around = [ridge / 8, ridge * 4] if gpu else []
    x = Scale.around([*around, *(x for x, _ in points)], 44, 394)
    y = Scale.around([*peaks, *(y for _, y in points)], 270, 8)
    of = gpu["title"] if gpu else "an unknown processor"
    return tag(
        "svg",
        tag("title", f"Roofline of {of} with {len(layers)} layers"),
        *_grid(x, y),
        *(_roofs(gpu, x, y) if gpu else ()),
        *_discs(estimate, layers, points, x, y),
        viewBox="0 0 400 312", class_="chart", role="img",
    )  # fmt: skip


def measured_roofline(report: Section) -> Markup:
    """The layers of a profile, where their MACs and bytes are known: what they reached."""
    section = report["layers"]
    rows = [row for row in section["rows"] if row.get("macs") and row.get("bytes")]
    if not rows:
        counted = any(row.get("macs") for row in section["rows"])
        return tag("p", f"No roofline: {_NO_BYTES if counted else _NO_NODES}.")
    roof = section.get("roof")
    layers = [
        {
            **{key: row[key] for key in ("name", "macs", "bytes")},
            "kind": row.get("kind") or "other",
            "estimate_us": row["mean_ms"] * 1e3,
        }
        for row in rows
    ]
    costliest = sorted(range(len(layers)), key=lambda i: -layers[i]["estimate_us"])[:_LABELLED]
    found = {"gpu": roof, "layers": layers, "costliest": costliest}
    held = (
        f"The roof is that of {roof['title']} in power mode {roof['power_mode']} and "
        f"{roof['precision']}."
        if roof
        else f"No roof: {section.get('no_roof', _WHERE)}."
    )
    said = f"Measured: what each layer that multiplies reached. {held}"
    caption = (
        "A disc per layer; its area is the measured mean time. Bytes are what a layer reads and "
        "writes at least, weights included: caches may spare some. Numbers are those of the table."
    )
    return join(
        tag("p", said),
        tag(
            "div",
            tag("figure", drawing(found), _legend(found), tag("figcaption", caption)),
            tag("div", _reached(layers, costliest)),
            class_="charts",
        ),
    )


_WHERE = "where it ran is not known"
_NO_BYTES = "what the layers move is not known: no sidecar tells the engine's precision"
_NO_NODES = (
    "no layer that multiplies is traced to the model's nodes; --onnx MODEL.onnx, what an engine "
    "was built from, traces them"
)


def _reached(layers: Sequence[Section], costliest: Sequence[int]) -> Markup:
    rows = []
    for number, index in enumerate(costliest, 1):
        layer = layers[index]
        intensity, rate = _point(layer)
        rows.append(
            [
                f"{number}. {layer['name']}",
                words.microseconds(layer["estimate_us"]),
                words.figures(rate),
                words.figures(intensity),
            ]
        )
    headings = ["layer", "mean", "GMAC/s", "MACs per byte"]
    return table(headings, rows, label="What the costliest layers reached")


def _point(layer: Section) -> tuple[float, float]:
    """MACs per byte, and 1e9 MACs per second."""
    return layer["macs"] / layer["bytes"], layer["macs"] / layer["estimate_us"] * 1e-3


def _grid(x: Scale, y: Scale) -> Iterator[Markup]:
    for value in ticks(x):
        at = x(value)
        yield tag("line", x1=at, x2=at, y1=8.0, y2=270.0, class_="grid")
        yield tag("text", f"{value:g}", x=at, y=284.0, class_="mid soft")
    for value in ticks(y):
        at = y(value)
        yield tag("line", x1=44.0, x2=394.0, y1=at, y2=at, class_="grid")
        yield tag("text", f"{value:g}", x=40.0, y=at + 4, class_="end soft")
    yield tag("text", "MACs per byte moved", x=219.0, y=303.0, class_="mid")
    yield tag("text", "GMAC/s", x=48.0, y=18.0)


def _roofs(gpu: Section, x: Scale, y: Scale) -> Iterator[Markup]:
    peak, memory, depthwise = (
        gpu[key] for key in ("gmacs_per_s", "gbytes_per_s", "depthwise_gmacs_per_s")
    )
    ridge = peak / memory
    left = x.low if x.low * memory >= y.low else y.low / memory
    corners = [(left, left * memory), (ridge, peak), (x.high, peak)]
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    yield tag("polyline", points=path, class_="roof")
    yield tag("text", f"peak {peak:.0f} GMAC/s", x=392.0, y=y(peak) - 5, class_="end")
    if depthwise < peak:
        at = y(depthwise)
        start = x(max(depthwise / memory, x.low))
        yield tag("line", x1=start, x2=394.0, y1=at, y2=at, class_="roof dash")
        yield tag("text", f"without tensor cores {depthwise:.0f}", x=392.0, y=at - 4, class_="end")
    middle = math.sqrt(left * ridge)
    slope = math.degrees(math.atan2(y(peak) - y(left * memory), x(ridge) - x(left)))
    at_x, at_y = x(middle), y(middle * memory) - 5
    yield tag(
        "text", f"memory {memory:.0f} GB/s", x=at_x, y=at_y, class_="mid",
        transform=f"rotate({slope:.1f} {at_x:.1f} {at_y:.1f})",
    )  # fmt: skip


def _discs(
    estimate: Section,
    layers: Sequence[Section],
    points: Sequence[tuple[float, float]],
    x: Scale,
    y: Scale,
) -> Iterator[Markup]:
    ranks = {index: number for number, index in enumerate(estimate["costliest"][:_LABELLED], 1)}
    numbers = [i for i, layer in enumerate(estimate["layers"]) if layer["macs"]]
    most = max((layer["estimate_us"] for layer in layers), default=1.0)
    order = sorted(range(len(layers)), key=lambda i: -layers[i]["estimate_us"])
    for i in order:
        layer, (right, up) = layers[i], points[i]
        said = f"{layer['name']}: {layer['kind']}, {words.microseconds(layer['estimate_us'])}"
        yield tag(
            "circle", tag("title", said), cx=x(right), cy=y(up),
            r=max(2.0, _LARGEST * math.sqrt(layer["estimate_us"] / most)),
            class_=f"disc {_class_of(layer['kind'])}",
        )  # fmt: skip
    for i in order:
        rank, (right, up) = ranks.get(numbers[i]), points[i]
        if rank is not None:
            yield tag("text", str(rank), x=x(right), y=y(up) + 4, class_="mid")


def _class_of(kind: str) -> str:
    return kind if kind in _KINDS else "other-kind"


def _legend(estimate: Section) -> Markup:
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


def _costliest(layers: Sequence[Section]) -> Markup:
    return table(
        ["layer", "kind", "estimate", "share", "bound by"],
        [
            [
                f"{number}. {_short(layer)}",
                layer["kind"],
                words.microseconds(layer["estimate_us"]),
                f"{layer['share']:.0%}",
                layer["binds"],
            ]
            for number, layer in enumerate(layers, 1)
        ],
        left=2,
        label="Layers that cost most",
    )


def _short(layer: Section) -> str:
    fused = len(layer["operators"]) - 1
    return f"{layer['name']}{f' +{fused}' if fused else ''}"

"""Rooflines with the model's layers on them: estimated for a board and said so, or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.decoder import no_estimate
from edgeup.html.markup import Markup, join, table, tag
from edgeup.html.roof import LABELLED, drawing, legend, point_of
from edgeup.html.summary import estimate_of

Section = Mapping[str, Any]


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
            tag("figure", drawing(estimate), legend(estimate), tag("figcaption", caption)),
            tag("div", tag("h3", "Layers that cost most"), _by_layer(costly, numbered=True)),
            class_="charts",
        ),
        tag("h3", "By kind"),
        by_kind(estimate["layers"]),
        tag(
            "details",
            tag("summary", f"All {len(estimate['layers'])} layers in the order of execution"),
            _by_layer(estimate["layers"]),
        ),
        tag("ul", [tag("li", notice, class_="soft") for notice in estimate["notices"]]),
    )


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
    costliest = sorted(range(len(layers)), key=lambda i: -layers[i]["estimate_us"])[:LABELLED]
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
            tag("figure", drawing(found), legend(found), tag("figcaption", caption)),
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
        intensity, rate = point_of(layer)
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


def _by_layer(layers: Sequence[Section], *, numbered: bool = False) -> Markup:
    headings = ["layer", "kind", "estimate", "share", "bound by", "work", "moved", "at least"]
    shown = 5 if numbered else len(headings)
    rows = [
        [
            f"{number}. {_short(layer)}" if numbered else _short(layer),
            layer["kind"],
            words.microseconds(layer["estimate_us"]),
            words.percent(layer["share"], 1),
            layer["binds"],
            words.macs(layer["macs"]),
            words.megabytes(layer["bytes"]),
            words.microseconds(layer["bound_us"]),
        ][:shown]
        for number, layer in enumerate(layers, 1)
    ]
    label = "Layers that cost most" if numbered else "All layers"
    return table(headings[:shown], rows, left={0, 1, 4}, label=label)


def by_kind(layers: Sequence[Section]) -> Markup:
    """What each kind of layer takes, and whether the share of the peak it gets was measured."""
    groups: dict[str, list[Section]] = {}
    for layer in layers:
        groups.setdefault(layer["kind"], []).append(layer)

    def total(group: Sequence[Section], key: str) -> float:
        return float(sum(layer[key] for layer in group))

    rows = [
        [
            kind,
            words.microseconds(total(group, "estimate_us")),
            words.percent(total(group, "share"), 1),
            str(len(group)),
            words.macs(total(group, "macs")),
            "measured on TX2" if group[0]["kind_measured"] else "assumed",
        ]
        for kind, group in sorted(groups.items(), key=lambda item: -total(item[1], "estimate_us"))
    ]
    headings = ["kind", "estimate", "share", "layers", "work", "efficiency"]
    return table(headings, rows, left={0, 5}, label="Estimate by kind of layer")


def _short(layer: Section) -> str:
    fused = len(layer["operators"]) - 1
    return f"{layer['name']}{f' +{fused}' if fused else ''}"

"""The encoder and the decoder, drawn stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.markup import NOTHING, Markup, join, scroll, table, tag

Stage = Mapping[str, Any]

_STEP = 64.0
_TOP, _TALLEST = 30.0, 130.0
_WIDEST = 40.0


def decoder(report: Mapping[str, Any]) -> Markup:
    """A figure and a table; nothing where the report has no stages."""
    stages = stages_of(report)
    if not stages:
        return NOTHING
    note = (
        "A block per span of nodes at one size: its height stands for the resolution (log), its "
        "width for the channels (log). A rewritten site stands where its result is."
    )
    return join(
        tag("p", note, class_="soft"),
        tag("figure", scroll("Stages as blocks", figure(stages))),
        stage_table(stages),
    )


def stages_of(report: Mapping[str, Any]) -> Sequence[Stage]:
    """Of the report, or of its profile by layers."""
    layers: Any = report.get("layers")
    profiled = layers.get("stages", ()) if isinstance(layers, Mapping) else ()
    stages: Sequence[Stage] = report.get("stages") or profiled
    return stages


def figure(stages: Sequence[Stage]) -> Markup:
    """Blocks from left to right, in the order of the data."""
    width, base = _STEP * len(stages), _TOP + _TALLEST
    tallest = max(math.log2(max(stage["height"], 1) + 1) for stage in stages)
    widest = max(math.log2((stage["channels"] or 1) + 1) for stage in stages)
    blocks = [
        _block(stage, _STEP * (number + 0.5), base, tallest, widest)
        for number, stage in enumerate(stages)
    ]
    sizes = ", ".join(f"{s['name']}, {s['channels']} channels" for s in stages)
    return tag(
        "svg",
        tag("title", f"Stages in order: {sizes}"),
        tag("line", x1=0.0, x2=width, y1=base, y2=base, class_="axis"),
        *blocks,
        viewBox=f"0 0 {width:g} {base + 50:g}",
        width=width,
        height=base + 50,
        class_="wide",
        role="img",
    )


def _block(stage: Stage, middle: float, base: float, tallest: float, widest: float) -> Markup:
    height = _TALLEST * math.log2(max(stage["height"], 1) + 1) / tallest
    width = 4 + _WIDEST * math.log2((stage["channels"] or 1) + 1) / widest
    forms = "; ".join(form["form"] for form in stage.get("forms", ()))
    return join(
        tag(
            "rect",
            tag("title", f"{stage['name']}: {words.macs(stage['macs'])}. {forms}"),
            x=middle - width / 2, y=base - height, width=width, height=height, rx="2",
            class_="decoder" if stage["side"] == "decoder" else "encoder",
        ),
        tag("text", words.macs(stage["macs"]).replace("MACs", ""), x=middle,
            y=base - height - 6, class_="mid soft"),
        tag("text", f"{stage['height']}×{stage['width']}", x=middle, y=base + 15, class_="mid"),
        tag("text", f"{stage['channels'] or '?'} ch", x=middle, y=base + 29, class_="mid soft"),
        tag("text", stage["side"], x=middle, y=base + 43, class_="mid soft"),
    )  # fmt: skip


def stage_table(stages: Sequence[Stage]) -> Markup:
    """What the figure shows, in words and numbers."""
    most = max((stage["macs"] or 0 for stage in stages), default=0)
    time, key = _time_of(stages)
    formed = any("forms" in stage for stage in stages)
    counted = "nodes" if "nodes" in stages[0] else "layers"
    headings = ["stage", "channels", *(["form chosen"] if formed else []), counted, "work"]
    rows = [
        [
            stage["name"],
            str(stage["channels"] or "?"),
            *([_forms(stage)] if formed else []),
            str(stage[counted]),
            join(words.macs(stage["macs"]), bar(stage["macs"] or 0, most)),
            *(_time(stage, key) for _ in time),
        ]
        for stage in stages
    ]
    return table([*headings, *time], rows, left=3 if formed else 2, label="Stages")


def _time_of(stages: Sequence[Stage]) -> tuple[list[str], str]:
    if any("mean_ms" in stage for stage in stages):
        return ["time, measured"], "mean_ms"
    if any("estimate_us" in stage for stage in stages):
        return ["time, estimated"], "estimate_us"
    return [], ""


def _time(stage: Stage, key: str) -> str:
    value = stage.get(key)
    return words.milliseconds(value) if key == "mean_ms" else words.microseconds(value)


def _forms(stage: Stage) -> str:
    forms = [
        form["form"] + (f" ({form['sites']} sites)" if form["sites"] > 1 else "")
        for form in stage.get("forms", ())
    ]
    return "; ".join(forms) or "as the network has it"


def bar(value: float, most: float) -> Markup:
    """A share as a bar."""
    share = 100 * max(0.0, min(value / most, 1.0)) if most else 0.0
    return tag(
        "svg",
        tag("rect", width="100", height="10", class_="track"),
        tag("rect", width=share, height="10", class_="fill"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        aria_hidden="true",
    )

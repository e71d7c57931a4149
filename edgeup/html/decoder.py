"""The encoder and the decoder, drawn stage by stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.markup import NOTHING, Markup, join, scroll, table, tag

Stage = Mapping[str, Any]

_STEP = 64.0
_TOP, _TALLEST = 30.0, 130.0
_WIDEST = 40.0
_ROW, _ACROSS, _CENTRE, _LONGEST = 34.0, 320.0, 172.0, 120.0


def decoder(report: Mapping[str, Any]) -> Markup:
    """A figure and a table; nothing where the report has no stages."""
    stages = stages_of(report)
    if not stages:
        return NOTHING
    note = (
        "A block per span of nodes at one size: its height stands for the resolution (log), its "
        "width for the channels (log). A rewritten site stands where its result is."
    )
    narrow = (
        "A block per span of nodes at one size: the wider, the higher the resolution; the higher, "
        "the more channels (both log)."
    )
    return join(
        tag("p", note, class_="soft across"),
        tag("p", narrow, class_="soft down"),
        drawing(stages),
        stage_table(stages),
        *(tag("p", line, class_="soft") for line in _absent(report, stages)),
    )


def drawing(stages: Sequence[Stage]) -> Markup:
    """The figure: from left to right, and where the screen is narrow from top to bottom."""
    return join(
        tag("figure", scroll("Stages as blocks", figure(stages)), class_="across"),
        tag("figure", tall_figure(stages), class_="down"),
    )


def _absent(report: Mapping[str, Any], stages: Sequence[Stage]) -> Iterator[str]:
    """Of what the stages do not tell: why, and which option makes them."""
    if not any("mean_ms" in stage or "estimate_us" in stage for stage in stages):
        yield f"No times: {no_estimate(report)}; edgeup profile --layers measures them."
    layers = report.get("layers")
    if isinstance(layers, Mapping) and (why := layers.get("no_forms")):
        yield f"The forms chosen are not known: {why}."
    if isinstance(layers, Mapping) and (rest := layers.get("unstaged")):
        took = f"{words.milliseconds(rest['mean_ms'])}, {rest['share']:.1%} of all"
        yield f"{words.count(rest['layers'], 'layer')} of no stage took {took}."
    if any(stage["side"] == "lowest" for stage in stages):
        yield "Lowest: the file does not say which nodes are the encoder's and which the decoder's."


def no_estimate(report: Mapping[str, Any]) -> str:
    """Why nothing was estimated, and what would do."""
    if "not_made" in report.get("estimate", {}):
        return str(report["estimate"]["not_made"])
    target = report.get("target", {}).get("name")
    return f"{target} names no board, and an estimate needs one: --target orin-nano-8gb, say"


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


def tall_figure(stages: Sequence[Stage]) -> Markup:
    """The same from top to bottom: wider for the resolution, higher for the channels."""
    tallest = max(math.log2(max(stage["height"], 1) + 1) for stage in stages)
    widest = max(math.log2((stage["channels"] or 1) + 1) for stage in stages)
    rows = [
        _row(stage, _ROW * (number + 0.5), tallest, widest) for number, stage in enumerate(stages)
    ]
    return tag(
        "svg",
        tag("title", f"{len(stages)} stages in order, from top to bottom"),
        *rows,
        viewBox=f"0 0 {_ACROSS:g} {_ROW * len(stages):g}",
        role="img",
    )


def _row(stage: Stage, middle: float, tallest: float, widest: float) -> Markup:
    width = _LONGEST * math.log2(max(stage["height"], 1) + 1) / tallest
    height = 4 + (_ROW - 8) * math.log2((stage["channels"] or 1) + 1) / widest
    times, key = _time_of([stage])
    said = _time(stage, key) if times else ""
    return join(
        tag("text", f"{stage['height']}×{stage['width']}", x=0.0, y=middle - 2),
        tag("text", f"{stage['side']}, {stage['channels'] or '?'} ch", x=0.0, y=middle + 11,
            class_="soft"),
        tag("rect", x=_CENTRE - width / 2, y=middle - height / 2, width=width, height=height,
            rx="2", class_="decoder" if stage["side"] == "decoder" else "encoder"),
        tag("text", said or words.macs(stage["macs"]), x=_ACROSS, y=middle + (-2 if said else 4),
            class_="end"),
        tag("text", words.macs(stage["macs"]), x=_ACROSS, y=middle + 11, class_="end soft")
        if said
        else "",
    )  # fmt: skip


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
    """What the figure shows, in words and numbers; what matters most stands first."""
    most = max((stage["macs"] or 0 for stage in stages), default=0)
    time, key = _time_of(stages)
    formed = any("forms" in stage for stage in stages)
    counted = "nodes" if "nodes" in stages[0] else "layers"
    headings = ["stage", *time, "work", "", "channels", counted]
    rows = [
        [
            stage["name"],
            *(_time(stage, key) for _ in time),
            words.macs(stage["macs"]),
            bar(stage["macs"] or 0, most),
            str(stage["channels"] or "?"),
            str(stage[counted]),
            *([_forms(stage)] if formed else []),
        ]
        for stage in stages
    ]
    headings += ["form chosen"] if formed else []
    text = {0, len(headings) - 1} if formed else {0}
    return table(headings, rows, left=text, label="Stages", class_="bars")


def _time_of(stages: Sequence[Stage]) -> tuple[list[str], str]:
    if any("mean_ms" in stage for stage in stages):
        return ["measured"], "mean_ms"
    if any("estimate_us" in stage for stage in stages):
        return ["estimated"], "estimate_us"
    return [], ""


def _time(stage: Stage, key: str) -> str:
    value = stage.get(key)
    return words.milliseconds(value) if key == "mean_ms" else words.microseconds(value)


def _forms(stage: Stage) -> str:
    forms = [
        form["form"] + (f" ({form['sites']} sites)" if form["sites"] > 1 else "")
        for form in stage.get("forms", ())
    ]
    return "; ".join(forms) or words.NONE


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

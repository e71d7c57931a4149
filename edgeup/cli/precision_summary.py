"""A report's precision, as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

SHOWN = 8
"""Nodes that are named; the report holds them all."""


def precision_lines(report: Mapping[str, Any]) -> Iterable[Text]:
    """What was asked, what stays float32, what the format does to values; nothing for float32."""
    section = report.get("precision")
    if section is None:
        return
    asked = section["asked"]
    yield Text(f"\nprecision {asked}, inputs and outputs {_io(section)}", style="bold")
    casts = f"{section['casts']} cast{'' if section['casts'] == 1 else 's'}"
    yield Text(f"  {section['form']}: {casts}, {len(section['kept'])} nodes fp32")
    if "rounding" in section:
        rounding = section["rounding"]
        yield Text(
            f"  every result rounded to {asked}: away by {_share(rounding['max_of_peak'])} of the "
            f"peak at most, {_share(rounding['rms_of_peak'])} in RMS"
        )
    for entry in section["kept"][:SHOWN]:
        yield Text(f"  fp32: {entry['node']} ({entry['op']}): {entry['reason']}")
    yield from _rest(len(section["kept"]), "nodes")
    for finding in section["findings"][:SHOWN]:
        yield Text(f"  {finding['kind']}: {finding['node']} ({finding['op']}): {finding['text']}")
    yield from _rest(len(section["findings"]), "findings")
    weights = section["weights"]
    if weights["vanishing"]:
        yield Text(f"  {weights['vanishing']:,} of {weights['elements']:,} constants become 0")


def parity_heading(report: Mapping[str, Any], in_float32: str) -> Text:
    """What the parity table compares: ``in_float32`` says it for a model without conversion."""
    section = report.get("precision")
    if section is None:
        return Text(f"\nparity: {in_float32}", style="bold")
    passed = Counter(output["passed"] for output in section["parity_in_float32"])
    verdict = f"; float32 before: {passed[True]} of {sum(passed.values())} passed"
    what = f"{section['asked']}, {section['compared']}" if "compared" in section else "nothing"
    return Text(f"\nparity: {what}, against float32{verdict}", style="bold")


def _io(section: Mapping[str, Any]) -> str:
    return str(section["asked"] if section["io"] == "same" else section["io"])


def _share(value: float | None) -> str:
    return "infinity" if value is None else f"{value:.2g}"


def _rest(count: int, what: str) -> Iterable[Text]:
    if count > SHOWN:
        yield Text(f"  and {count - SHOWN} more {what}: see the report")

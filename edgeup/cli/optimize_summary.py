"""What `edgeup optimize` did, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from edgeup.cli.precision_summary import parity_heading, precision_lines
from edgeup.cli.summary import (
    facts,
    file_line,
    latency_lines,
    operators_line,
    parity_table,
    rewrite_lines,
    target_line,
    verdicts,
)

if TYPE_CHECKING:
    from rich.console import RenderableType


def optimize_summary(report: Mapping[str, Any], output: Path) -> Iterable[RenderableType]:
    """Sites, refusals, parity, latency against the original."""
    macs = report["model"]["macs"]
    before = f", {macs / 1e9:.3f} GMACs" if macs is not None else ""
    yield facts(
        {
            "original": f"{report['model']['description']}{before}",
            "target": target_line(report["target"]),
            "result": file_line(report["onnx"], output.parent),
            "operators": operators_line(report["onnx"]["nodes"]),
        }
    )
    yield from rewrite_lines(report)
    for refusal in report["refusals"]:
        yield Text(f"  left alone: {refusal['node']} ({refusal['pass']}): {refusal['reason']}")
    yield from precision_lines(report)
    if report["parity"]:
        yield parity_heading(report, "the result against the original, ONNX Runtime")
        yield Padding(parity_table(report["parity"]), (0, 0, 0, 2))
        yield from verdicts(report["parity"])
    yield Text("\nlatency on the CPU of this machine", style="bold")
    yield Padding(latency_lines(report["latency"]), (0, 0, 0, 2))
    if "versus_original" in report["latency"]:
        yield Padding(_gain(report["latency"]["versus_original"]), (0, 0, 0, 2))
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    data = report["onnx"].get("data")
    beside = f", {output.with_name(data['path'])}" if data else ""
    reports = f"{output.with_suffix('.json')} and {output.with_suffix('.html').name}"
    yield Text(f"\nwrote {output}{beside}, {reports}")


def _gain(gain: Mapping[str, Any]) -> Text:
    if gain["low"] <= 1 <= gain["high"]:
        words = "no difference beyond noise"
    else:
        words = "faster" if gain["low"] > 1 else "SLOWER"
    interval = f"{gain['low']:.3f} to {gain['high']:.3f}"
    return Text(f"original / result: {gain['median']:.3f} ({interval}): {words}")

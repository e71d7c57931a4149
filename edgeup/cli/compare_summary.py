"""A comparison as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = (
    *("decoder", "params\nM", "GMACs", "ONNX\nGMACs", "ONNX\nMB", "nodes", "median\nms", "p90\nms"),
    "ratio to the first\n(95 % interval)",
)


def compare_summary(report: Mapping[str, Any], folder: Path) -> Iterable[RenderableType]:
    """A row per decoder, then where it was measured and whether all computed the same."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in _COLUMNS:
        first = heading == "decoder"
        # A name may have a precision and a shape behind it, which then go to a line of their own.
        table.add_column(heading, justify="left" if first else "right", no_wrap=not first)
    for entry in report["models"]:
        table.add_row(*_cells(entry))
    yield table
    yield Text("GMACs: of the network as it is written, and of the graph made for the target")
    latency = report["models"][0]["latency"]
    yield Text.assemble(
        "\nlatency on the CPU of this machine, not on the target: ",
        (latency["device"], "bold"),
        f", {latency['backend']}, {latency['threads']} threads, {latency['iterations']} rounds "
        f"in which each ran once",
    )
    yield from _verdicts(report["models"])
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    yield Text(f"\nwrote compare.json, compare.html and compare.png in {folder}")


def _cells(entry: Mapping[str, Any]) -> Iterable[str]:
    model, onnx, latency, ratio = (entry[key] for key in ("model", "onnx", "latency", "ratio"))
    yield entry["name"]
    yield f"{model['parameters'] / 1e6:.2f}"
    yield f"{model['macs'] / 1e9:.3f}"
    yield "-" if onnx["macs"] is None else f"{onnx['macs'] / 1e9:.3f}"
    yield f"{onnx['bytes'] / 1e6:.1f}"
    yield str(onnx["node_count"])
    yield f"{latency['median_ms']:.2f}"
    yield f"{latency['p90_ms']:.2f}"
    yield f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _verdicts(models: Sequence[Mapping[str, Any]]) -> Iterable[Text]:
    failed = [entry["name"] for entry in models if not entry["passed"]]
    if failed:
        yield Text(f"parity with PyTorch FAILED: {', '.join(failed)}", style="bold red")
        return
    outputs = [(entry["name"], output) for entry in models for output in entry["parity"]]
    name, worst = max(outputs, key=lambda pair: pair[1]["needed"]["atol_of_peak"])
    yield Text(
        f"parity with PyTorch: all passed; {name} needed most, "
        f"{worst['needed']['atol_of_peak']:.1e} of the peak at rtol "
        f"{worst['tolerance']['rtol']:.0e}, of {worst['tolerance']['atol_of_peak']:.0e} allowed",
        style="green",
    )

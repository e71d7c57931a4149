"""A comparison as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

Entry = Mapping[str, Any]


def compare_summary(report: Mapping[str, Any], folder: Path) -> Iterable[RenderableType]:
    """A row per model, then where it was measured and whether all computed the same."""
    entries = report["models"]
    yield _table(entries)
    yield Text(
        f"*: Pareto-efficient: of {_costs(entries)}, no other is better in one and no worse in "
        f"the rest"
    )
    yield Text(
        "GMACs: of the network as it is written, and of the graph made for the target; error: the "
        "largest of any output, as a share of the output's peak"
    )
    yield from _where(entries)
    yield _power(entries)
    for one in report["refused"]:
        yield Text(f"REFUSED by {one['backend']}: {one['name']}: {one['reason']}", style="bold red")
    yield from _verdicts(entries)
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    yield Text(f"\nwrote compare.json, compare.html and compare.png in {folder}")


def _table(entries: Sequence[Entry]) -> Table:
    measured = any(entry["power"]["measured"] for entry in entries)
    headings = [
        *("model", "GMACs", "ONNX\nGMACs", "ONNX\nMB", "error", "median\nms", "p90\nms"),
        *(["energy\nmJ"] if measured else []),
        "ratio to the first\n(95 % interval)",
        "",
    ]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in headings:
        first = heading == "model"
        # A name may have a precision and a shape behind it, which then go to a line of their own.
        table.add_column(heading, justify="left" if first else "right", no_wrap=not first)
    for entry in entries:
        table.add_row(*_cells(entry, measured=measured))
    return table


def _cells(entry: Entry, *, measured: bool) -> Iterable[str]:
    onnx, latency, ratio = entry.get("onnx", {}), entry["latency"], entry["ratio"]
    yield entry["name"]
    yield f"{entry['model']['macs'] / 1e9:.3f}"
    yield "-" if onnx.get("macs") is None else f"{onnx['macs'] / 1e9:.3f}"
    yield f"{onnx['bytes'] / 1e6:.1f}" if onnx else "-"
    yield _error(entry)
    yield f"{latency['median_ms']:.2f}"
    yield f"{latency['p90_ms']:.2f}"
    if measured:
        energy = entry["power"].get("energy_per_inference_mj")
        yield "-" if energy is None else f"{energy:.3g}"
    yield f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    yield "*" if entry["pareto"] else ""


def _error(entry: Entry) -> str:
    if entry["backend"] == "torch":
        return "reference"
    return "-" if entry["error_of_peak"] is None else f"{entry['error_of_peak']:.1e}"


def _costs(entries: Sequence[Entry]) -> str:
    measured = all(entry["power"]["measured"] for entry in entries)
    return "latency, error and energy" if measured else "latency and error"


def _where(entries: Sequence[Entry]) -> Iterable[Text]:
    """A line for each device: what ran on it."""
    latencies = [entry["latency"] for entry in entries]
    for device in dict.fromkeys(one["device"] for one in latencies):
        here = [one for one in latencies if one["device"] == device]
        backends = " and ".join(dict.fromkeys(one["backend"] for one in here))
        on_cpu = device.startswith("CPU")
        threads = f"{here[0]['threads']} threads, " if on_cpu else ""
        yield Text.assemble(
            "\nlatency on the CPU of this machine, not on the target: "
            if on_cpu
            else "\nlatency on the GPU of this machine: ",
            (device, "bold"),
            f", {backends}, {threads}{here[0]['iterations']} rounds in which each ran once",
        )


def _power(entries: Sequence[Entry]) -> Text:
    powers = [entry["power"] for entry in entries]
    reasons = list(dict.fromkeys(power["reason"] for power in powers if not power["measured"]))
    if reasons:
        return Text(f"energy: not measured: {'; '.join(reasons)}")
    return Text(
        f"energy: of an inference, each model alone, above idle, of {powers[0]['total']} "
        f"({', '.join(powers[0]['total_rails'])})"
    )


def _verdicts(entries: Sequence[Entry]) -> Iterable[Text]:
    unequal = [
        entry["name"]
        for entry in entries
        if not all(output["passed"] for output in entry.get("parity", ()))
    ]
    failed = [entry["name"] for entry in entries if not entry["passed"]]
    if others := [name for name in failed if name not in unequal]:
        said = f"FAILED, though the outputs are equal: {', '.join(others)}; see the notes"
        yield Text(said, style="bold red")
    if unequal:
        yield Text(f"parity with PyTorch FAILED: {', '.join(unequal)}", style="bold red")
        return
    outputs = [(entry["name"], output) for entry in entries for output in entry.get("parity", ())]
    if not outputs:
        return
    name, worst = max(outputs, key=lambda pair: pair[1]["needed"]["atol_of_peak"])
    yield Text(
        f"parity with PyTorch: all passed; {name} needed most, "
        f"{worst['needed']['atol_of_peak']:.1e} of the peak at rtol "
        f"{worst['tolerance']['rtol']:.0e}, of {worst['tolerance']['atol_of_peak']:.0e} allowed",
        style="green",
    )

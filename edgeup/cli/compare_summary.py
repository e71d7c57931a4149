"""A comparison as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from edgeup.cli.compare_table import compare_table
from edgeup.html.words import ratios
from edgeup.pareto import rule
from edgeup.pipeline.compare.marks import energy_counts

if TYPE_CHECKING:
    from rich.console import RenderableType

Entry = Mapping[str, Any]


def compare_summary(report: Mapping[str, Any], folder: Path) -> Iterable[RenderableType]:
    """A row per model, then where it was measured and whether all computed the same."""
    entries = report["models"]
    yield from compare_table(entries)
    yield Text(f"*: {rule(energy=energy_counts(entries))}")
    yield Text(ratios([entry["ratio"]["to"] for entry in entries]))
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

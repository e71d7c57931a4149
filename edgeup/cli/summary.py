"""A report as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeup.cli.precision_summary import parity_heading, precision_lines

if TYPE_CHECKING:
    from rich.console import RenderableType


AS_WRITTEN = "as written"

_LONGEST = 400
"""Characters of a name or of another program's message; the report holds all of it."""


def shortened(text: str) -> str:
    """Five lines of it at most: a node's name may be of any length."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-50:]}"


def export_summary(report: Mapping[str, Any], folder: Path) -> Iterable[RenderableType]:
    """The report of `edgeup export`: network, file, parity, latency, notices."""
    yield facts(
        {
            "network": _network(report["model"]),
            "target": target_line(report["target"]),
            "file": file_line(report["onnx"], folder),
            "operators": operators_line(report["onnx"]["nodes"]),
        }
    )
    yield from rewrite_lines(report)
    yield from precision_lines(report)
    yield parity_heading(report, "ONNX Runtime against PyTorch, by kind of input")
    yield Padding(parity_table(report["parity"]), (0, 0, 0, 2))
    yield from verdicts(report["parity"])
    yield Text("\nlatency on the CPU of this machine, not on the target", style="bold")
    yield Padding(latency_lines(report["latency"]), (0, 0, 0, 2))
    if report["notices"]:
        yield Text()
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    names = ("model.onnx", "report.json", "report.html")
    yield Text(f"\nwrote {', '.join(names)} in {folder}")


def rewrite_lines(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    """How many sites took which form; nothing where no pass found one."""
    counts = Counter((site["pass"], site["form"]) for site in report["rewrites"])
    if not counts:
        return
    yield Text("\nrewrites", style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("pass", "form", "sites"):
        table.add_column(heading)
    for (rule, form), count in sorted(counts.items(), key=lambda item: item[0][1] == AS_WRITTEN):
        table.add_row(rule, form, str(count))
    yield Padding(table, (0, 0, 0, 2))


def facts(rows: Mapping[str, str]) -> Table:
    """A label and a text per row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row(label, text)
    return table


def parity_table(parity: Iterable[Mapping[str, Any]]) -> Table:
    """A row per output and kind of input, and one of each figure's worst."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("output", "input"):
        table.add_column(heading, no_wrap=True)
    for heading in ("max_abs", "max_rel", "rmse", "cosine"):
        table.add_column(heading, justify="right", no_wrap=True)
    for output in parity:
        for case in (*output.get("cases", ()), {"kind": "worst", **output}):
            table.add_row(
                output["name"],
                str(case["kind"]) + (" *" if case.get("unstable") else ""),
                *(_number(case.get(metric)) for metric in ("max_abs", "max_rel", "rmse")),
                _number(case.get("cosine"), "{:.8f}"),
            )
    return table


def verdicts(parity: Iterable[Mapping[str, Any]]) -> Iterable[Text]:
    """Per output: passed or not, the tolerance, and what would have been needed."""
    for output in parity:
        yield Text(
            f"  {output['name']}: {'passed' if output['passed'] else 'FAILED'}, "
            f"{output.get('reason') or _judged(output)}",
            style="green" if output["passed"] else "bold red",
        )
        for remark in output.get("notes", ()):
            yield Text(f"  {output['name']}: {remark}", style="yellow")


def _judged(output: Mapping[str, Any]) -> str:
    allowed, needed = output["tolerance"], output["needed"]
    excused = any(case.get("unstable") for case in output.get("cases", ()))
    share = allowed.get("atol_of_peak")
    limit = (
        f"{_number(share)} of each input's peak" if share else f"atol {_number(allowed['atol'])}"
    )
    tolerance = f"tolerance {limit} + rtol {_number(allowed['rtol'])}"
    if needed.get("atol") is None:
        return f"{tolerance}; no tolerance would do"
    by_rtol = (
        "no rtol at that atol would do"
        if needed.get("rtol") is None
        else f"or rtol {_number(needed['rtol'])} at that atol"
    )
    atol = f"atol {_number(needed['atol'])}"
    if share:
        inputs = "all inputs without a star" if excused else "all inputs"
        atol = f"{_number(needed['atol_of_peak'])} of the peak ({atol} for {inputs})"
    return f"{tolerance}; needed {atol} at that rtol, {by_rtol}"


def latency_lines(latency: Mapping[str, Any]) -> Text:
    """Where it was measured, then the figures; or why nothing was."""
    if "not_measured" in latency:
        return Text(f"not measured: {latency['not_measured']}", style="yellow")
    return Text.assemble(
        (f"{latency['device']}", "bold"),
        f", {latency['backend']}, {latency['threads']} threads, "
        f"{latency['iterations']} iterations\n"
        f"median {latency['median_ms']:.2f} ms   p90 {latency['p90_ms']:.2f} ms   "
        f"p99 {latency['p99_ms']:.2f} ms",
    )


def written_line(files: Iterable[Path]) -> Iterable[Text]:
    """What was written; nothing where nothing was."""
    if names := [str(path) for path in files]:
        yield Text(f"\nwrote {', '.join(names)}")


def _network(model: Mapping[str, Any]) -> str:
    shapes = ", ".join("x".join(map(str, spec["shape"])) for spec in model["inputs"])
    size = f"{model['parameters'] / 1e6:.3f} M parameters"
    macs = f", {model['macs'] / 1e9:.3f} GMACs" if model["macs"] is not None else ""
    return f"{model['description']}, {shapes}\n{size}{macs}"


def target_line(target: Mapping[str, Any]) -> str:
    """Its name, JetPack where a board alone was named, and TensorRT version."""
    jetpack = f", JetPack {target['jetpack']}" if target["name"] == target.get("board") else ""
    tensorrt = f", TensorRT {target['tensorrt']}" if target.get("tensorrt") else ""
    return f"{target['name']}{jetpack}{tensorrt}"


def file_line(onnx: Mapping[str, Any], folder: Path) -> str:
    """Where the file is, how large, opset, IR version, MACs."""
    macs = f", {onnx['macs'] / 1e9:.3f} GMACs" if onnx["macs"] is not None else ""
    data = onnx.get("data")
    beside = f" + {data['path']}, {data['bytes'] / 1e6:.2f} MB" if data else ""
    return (
        f"{folder / onnx['path']}, {onnx['bytes'] / 1e6:.2f} MB{beside}, "
        f"opset {onnx['opset']}, IR version {onnx['ir_version']}{macs}"
    )


def operators_line(nodes: Mapping[str, int]) -> str:
    """Nodes by operator, the most frequent first."""
    by_count = sorted(nodes.items(), key=lambda item: (-item[1], item[0]))
    return f"{sum(nodes.values())}: " + ", ".join(f"{op} {count}" for op, count in by_count)


def _number(value: Any, form: str = "{:.2e}") -> str:
    if value == 0:
        return "0"
    return form.format(value) if isinstance(value, int | float) else str(value or "-")

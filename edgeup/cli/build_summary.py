"""What `edgeup build` did, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from edgeup.cli.precision_summary import precision_lines
from edgeup.cli.summary import facts, shortened, target_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 10
"""Layers or warnings that are listed; the report holds all."""


def build_summary(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    """What built what, its errors or the read-back, warnings, notices."""
    yield facts(_rows(report))
    for error in report["errors"]:
        yield Text(_error_line(error), style="bold red")
    if report["engine"] is not None:
        yield from _precision_lines(report["precision"])
        yield from _read_back_lines(report["read_back"])
    yield from _some([f"warning: {text}" for text in report["warnings"]], "warnings", "dim")
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    if report["engine"] is None:
        yield Text("\nno engine was built; nothing was written", style="bold red")
    else:
        yield Text(f"\nwrote {report['engine']['path']} and {report['engine']['sidecar']}")


def _rows(report: Mapping[str, Any]) -> dict[str, str]:
    names = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
    tensorrt = report["tensorrt"]
    program = " (trtexec)" if report["using"] == "trtexec" else ""
    rows = {
        "model": report["onnx"]["path"],
        "target": target_line(report["target"]),
        "builder": f"{names[tensorrt['package']]} {tensorrt['version']}{program}",
        "device": _device_text(report),
        "precision": str(report["precision"]["is"]),
    }
    if report["engine"] is not None:
        size = report["engine"]["bytes"] / 1e6
        rows["engine"] = f"{size:.2f} MB, built in {report['build_s']:.1f} s"
    return rows


def _device_text(report: Mapping[str, Any]) -> str:
    device = report["device"]
    capabilities = report["options"]["compute_capabilities"]
    if report["tensorrt"]["package"] == "tensorrt_rtx":
        wanted = ", ".join(capabilities) if capabilities else "all that it knows"
        return f"for compute capability {wanted}"
    if device is None:
        return "unknown"
    return f"{device['name']}, compute capability {device['compute_capability']}"


def _error_line(error: Mapping[str, str]) -> str:
    reason = shortened(error["reason"])
    if not (error["node"] or error["op"]):
        return f"{error['stage']}: {reason}"
    code = f" ({error['code']})" if error["code"] else ""
    return f"{error['stage']}: {error['op']} {shortened(error['node'])!r}: {reason}{code}"


def _precision_lines(section: Mapping[str, Any]) -> Iterable[Text]:
    if "form" in section:  # it was lowered here, and not the file's own
        yield from precision_lines({"precision": section})
        yield Text()
    if section.get("passed") is False:
        yield Text(
            f"FAILED: in {section['is']} the model is too far from its float32 self",
            style="bold red",
        )


def _read_back_lines(read_back: Mapping[str, Any]) -> Iterable[Text]:
    if not read_back["verified"]:
        yield Text(f"read back: {read_back['why']}", style="yellow")
    else:
        share = read_back["fp16_share"]
        fp16 = "" if share is None else f", {share:.0%} of the MACs in fp16"
        yield Text(
            f"read back: {read_back['compared']} of {read_back['layers']} layers compared{fp16}: "
            f"{'as asked' if read_back['passed'] else 'DOWNGRADED'}",
            style="green" if read_back["passed"] else "bold red",
        )
    for downgrade in read_back["downgrades"]:
        layer = downgrade["layer"] or "the engine"
        yield Text(
            f"  {layer}: asked for {downgrade['asked']}, got {downgrade['got']}: "
            f"{downgrade['reason']}",
            style="bold red",
        )
    yield from _some(
        [f"in fp32: {name}" for name in read_back["fp32_layers"]], "layers in fp32", ""
    )
    gpu = [f"on the GPU: {name}" for name in read_back["gpu_layers"]]
    yield from _some(gpu, "layers on the GPU", "")


def _some(lines: list[str], what: str, style: str) -> Iterable[Text]:
    for line in lines[:_SHOWN]:
        yield Text(f"  {shortened(line)}", style=style)
    if len(lines) > _SHOWN:
        yield Text(f"  and {len(lines) - _SHOWN} more {what}: see --format json", style=style)

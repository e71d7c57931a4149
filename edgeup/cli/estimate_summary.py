"""An estimate as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeup.cli.cut_names import first_of_each
from edgeup.cli.summary import facts, written_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_LABEL = 17
_NUMBERS = ("MMACs", "MB", "bound\nus", "est.\nus", "share", "binds")


def estimate_summary(
    report: Mapping[str, Any], written: Iterable[Path]
) -> Iterable[RenderableType]:
    """Where, the total and its parts, the layers that cost most, what is not measured; files."""
    gpu, total = report["gpu"], report["total"]
    yield Text("estimate, from shapes alone: nothing was run", style="bold yellow")
    yield facts(
        {
            "model": f"{report['model']['path']}, {_inputs(report['model']['inputs'])}",
            "board": _board(gpu),
            "peaks": f"{gpu['gmacs_per_s']:.0f} GMAC/s ({gpu['depthwise_gmacs_per_s']:.0f} "
            f"depthwise), {gpu['gbytes_per_s']:.1f} GB/s",
            "work": f"{total['layers']} layers, {total['macs'] / 1e9:.3f} GMACs, "
            f"{total['bytes'] / 1e6:.1f} MB moved",
        }
    )
    yield Text.assemble(
        ("\nestimate: ", "bold"),
        (f"{total['estimate_ms']:.2f} ms", "bold"),
        f" = {total['compute_ms']:.2f} compute + {total['memory_ms']:.2f} memory "
        f"+ {total['launch_ms']:.2f} launch\n"
        f"no implementation takes less than {total['bound_ms']:.2f} ms "
        f"(roofline at the peaks, layer by layer)",
    )
    yield Text("\nlayers that cost most", style="bold")
    costly = [report["layers"][index] for index in report["costliest"]]
    yield Padding(_layers(costly), (0, 0, 0, 2))
    yield Text("\nby kind", style="bold")
    yield Padding(_kinds(report["layers"]), (0, 0, 0, 2))
    yield Text()
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    yield from written_line(written)


def _inputs(inputs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join("x".join(map(str, spec["shape"])) for spec in inputs)


def _board(gpu: Mapping[str, Any]) -> str:
    clock = f", {gpu['gpu_mhz']:g} MHz" if gpu["gpu_mhz"] is not None else ""
    return (
        f"{gpu['title']}, power mode {gpu['power_mode']}: {gpu['sms']} SMs{clock}, "
        f"{gpu['precision']}"
    )


def _layers(layers: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("layer", "kind", *_NUMBERS)
    for label, layer in zip(_labels(layers), layers, strict=True):
        table.add_row(
            label,
            layer["kind"],
            f"{layer['macs'] / 1e6:.1f}",
            f"{layer['bytes'] / 1e6:.2f}",
            f"{layer['bound_us']:.0f}",
            f"{layer['estimate_us']:.0f}",
            f"{layer['share']:.0%}",
            layer["binds"],
        )
    return table


def _labels(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of the names tells layers apart, and how many nodes are fused with each."""
    fused = [len(layer["operators"]) - 1 for layer in layers]
    return first_of_each([layer["name"] for layer in layers], fused, _LABEL)


def _kinds(layers: Sequence[Mapping[str, Any]]) -> Table:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for layer in layers:
        groups[layer["kind"]].append(layer)
    table = _table("kind", "layers", "GMACs", "estimate\nus", "share", "efficiency")
    for kind, group in sorted(groups.items(), key=lambda item: -_sum(item[1], "estimate_us")):
        table.add_row(
            kind,
            str(len(group)),
            f"{_sum(group, 'macs') / 1e9:.3f}",
            f"{_sum(group, 'estimate_us'):.0f}",
            f"{_sum(group, 'share'):.0%}",
            "measured on TX2" if group[0]["kind_measured"] else "assumed",
        )
    return table


def _sum(layers: Iterable[Mapping[str, Any]], key: str) -> float:
    return float(sum(layer[key] for layer in layers))


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in headings:
        left = heading in ("layer", "kind", "binds", "efficiency")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table

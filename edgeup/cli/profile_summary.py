"""A profile as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeup.cli.cut_names import first_of_each
from edgeup.cli.summary import facts
from edgeup.pipeline.baseline import share_text
from edgeup.pipeline.quantities import QUANTITIES

if TYPE_CHECKING:
    from rich.console import RenderableType

_LABEL = 40
_COSTLIEST = 12
_PARTS = {"h2d": "copy in", "compute": "network", "d2h": "copy out", "enqueue": "enqueue"}


def profile_summary(report: Mapping[str, Any], files: Sequence[Path]) -> Iterable[RenderableType]:
    """Model and setting, the latency and its parts, layers, the comparison, gates."""
    latency = report["latency"]
    yield facts(_head(report))
    yield Text("\nlatency", style="bold")
    yield Padding(_latency(latency), (0, 0, 0, 2))
    if latency["parts"] is not None:
        yield Padding(_parts(latency["parts"]), (0, 0, 0, 2))
    if report["versus"] is not None:
        yield from _versus(report)
    if report["layers"] is not None:
        yield from _layers(report["layers"])
    yield from _power(report)
    if report["notices"]:
        yield Text()
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    yield from _baseline(report["baseline"])
    yield from _gates(report)
    if files:
        yield Text(f"\nwrote {', '.join(map(str, files))}")


def _head(report: Mapping[str, Any]) -> dict[str, str]:
    model, setting, latency = report["model"], report["setting"], report["latency"]
    inputs = ", ".join(
        f"{spec['name']} {'x'.join(map(str, spec['shape']))}" for spec in model["inputs"]
    )
    rows = {
        "model": f"{model['path']}, {model['bytes'] / 1e6:.2f} MB",
        "input": inputs or "none",
        "runs on": f"{setting['device']}, {_how(setting)}",
    }
    if report["board"] is not None and report["board"]["jetson"] is not None:
        rows["board"] = _board(report["board"])
    warmup = report["warmup"]
    if warmup is not None:
        state = "" if warmup["settled"] else ", not settled"
        rows["measured"] = (
            f"{latency['iterations']} inferences after {warmup['runs']} runs of warm-up "
            f"({warmup['seconds']:.2f} s{state})"
        )
    if report["memory"] is not None:
        used = report["memory"]
        rows["memory"] = (
            f"{used['peak_bytes'] / 1e6:.0f} MB peak of the process, "
            f"{used['added_bytes'] / 1e6:.0f} MB by the model"
        )
    device = report["device_memory"]
    rows["GPU memory"] = (
        _device_memory(device) if device["measured"] else f"not measured: {device['reason']}"
    )
    if report["overhead"] is not None:
        rows["overhead"] = f"an empty model takes {_ms(report['overhead']['empty_model_ms'])}"
    return rows


def _device_memory(used: Mapping[str, Any]) -> str:
    weights = used["weights_bytes"]
    parts = [
        f"activations {used['activations_bytes'] / 1e6:.1f} MB",
        "weights not told" if weights is None else f"weights {weights / 1e6:.1f} MB",
        f"inputs and outputs {used['buffers_bytes'] / 1e6:.1f} MB",
    ]
    shared = ", shared with the CPU" if used["shared_with_cpu"] else ""
    return f"{used['taken_bytes'] / 1e6:.0f} MB taken{shared}: {', '.join(parts)}"


def _how(setting: Mapping[str, Any]) -> str:
    words = [str(setting["backend"])]
    if "threads" in setting:
        words.append(f"{setting['threads']} thread{'s' if setting['threads'] != 1 else ''}")
    if "streams" in setting:
        words.append(f"{setting['streams']} stream{'s' if setting['streams'] != 1 else ''}")
        words.append("with copies" if setting["data_transfers"] else "without copies")
        words += ["CUDA graph"] if setting["cuda_graph"] else []
    return ", ".join(words)


def _latency(latency: Mapping[str, Any]) -> Text:
    percents = "   ".join(f"{name} {_ms(ms)}" for name, ms in latency["percentiles_ms"].items())
    rate = latency["throughput_per_s"]
    return Text.assemble(
        ("median ", ""),
        (_ms(latency["median_ms"]), "bold"),
        f"   ({_within(latency)})\n",
        f"{percents}\n",
        f"min {_ms(latency['min_ms'])}   mean {_ms(latency['mean_ms'])}   "
        f"max {_ms(latency['max_ms'])}   std {_ms(latency['std_ms'])}   cv {latency['cv']:.1%}",
        f"\n{rate:,.1f} inferences per second" if rate is not None else "",
    )


def _within(latency: Mapping[str, Any]) -> str:
    interval = latency["median_interval"]
    if interval is None:
        return f"no interval: {latency['no_interval']}"
    low, high = _ms(interval["low_ms"]), _ms(interval["high_ms"])
    return f"{interval['confidence']:.0%} within {low} to {high}"


def _parts(parts: Mapping[str, Any]) -> Table:
    table = _table("part", "median", "mean", "max")
    for name, words in _PARTS.items():
        one = parts[name]
        table.add_row(words, *(_ms(one[key]) for key in ("median_ms", "mean_ms", "max_ms")))
    return table


def _versus(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    versus = report["versus"]
    found = versus["ratio"]
    yield Text(f"\nin turns with {versus['model']['path']}", style="bold")
    yield Text(
        f"  median {_ms(versus['latency']['median_ms'])} there; {found['rounds']} rounds, both "
        f"loaded anew {found['loads']} times\n"
        f"  ratio of {found['of']} {found['median']:.3f} ({found['confidence']:.0%} within "
        f"{found['low']:.3f} to {found['high']:.3f})"
    )
    yield Text("  each found the caches as the other left them: not the ratio of times alone")
    style = {"slower": "bold red", "faster": "bold green"}.get(versus["verdict"], "bold")
    yield Text(f"  {versus['words']}", style=style)


def _layers(layers: Mapping[str, Any]) -> Iterable[RenderableType]:
    if layers["stages"]:
        yield Text("\nby stage", style="bold")
        table = _table("stage", "layers", "MMACs", "mean", "share")
        for stage in layers["stages"]:
            table.add_row(
                stage["name"],
                str(stage["layers"]),
                f"{stage['macs'] / 1e6:.1f}",
                _ms(stage["mean_ms"]),
                f"{stage['share']:.1%}",
            )
        if (rest := layers.get("unstaged")) is not None:
            values = (str(rest["layers"]), "", _ms(rest["mean_ms"]), f"{rest['share']:.1%}")
            table.add_row("(no stage)", *values)
        yield Padding(table, (0, 0, 0, 2))
    rows = sorted(layers["rows"], key=lambda row: -row["mean_ms"])
    more = f", the {_COSTLIEST} longest of {len(rows)}" if len(rows) > _COSTLIEST else ""
    yield Text(f"\nlayers by {layers['source']}, {layers['runs']} runs{more}", style="bold")
    table = _table("layer", "stage", "mean", "share")
    shown = rows[:_COSTLIEST]
    for row, label in zip(shown, _labels(shown), strict=True):
        stage = "" if row["stage"] is None else layers["stages"][row["stage"]]["name"]
        table.add_row(label, stage, _ms(row["mean_ms"]), f"{row['share']:.1%}")
    yield Padding(table, (0, 0, 0, 2))


def _labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first node of each, which tells layers apart, and how many are fused with it."""
    nodes = [row["nodes"] or [row["name"]] for row in rows]
    return first_of_each([names[0] for names in nodes], [len(names) - 1 for names in nodes], _LABEL)


def _board(board: Mapping[str, Any]) -> str:
    """The Jetson, its power mode, and whether its clocks stood still."""
    jetson, locked = board["jetson"], board["clocks_locked"]
    words = [
        jetson["board"],
        f"JetPack {jetson['jetpack'] or 'unknown'}",
        f"mode {jetson['power_mode'] or 'unknown'}",
        "clocks locked" if locked else "clocks not locked" if locked is False else "clocks unknown",
    ]
    hottest = board["during"]["hottest_c"].values()
    return ", ".join([*words, *([f"{max(hottest):.0f} °C at most"] if hottest else [])])


def _power(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    power = report["power"]
    if power is None:
        return
    if not power["measured"]:
        yield Text(f"\npower: not measured: {power['reason']}")
        return
    energy = power["energy_per_inference_mj"]
    above = f"{energy:.2f} mJ per inference above idle" if energy > 0 else "no energy above idle"
    yield Text(
        f"\npower: {power['mean_mw'] / 1e3:.2f} W ({power['total']}), idle "
        f"{power['idle_mw'] / 1e3:.2f} W; {above}"
    )


def _baseline(held: Mapping[str, Any] | None) -> Iterable[RenderableType]:
    """Each figure that was held against a saved baseline."""
    if held is None:
        return
    yield Text(f"\nagainst {held['path']}, of {held['model']}", style="bold")
    table = _table("figure", "then", "now", "change", "allowed")
    for row in held["figures"]:
        unit = QUANTITIES[row["quantity"]].unit
        assert unit is not None  # noqa: S101 - a check has no figure
        change, most = row["change"], held["max_regression"]
        table.add_row(
            row["quantity"],
            unit.text(row["baseline"], beside=row["now"]),
            unit.text(row["now"], beside=row["baseline"]),
            share_text(change, most, "+"),
            share_text(most, change, "+"),
        )
    yield Padding(table, (0, 0, 0, 2))


def _gates(report: Mapping[str, Any]) -> Iterable[Text]:
    failed = report["gates"]["failures"]
    asked = bool(report["gates"]["conditions"]) or report["baseline"] is not None
    if not asked:
        return
    if failed:  # each is a line of its own on stderr, where no width breaks it
        limits = "a limit" if len(failed) == 1 else f"{len(failed)} limits"
        yield Text(f"\nFAILED: beyond {limits}", style="bold red")
    else:
        yield Text("\npassed: within all limits", style="green")


def _ms(value: float) -> str:
    """Three or more digits: ``12.34 ms``, ``0.123 ms``, ``4.56 us``."""
    if round(value, 6) < 0.1:
        return f"{value * 1e3:.2f} us"
    return f"{value:.3f} ms" if value < 10 else f"{value:.2f} ms"


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        left = heading in ("layer", "stage", "part", "figure")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table

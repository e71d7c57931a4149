"""The board that a profile ran on: mode, clocks, temperatures, throttling, power and energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, facts, join, table, tag

Section = Mapping[str, Any]


def board(report: Section) -> Markup:
    """Its state before, during and after the timed runs, and what speaks against the figures."""
    state = report["board"]
    return join(
        facts(_name(state["jetson"]) | _state(state)),
        *(tag("p", str(mark), class_="warn") for mark in state["marks"]),
        _clocks(state),
        _temperatures(state),
        facts(_load(state)),
    )


def _name(jetson: Section | None) -> dict[str, str]:
    if jetson is None:
        return {"board": "not a Jetson: its clocks, temperatures and power are not read"}
    return {
        "board": str(jetson["board"]),
        "JetPack": f"{jetson['jetpack'] or 'unknown'} (L4T {jetson['l4t'] or 'unknown'})",
        "power mode": str(jetson["power_mode"] or "unknown"),
    }


def _state(state: Section) -> dict[str, str]:
    locked = state["clocks_locked"]
    clocks = "locked" if locked else "NOT locked: they may move between runs"
    throttled = state["throttled"]
    return {
        "clocks": "whether they are locked cannot be read" if locked is None else clocks,
        "throttled": "whether it did cannot be read"
        if throttled is None
        else "; ".join(map(str, throttled)) or ("no" if state["jetson"] is not None else ""),
    }


def _clocks(state: Section) -> Markup | str:
    """A row per clock: what it may be, and what it was."""
    before, after = ({one["name"]: one for one in state[when]["clocks"]} for when in _ENDS)
    names = list(dict.fromkeys([*before, *state["during"]["clocks"], *after]))
    if not names:
        return ""
    rows = []
    for name in names:
        during = state["during"]["clocks"].get(name, {})
        known = before.get(name) or after.get(name) or {}
        rows.append(
            [
                name,
                _mhz(before.get(name, {}).get("mhz")),
                _range(during.get("low_mhz"), during.get("high_mhz")),
                _mhz(after.get(name, {}).get("mhz")),
                _range(known.get("min_mhz"), known.get("max_mhz")),
                _LOCKED[known.get("locked")],
            ]
        )
    headings = ["MHz", "before", "during", "after", "allowed", "locked"]
    return table(headings, rows, label="Clocks")


def _temperatures(state: Section) -> Markup | str:
    before, after = (state[when]["temperatures_c"] for when in _ENDS)
    hottest = state["during"]["hottest_c"]
    names = list(dict.fromkeys([*before, *hottest, *after]))
    if not names:
        return ""
    rows = [
        [name, *(_degrees(values.get(name)) for values in (before, hottest, after))]
        for name in names
    ]
    return table(["°C", "before", "hottest during", "after"], rows, label="Temperatures")


def _load(state: Section) -> dict[str, str]:
    """What else the machine did, as far as it tells."""
    gpu = state["during"]["gpu_load_percent"]
    loads = [state[when]["load_average"] for when in _ENDS]
    averages = [f"{load[0]:.2f} {when}" for load, when in zip(loads, _ENDS, strict=True) if load]
    cooling = [
        f"{name} {state['before']['cooling'].get(name, words.NONE)} to {after}"
        for name, after in state["after"]["cooling"].items()
        if after != state["before"]["cooling"].get(name)
    ]
    return {
        "GPU load during": "" if gpu is None else f"{gpu['low']:.0f} to {gpu['high']:.0f} %",
        "load average": ", ".join(averages),
        "cooling changed": ", ".join(cooling),
    }


_ENDS = ("before", "after")
_LOCKED = {True: "yes", False: "NO", None: "unknown"}


def _mhz(value: Any) -> str:
    return words.NONE if value is None else f"{value:.0f}"


def _range(low: Any, high: Any) -> str:
    if low is None or high is None:
        return words.NONE
    return _mhz(low) if low == high else f"{low:.0f}–{high:.0f}"


def _degrees(value: Any) -> str:
    return words.NONE if value is None else f"{value:.1f}"


def power(report: Section) -> Markup:
    """Power and energy; or why they were not measured."""
    found = report["power"]
    if not found["measured"]:
        return tag("p", f"Not measured: {found['reason']}.")
    rails = ", ".join(f"{name} {_watts(mw)}" for name, mw in found["rails_mw"].items())
    interval = found["sensor_interval_ms"]
    return facts(
        {
            "energy per inference": _energy(found),
            "power": f"{_watts(found['mean_mw'])}, {_watts(found['min_mw'])} to "
            f"{_watts(found['max_mw'])}",
            "idle": f"{_watts(found['idle_mw'])}, from {found['idle_samples']} samples",
            "of": str(found["total"]),
            "rails": rails,
            "measured by": f"{found['source']}, {words.count(found['samples'], 'sample')} in "
            f"{words.figures(found['seconds'])} s of {found['inferences']:,} inferences"
            + ("" if interval is None else f"; the sensor renews itself every {interval:g} ms"),
        }
    )


def _energy(power: Section) -> str:
    above, gross = power["energy_per_inference_mj"], power["gross_per_inference_mj"]
    said = f"{words.figures(above)} mJ above idle" if above > 0 else "none above idle"
    return f"{said}, {words.figures(gross)} mJ with it"


def _watts(milliwatts: float) -> str:
    return f"{words.figures(milliwatts / 1e3)} W"

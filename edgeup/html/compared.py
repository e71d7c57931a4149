"""The page of a comparison: its models side by side, Pareto plots, then each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.html import words
from edgeup.html.markup import tag
from edgeup.html.page import page, section
from edgeup.html.plain import plain
from edgeup.html.regression import Run, energy_mj
from edgeup.html.several import each, plots, runs_table
from edgeup.html.verdict import passed
from edgeup.pareto import rule

Report = Mapping[str, Any]

_OLD_MARKS = (
    "An older edgeup wrote this report: it marked as Pareto-efficient by the figures as they are, "
    "noise or not, and across input shapes."
)


def compare_page(report: Report) -> bytes:
    """A report of `edgeup compare`: its models, timed in turn."""
    shared = {key: report[key] for key in ("target", "environment")}
    runs = [Run(entry["name"], {**shared, **entry}) for entry in report["models"]]
    title = f"{report['network']}: {len(runs)} models compared"
    inputs = [words.shape(s["shape"]) for run in runs for s in run.report["model"]["inputs"]]
    shapes = ", ".join(dict.fromkeys(inputs))
    latencies = [entry["latency"] for entry in report["models"]]
    ran = dict.fromkeys(
        f"{one['backend']} on {one['device']}, {one['threads']} threads" for one in latencies
    )
    references = [entry["ratio"].get("to", report["reference"]) for entry in report["models"]]
    about = (
        f"Latency: {'; '.join(ran)}; {words.count(latencies[0]['iterations'], 'round')} in which "
        f"each ran once. It says nothing of another device. {words.ratios(references)}."
        f"{_about_costs(report['models'])}"
    )
    refused = [
        f"{one['name']} was refused by {one['backend']}: {one['reason']}."
        for one in report["refused"]
    ]
    failed = [*refused, *(_failure(entry) for entry in report["models"] if not passed(entry))]
    said = failed or [f"All {len(runs)} compute what PyTorch computes in fp32, within tolerance."]
    head = tag("strong", "FAILED" if failed else "Passed", class_="bad" if failed else "good")
    box = tag(
        "div", tag("p", head), *(tag("p", line) for line in said),
        class_="verdict failed" if failed else "verdict",
    )  # fmt: skip
    notices = tag("ul", [tag("li", str(notice)) for notice in report["notices"]])
    return page(
        title,
        tag("h1", title),
        tag("p", f"input {shapes} · for {report['target']['name']}", class_="soft"),
        box,
        section("runs", "Side by side", runs_table(runs), tag("p", about, class_="soft")),
        *plots(runs),
        *each(runs),
        section("notices", "Notices", notices),
        section("command", "Command", tag("pre", str(report["command"]))),
        section("environment", "Environment", plain(report["environment"])),
    )


def _failure(entry: Report) -> str:
    if all(output["passed"] for output in entry.get("parity", ())):
        return f"{entry['name']} did not pass, though its outputs are equal: see the notices."
    return f"{entry['name']} is not equal within tolerance."


def _about_costs(entries: Sequence[Report]) -> str:
    """What the marks of the table mean, and of what the energy is; nothing of older reports."""
    powers = [entry["power"] for entry in entries if "power" in entry]
    if not powers:
        return ""
    whole = all(energy_mj(entry) is not None for entry in entries)
    reasons = dict.fromkeys(power["reason"] for power in powers if not power["measured"])
    energy = (
        f"not measured: {'; '.join(reasons)}"
        if reasons
        else f"of an inference, each model alone, above idle; {powers[0]['total']}"
    )
    marks = rule(energy=whole) if all("to" in entry["ratio"] for entry in entries) else _OLD_MARKS
    return f" {marks} Energy: {energy}."

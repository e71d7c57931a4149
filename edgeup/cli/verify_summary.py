"""What `edgeup verify` found, as a person reads it in a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeup.cli.summary import facts, parity_table, verdicts
from edgeup.html.words import count, quality

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN_FILES = _SHOWN_NODES = 3


def verify_summary(report: Mapping[str, Any], written: Sequence[Path]) -> Iterable[RenderableType]:
    """Both sides, inputs, metrics, verdicts, and what explains a difference."""
    yield facts(
        {
            "reference": _side(report["reference"]),
            "candidate": _side(report["candidate"]),
            "inputs": _inputs(report["inputs"]),
        }
    )
    yield Text("\nthe candidate against the reference, by input", style="bold")
    yield Padding(parity_table(report["parity"]), (0, 0, 0, 2))
    for output in report["parity"]:
        yield Padding(facts({output["name"]: "\n".join(_details(output))}), (1, 0, 0, 2))
    yield Text()
    yield from verdicts(report["parity"])
    yield from _reasons(report)
    for output in report["parity"]:
        if output["task"] is not None or output["ground_truth"] is not None:
            yield Text(f"\n{report['task']} metrics of {output['name']}", style="bold")
            yield Padding(_task_table(output), (0, 0, 0, 2))
    yield from _causes(report)
    for notice in report["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    yield Text(
        "\npassed" if report["passed"] else "\nFAILED",
        style="bold green" if report["passed"] else "bold red",
    )
    if written:
        yield Text(f"wrote {' and '.join(map(str, written))}")


def _side(side: Mapping[str, Any]) -> str:
    more = [side["precision"], side.get("backend"), side.get("description")]
    return ", ".join([side.get("path") or side["name"], *(str(word) for word in more if word)])


def _inputs(inputs: Mapping[str, Any]) -> str:
    if inputs["source"] == "saved":
        return f"as saved: {', '.join(inputs['cases'])}"
    specs = ", ".join(
        f"{spec['name']} {'x'.join(map(str, spec['shape'])) or 'scalar'}"
        for spec in inputs["inputs"]
    )
    if inputs["source"] == "seeded":
        return f"{specs}\nseeded ({inputs['seed']}): {', '.join(inputs['kinds'])}"
    names = [Path(name).name for name in inputs["files"]]
    rest = len(names) - _SHOWN_FILES
    shown = ", ".join(names[:_SHOWN_FILES]) + (f" and {rest} more" if rest > 0 else "")
    prepared = f"\nprepared: {inputs['preprocess']}" if inputs["preprocess"] else ""
    return f"{specs}\n{shown}{prepared}"


def _details(output: Mapping[str, Any]) -> Iterator[str]:
    """Error percentiles, PSNR, and where the worst element lies."""
    if output["reason"]:
        yield output["reason"]
        return
    if output["max_abs"] is None:
        yield (
            "one side alone holds NaN or infinity: no figure for the error"
            if output["needed"]["atol"] is None
            else "nothing finite to compare"
        )
    else:
        yield from _percentiles(output)
    worst = output["worst"]
    if worst is not None:
        yield (
            f"worst by its tolerance in {worst['case']} at {worst['index']}: "
            f"{_value(worst['candidate'])}, reference {_value(worst['reference'])}"
        )
    if output["mismatches"]:
        yield f"{output['mismatches']:,} of {output['elements']:,} elements beyond the tolerance"


def _percentiles(output: Mapping[str, Any]) -> Iterator[str]:
    psnr = "" if output["psnr"] is None else f"; PSNR {output['psnr']:.1f} dB"
    where = " on the worst input" if len(output["cases"]) > 1 else ""
    yield f"mean |error| {_short(output['mean_abs'])}{psnr}{where}"
    shares = (("50", "p50_abs"), ("90", "p90_abs"), ("99", "p99_abs"), ("99.9", "p99_9_abs"))
    parts = [f"{percent} % <= {_short(output[key])}" for percent, key in shares]
    yield f"of the elements{where}, {', '.join(parts)}"


def _reasons(report: Mapping[str, Any]) -> Iterator[Text]:
    """Why an output failed that the verdict's numbers do not show."""
    for output in report["parity"]:
        if statistic := output["tolerance"].get("statistic"):
            yield Text(f"  {output['name']}: judged by the {statistic} of the errors")
        counts = output["not_finite"]
        strange = [
            f"{counts[side][kind]:,} {word} in the {side}"
            for side in ("reference", "candidate")
            for kind, word in (("nan", "NaN"), ("inf", "infinite"))
            if counts[side][kind]
        ]
        if strange:
            style = "bold red" if report["validate"] else "yellow"
            yield Text(f"  {output['name']}: {', '.join(strange)}", style=style)


def _task_table(output: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    task, truth = output["task"], output["ground_truth"]
    table.add_column("metric", no_wrap=True)
    if task is not None:
        table.add_column("candidate to reference,\nworst input", justify="right")
    for heading in ("reference to truth", "candidate to truth", "difference") if truth else ():
        table.add_column(f"{heading},\nmean of inputs", justify="right")
    names = [n for n in (task or truth["candidate"]) if n != "cases"]
    for name in names:
        cells = [] if task is None else [quality(task[name])]
        for side in ("reference", "candidate", "difference") if truth else ():
            cells.append(quality(truth[side][name]))
        table.add_row(name, *cells)
    return table


def _causes(report: Mapping[str, Any]) -> Iterator[Text]:
    causes = [(output["name"], one) for output in report["parity"] for one in output["diagnoses"]]
    if causes:
        yield Text("\nwhat explains the difference", style="bold")
    for name, one in causes:
        yield Text(
            f"  {name}: {one['words']} (undoing it: RMS error {_short(one['error_before'])} to "
            f"{_short(one['error_after'])} of the peak)"
        )
    bisect = report["bisect"] or {}
    for key, words in (
        ("first_difference", "first node that differs"),
        ("first_nonfinite", "first node that makes NaN or infinity"),
    ):
        if (node := bisect.get(key)) is not None:
            yield Text(f"\n{words}", style="bold")
            yield from _node(node, of_candidate=key == "first_nonfinite")
    if (kept := report["fp32_nodes"]) is not None:
        yield from _kept(kept)


def _node(node: Mapping[str, Any], *, of_candidate: bool) -> Iterator[Text]:
    """``of_candidate``: it is the candidate's node that is at fault, whatever stands there in the
    reference.
    """
    away = node["error_of_peak"]
    error = "not finite" if away is None else f"error {_short(away)} of the peak"
    where = f"{node['op']} {node['node']} (value {node['value']}): {error}"
    own = f"{node['candidate_op']} {node['candidate_node']}"
    if node["candidate_value"] != node["value"]:  # it began at a node that only the candidate has
        yield Text(f"  {own} (value {node['candidate_value']}), in the candidate alone")
        yield Text(f"  the first value behind it that both have is made by {where}")
    else:
        if len(node["among"]) > 1:
            yield Text(f"  one of these {len(node['among'])} nodes: {_shown(node['among'])}")
            where = f"the first value behind them that both have is made by {where}"
        if of_candidate and node["candidate_node"] != node["node"]:
            yield Text(f"  {own}, in the candidate")
            yield Text(f"  in the reference, its value is made by {where}")
        else:
            yield Text(f"  {where}")
            if node["candidate_node"] != node["node"]:
                yield Text(f"  in the candidate: {own}")
    if node["site"] is not None:
        yield Text(f"  rewritten by {node['site']['pass']}, form {node['site']['form']}")
    for words in node["unlike"]:
        yield Text(f"  the two nodes differ in {words}")
    for one in node["diagnoses"]:
        yield Text(f"  there: {one['words']}")
    held = f"{node['peak_bytes'] / 1e6:,.1f} MB held at most"
    yield Text(f"  found in {count(node['runs'], 'run')}, {held}")


def _shown(nodes: Sequence[str]) -> str:
    rest = len(nodes) - _SHOWN_NODES
    return ", ".join(nodes[:_SHOWN_NODES]) + (f" ... and {rest} more" if rest > 0 else "")


def _kept(kept: Mapping[str, Any]) -> Iterator[Text]:
    words = "" if kept["enough"] else ", and even then the tolerance is NOT reached"
    yield Text(
        f"\n{count(len(kept['nodes']), 'node')} must stay fp32 while the rest is in "
        f"{kept['precision']}, each result of it rounded{words}",
        style="bold",
    )
    for entry in kept["nodes"]:
        yield Text(f"  {entry['node']}: {entry['reason']}")
    if not kept["minimal"]:
        runs = count(kept["runs"], "run")
        yield Text(f"  not each was tried to be left out, after {runs}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"

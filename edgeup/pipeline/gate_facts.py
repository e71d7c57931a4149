"""What a verb's report says of the quantities of ``--fail-on`` (`edgeup.pipeline.gates.Facts`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.gates import Figure

if TYPE_CHECKING:
    from edgeup.runtime.task_metrics import Task

Found = dict[str, "float | Figure | str"]
"""Facts, to be joined with others."""

ERRORS = ("max_abs", "mean_abs", "max_rel", "rmse", "cosine", "psnr")

COMPARED = ("parity", *ERRORS)
"""What `edgeup verify` finds of any two sides: see `parity_facts`."""

EXPORTED = (
    *("parity", "precision", "size"),
    *("latency", "mean", "min", "std", "cv", "drift", "p90", "p95", "p99"),
)
"""What a report of `edgeup export` and `edgeup optimize` tells: see `report_facts`.

Not the errors: in fp16, what ran beside the float32 graph there may round less than a device does
(the report's ``precision``, ``means``).
"""

_LISTED = 3


def parity_facts(parity: Sequence[Mapping[str, Any]]) -> Found:
    """``parity``, and each error's worst value of any output.

    Args:
        parity: of a report of `edgeup verify`.
    """
    found: Found = {"parity": _beyond(parity)}
    for name in ERRORS:
        figures = [_figure(output, name) for output in parity]
        undefined = [figure for figure in figures if isinstance(figure, str) and figure]
        numbers = [figure for figure in figures if isinstance(figure, Figure)]
        if undefined or not numbers:
            found[name] = undefined[0] if undefined else ""
        else:
            worst = min if name in ("cosine", "psnr") else max
            found[name] = worst(numbers, key=lambda figure: figure.value)
    return found


def task_facts(parity: Sequence[Mapping[str, Any]], task: Task) -> Found:
    """Each metric of a task that any two sides do not have: its worst value of any output.

    Args:
        parity: of a report of `edgeup verify`; the candidate is held against the reference.
        task: whose metrics it has.
    """
    found: Found = {}
    for name in task_quantities(task):
        worst = min if name in task.best_is_largest else max
        values = {o["name"]: o["task"][name] for o in parity if o["task"] is not None}
        lacking = [output for output, value in values.items() if value is None]
        if lacking:
            found[name] = f"{name} of {lacking[0]} is not defined"
        elif values:
            output = worst(values, key=lambda one: float(values[one]))
            found[name] = Figure(values[output], output)
    return found


def task_quantities(task: Task) -> tuple[str, ...]:
    """What a task finds out besides `COMPARED`."""
    return tuple(name for name in task.metrics if name not in ERRORS)


def _beyond(parity: Sequence[Mapping[str, Any]]) -> str:
    failed = [output["name"] for output in parity if not output["passed"]]
    return f"{', '.join(failed)} beyond the tolerance" if failed else ""


def _lowered_parity(parity: Sequence[Mapping[str, Any]], section: Mapping[str, Any]) -> str:
    """Of a model in its precision; what rounding alone does to it counts as well."""
    if section.get("rounding", {}).get("passed") is False:
        return f"rounded to {section['asked']}, the outputs are beyond the tolerance"
    return _beyond(parity)


def _figure(output: Mapping[str, Any], name: str) -> Figure | str:
    """Its value and where it is; why it has none, "" where that is because nothing differs."""
    if output["reason"]:
        return f"{output['name']} could not be compared: {output['reason']}"
    for case in output["cases"]:
        if case["needed"]["atol"] is None:  # metrics leave it out
            return f"{output['name']} holds NaN or infinity where the other side does not"
    value = output[name]
    if value is None:
        # The PSNR of equal outputs is infinite, which JSON cannot say.
        equal = name == "psnr" and output["max_abs"] == 0
        return "" if equal else f"{name} of {output['name']} is not defined"
    kinds = [case["kind"] for case in output["cases"] if case[name] == value]
    return Figure(value, " on ".join([output["name"], *kinds[:1]]))


def report_facts(report: Mapping[str, Any]) -> Found:
    """Of `edgeup export` or `edgeup optimize`; a latency that was not measured is missing."""
    data = report["onnx"].get("data", {"bytes": 0})
    facts: Found = {"size": float(report["onnx"]["bytes"] + data["bytes"])}
    if report["parity"]:
        facts["parity"] = _lowered_parity(report["parity"], report.get("precision") or {})
    facts["precision"] = not_as_asked(report.get("precision"))
    latency = report["latency"]
    if "not_measured" in latency:
        return facts
    facts |= {"latency": latency["median_ms"], "cv": latency["cv"], "drift": abs(latency["drift"])}
    return facts | {
        name: latency[f"{name}_ms"] for name in ("mean", "min", "std", "p90", "p95", "p99")
    }


def build_facts(report: Mapping[str, Any]) -> Found:
    """Of `edgeup build`; without an engine, nothing is known of its size and its layers."""
    section, read_back = report["precision"], report["read_back"]
    facts: Found = {}
    if "parity" in section:
        facts["parity"] = _lowered_parity(section["parity"], section)
    if report["engine"] is None:
        return facts
    facts["size"] = float(report["engine"]["bytes"])
    kept = [entry["node"] for entry in section.get("kept", ())]
    facts["precision"] = engine_precision(read_back, str(section["is"]), kept)
    return facts


def engine_precision(read_back: Mapping[str, Any], asked: str, kept: Collection[str]) -> str:
    """Which layers of an engine are not in the precision that was asked for, or "".

    Args:
        read_back: as a report of `edgeup build` and a sidecar hold it.
        asked: the precision.
        kept: nodes that were left in float32 before the engine was built.
    """
    if not read_back["verified"]:
        return f"the layers were not compared: {read_back['why']}"
    less = [
        f"{one['layer'] or 'the engine'} is in {one['got']} where {one['asked']} was asked"
        for one in read_back["downgrades"]
        if one["asked"] != "DLA"  # a place, and no precision
    ]
    if less:
        return _listed(less, "; ")
    if read_back["fp32_layers"]:
        return f"{_listed(read_back['fp32_layers'])} in fp32 where {asked} was asked"
    return _kept_words(list(kept), asked)


def not_as_asked(section: Mapping[str, Any] | None) -> str:
    """Which nodes stay in float32; "" where float32 is what was asked."""
    if section is None:
        return ""
    return _kept_words([entry["node"] for entry in section["kept"]], section["asked"])


def _kept_words(kept: Sequence[str], asked: str) -> str:
    return f"{_listed(kept)} kept in fp32 where {asked} was asked" if kept else ""


def _listed(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return between.join(names[:_LISTED]) + more

"""The report's section on precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.precision.value_ranges import scan_weights

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.precision.plan import PrecisionPlan
    from edgeup.pipeline.precision.choice import Choice
    from edgeup.runtime.inputs import Case

MEANS = (
    "each result and weight rounded to 16 bits, sums in float32: what a device does that "
    "accumulates in float32. Fused layers round less often, accumulation in 16 bits more. ONNX "
    "Runtime's CPU kernels compute fp16 in float32, so the converted graph itself may round less "
    "here than on a GPU"
)


def precision_section(
    plan: PrecisionPlan,
    io: str,
    before: ir.Model,
    after: ir.Model,
    choice: Choice | None,
    cases: Sequence[Case],
) -> dict[str, Any]:
    """What was asked, what stays float32 and why, and what the format does to the values.

    Args:
        plan: how the model comes to its precision.
        io: precision of inputs and outputs.
        before: the float32 graph, as `edgeup.export.precision.convert.prepared` gives it.
        after: what is written.
        choice: None where nothing was measured.
        cases: what it was measured on.
    """
    from edgeup.export.precision.formats import find_format

    kept = _kept(plan, before, {} if choice is None else choice.losses)
    weights, lossy = scan_weights(
        before, find_format(plan.precision), frozenset(node for node, _ in plan.kept)
    )
    section: dict[str, Any] = {
        "asked": plan.precision,
        "io": io,
        "form": "converted graph" if plan.converted_graph else "float32 graph and layer list",
        "casts": _casts(after) - _casts(before),
        "kept": kept,
        "weights": asdict(weights),
        "findings": [finding.to_json() for finding in lossy],
        "measured_on": [case.kind for case in cases],
    }
    if choice is not None:
        section["findings"] += [finding.to_json() for finding in choice.findings]
        runs_here = plan.converted_graph and plan.precision == "fp16"
        section["compared"] = "converted graph" if runs_here else "rounding twin"
        section["rounding"] = {
            "max_of_peak": _number(choice.rounded.max_of_peak),
            "rms_of_peak": _number(choice.rounded.rms_of_peak),
            "passed": choice.enough,
            "runs": choice.runs,
            "means": MEANS,
        }
        if choice.largest is not None:
            probe, magnitude = choice.largest
            section["largest"] = {
                "node": probe.node,
                "value": probe.value,
                "magnitude": magnitude,
            }
    return section


def _kept(
    plan: PrecisionPlan, before: ir.Model, losses: Mapping[str, float]
) -> list[dict[str, Any]]:
    operators = {node.name: node.op_type for node in before.graph}
    return [
        {
            "node": node,
            "op": operators[node],
            "reason": reason,
            "error": _number(losses.get(node)),
        }
        for node, reason in plan.kept
    ]


def _casts(model: ir.Model) -> int:
    return sum(node.op_type == "Cast" for node in model.graph)


def _number(value: float | None) -> float | None:
    """JSON has no infinity."""
    return None if value is None or value == float("inf") else value

"""The form that each stage's sites got, from the report that lies beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeup.pipeline.report_beside import NoReport, read_beside


def forms_beside(model: Path, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``stages`` with the ``forms`` that `edgeup export` or `edgeup optimize` chose.

    They are taken from the report beside the model where that has the same stages; else
    ``no_forms`` says why there are none.

    Args:
        model: the ONNX file whose stages they are.
        stages: as in the report's ``layers``.
    """
    reported = read_beside(model, _stages)
    if isinstance(reported, NoReport):
        return {"no_forms": reported.reason}
    # Stages are the same where their sides are: sizes change with the input.
    if [side for side, _ in reported] != [stage["side"] for stage in stages]:
        return {"no_forms": "the report beside the model has other stages"}
    return {
        "stages": [
            {**stage, "forms": forms} for stage, (_, forms) in zip(stages, reported, strict=True)
        ]
    }


def _stages(report: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Sides, and forms of their sites."""
    return [
        (str(stage["side"]), [_form(entry) for entry in stage["forms"]])
        for stage in report["stages"]
    ]


def _form(entry: Mapping[str, Any]) -> dict[str, Any]:
    sites = entry["sites"]
    if type(sites) is not int or sites < 1:
        raise ValueError(f"no number of sites: {sites!r:.20}")
    return {"pass": str(entry["pass"]), "form": str(entry["form"]), "sites": sites}

"""The form that each stage's sites got, from the report that lies beside the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeup.files import sha256_of

_LARGEST = 64_000_000


def forms_beside(model: Path, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``stages`` with the ``forms`` that `edgeup export` or `edgeup optimize` chose.

    They are taken from report.json or MODEL.json where that is of this very file and has the same
    stages; else ``no_forms`` says why there are none.

    Args:
        model: the ONNX file whose stages they are.
        stages: as in the report's ``layers``.
    """
    found = [_report(path) for path in (model.with_name("report.json"), model.with_suffix(".json"))]
    reports = [report for report in found if report is not None]
    if not reports:
        return {"no_forms": f"no report of export or optimize lies beside {model.name}"}
    digest = sha256_of(model)
    for reported_digest, reported in reports:
        if reported_digest == digest:
            return _joined(reported, stages)
    return {"no_forms": f"the report beside {model.name} is of another file"}


_Stages = list[tuple[str, list[Any]]]


def _report(path: Path) -> tuple[str, _Stages] | None:
    """The file that it is of, sides and forms of its stages; None where it is no such report."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        document = json.loads(path.read_bytes())
        stages = [(str(stage["side"]), list(stage["forms"])) for stage in document["stages"]]
        return str(document["onnx"]["sha256"]), stages
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # anything may lie there


def _joined(reported: _Stages, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stages are the same where their sides are: sizes change with the input."""
    if [side for side, _ in reported] != [stage["side"] for stage in stages]:
        return {"no_forms": "the report beside the model has other stages"}
    return {
        "stages": [
            {**stage, "forms": forms} for stage, (_, forms) in zip(stages, reported, strict=True)
        ]
    }

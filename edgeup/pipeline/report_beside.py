"""The report that `edgeup export` and `edgeup optimize` leave beside a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgeup.files import sha256_of

_LARGEST = 64_000_000
"""Bytes; the reports of the largest networks take a hundredth of them."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class NoReport:
    """Why there is none."""

    reason: str


def read_beside(model: Path, read: Callable[[Mapping[str, Any]], _Read]) -> _Read | NoReport:
    """What ``read`` makes of report.json or MODEL.json, where that is of this very file.

    Anything may lie there under these names, so what does not fit is passed over.

    Args:
        model: the ONNX file.
        read: takes the report, and raises `ValueError`, `KeyError` or `TypeError` where it lacks
            what is wanted.
    """
    digest = sha256_of(model)
    reason = f"no report of export or optimize lies beside {model.name}"
    for path in (model.with_name("report.json"), model.with_suffix(".json")):
        try:
            if path.stat().st_size > _LARGEST:
                continue
            report = json.loads(path.read_bytes())
            if report["onnx"]["sha256"] == digest:
                return read(report)
            reason = f"the report beside {model.name} is of another file"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return NoReport(reason)

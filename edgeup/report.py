"""The report: one document per run, following the JSON Schema that ships with the package."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from edgeup.runtime.report_head import head


def schema() -> dict[str, Any]:
    """The JSON Schema of every report (draft 2020-12)."""
    text = (files("edgeup") / "data" / "report.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def compose(
    *,
    model: Mapping[str, Any],
    onnx: Mapping[str, Any],
    parity: Sequence[Mapping[str, Any]],
    latency: Mapping[str, Any],
    target: Mapping[str, Any],
    notices: Sequence[str],
    stages_s: Mapping[str, float],
    rewrites: Sequence[Mapping[str, Any]] = (),
    refusals: Sequence[Mapping[str, Any]] = (),
    acceptance: Sequence[Mapping[str, Any]] = (),
    passed: bool | None = None,
    tuning: Mapping[str, Any] | None = None,
    precision: Mapping[str, Any] | None = None,
    stages: Sequence[Mapping[str, Any]] = (),
    estimate: Mapping[str, Any] | None = None,
    worst_case: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Put the sections together, with the command and the environment of this process.

    Unless it is given, ``passed`` is true when every output passed its parity check, and there
    was one. What the target does not take as it is fails in any case.
    """
    return {
        **head(command_line(sys.argv[1:])),
        "passed": not acceptance
        and (
            bool(parity) and all(bool(output["passed"]) for output in parity)
            if passed is None
            else passed
        ),
        "model": dict(model),
        "onnx": dict(onnx),
        "rewrites": [dict(rewrite) for rewrite in rewrites],
        "refusals": [dict(refusal) for refusal in refusals],
        "acceptance": [dict(finding) for finding in acceptance],
        "parity": [dict(output) for output in parity],
        "latency": dict(latency),
        "target": dict(target),
        "notices": list(notices),
        "stages_s": dict(stages_s),
        "stages": [dict(stage) for stage in stages],
        **({} if estimate is None else {"estimate": dict(estimate)}),
        "worst_case": [dict(output) for output in worst_case],
        **({} if tuning is None else {"tuning": dict(tuning)}),
        **({} if precision is None else {"precision": dict(precision)}),
    }


def command_line(arguments: Sequence[str]) -> str:
    """The command as a shell takes it."""
    return shlex.join(["edgeup", *arguments])


def to_bytes(report: Mapping[str, Any]) -> bytes:
    """The report as it is written: UTF-8 JSON without NaN or Infinity."""
    return (json.dumps(report, indent=2, allow_nan=False) + "\n").encode()

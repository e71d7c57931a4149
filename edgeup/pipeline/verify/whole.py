"""A comparison and what follows from it: where the two part, what must stay float32."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.verified import Stage
from edgeup.pipeline.verify.nodes import (
    OnnxSide,
    check_bisectable,
    first_nodes,
    is_onnx,
    nodes_to_keep,
)
from edgeup.pipeline.verify.pair import VerifiedPair, VerifyRequest, verify
from edgeup.pipeline.verify.sides import FileSide, SideRequest
from edgeup.pipeline.verify.why_none import NotComparableError, why_none


def verify_whole(request: VerifyRequest, stage: Stage, stack: ExitStack) -> VerifiedPair:
    """Compare; look inside where that was asked for, and where NaN or infinity came out.

    Raises:
        EdgeupError: see `verify` and `edgeup.pipeline.verify.nodes`.
    """
    if request.bisect:
        check_bisectable("--bisect", request.reference, request.candidate)
    if request.fp32_nodes is not None:
        check_bisectable("--find-fp32-nodes", request.reference)
    done = verify(request, stage, stack)
    done = _with_first_nodes(request, done, stage)
    return done if request.fp32_nodes is None else _with_fp32_nodes(request, done, stage)


def _with_first_nodes(request: VerifyRequest, done: VerifiedPair, stage: Stage) -> VerifiedPair:
    reference, candidate = (
        _onnx_side(side, done.report[name])
        for side, name in ((request.reference, "reference"), (request.candidate, "candidate"))
    )
    suspects = done.suspects
    failed = suspects.failed_feeds is not None
    strange = suspects.strange_feeds is not None
    if candidate is None:
        return done
    if not (request.bisect or strange or (failed and candidate.rounded)):
        return done
    stage("looking for the first node that differs")
    try:
        found = first_nodes(
            reference, candidate, suspects, request.bisect_bytes, differing=request.bisect
        )
    except NotComparableError as error:
        return _noted(done, f"--bisect names no node: {error}")
    except EdgeupError as error:
        if request.bisect:
            raise
        return _noted(done, f"the first node that makes NaN or infinity was not found: {error}")
    if not (request.bisect or strange or found["first_nonfinite"]):
        return done
    if request.bisect and not done.report["passed"] and not any(found.values()):
        assert reference is not None  # noqa: S101 - check_bisectable looked
        reason = why_none(done.report["parity"], reference.path)
        done = _noted(done, f"--bisect names no node: {reason}")
    return replace(done, report={**done.report, "bisect": found})


def _noted(done: VerifiedPair, notice: str) -> VerifiedPair:
    return replace(done, report={**done.report, "notices": [*done.report["notices"], notice]})


def _onnx_side(side: SideRequest, facts: Mapping[str, Any]) -> OnnxSide | None:
    if not (isinstance(side, FileSide) and is_onnx(side)):
        return None
    return OnnxSide(side.path, rounded=facts.get("rounding") == "each-node")


def _with_fp32_nodes(request: VerifyRequest, done: VerifiedPair, stage: Stage) -> VerifiedPair:
    from edgeup.pipeline.precision.fp32_nodes import check_lowered

    assert isinstance(request.reference, FileSide)  # noqa: S101 - check_bisectable looked
    assert request.fp32_nodes is not None  # noqa: S101 - the caller looked
    precision = done.report["candidate"]["precision"]
    check_lowered(precision)
    found = nodes_to_keep(request.reference.path, precision, request.inputs, done.tolerances, stage)
    return replace(
        done,
        report={**done.report, "fp32_nodes": found.to_json()},
        files={**done.files, request.fp32_nodes: found.text().encode()},
    )

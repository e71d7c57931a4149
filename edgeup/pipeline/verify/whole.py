"""A comparison and what follows from it: where the two part, what must stay float32."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from edgeup.errors import EdgeupError
from edgeup.pipeline.verified import Stage
from edgeup.pipeline.verify.nodes import check_bisectable, first_nodes, is_onnx, nodes_to_keep
from edgeup.pipeline.verify.pair import VerifiedPair, VerifyRequest, verify
from edgeup.pipeline.verify.sides import FileSide


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
    reference, candidate = request.reference, request.candidate
    strange = done.suspects.strange_feeds is not None
    if not (isinstance(candidate, FileSide) and is_onnx(candidate) and (request.bisect or strange)):
        return done
    stage("looking for the first node that differs")
    try:
        found = first_nodes(
            reference.path if isinstance(reference, FileSide) and is_onnx(reference) else None,
            candidate.path,
            done.suspects,
            request.bisect_bytes,
            differing=request.bisect,
        )
    except EdgeupError as error:
        if request.bisect:
            raise
        notice = f"the first node that makes NaN or infinity was not found: {error}"
        return replace(done, report={**done.report, "notices": [*done.report["notices"], notice]})
    return replace(done, report={**done.report, "bisect": found})


def _with_fp32_nodes(request: VerifyRequest, done: VerifiedPair, stage: Stage) -> VerifiedPair:
    from edgeup.pipeline.precision.fp32_nodes import check_lowered

    assert isinstance(request.reference, FileSide)  # noqa: S101 - check_bisectable looked
    assert request.fp32_nodes is not None  # noqa: S101 - the caller looked
    precision = done.report["candidate"]["precision"]
    check_lowered(precision)
    found = nodes_to_keep(request.reference.path, precision, request.inputs, done.tolerance, stage)
    return replace(
        done,
        report={**done.report, "fp32_nodes": found.to_json()},
        files={**done.files, request.fp32_nodes: found.text().encode()},
    )

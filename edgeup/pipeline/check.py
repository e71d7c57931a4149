"""Would a target's TensorRT take a model? Rules, and where it is installed NVIDIA's own parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.verified import Stage, aim_at
from edgeup.runtime.report_head import head
from edgeup.spec import TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.capability.contract import Finding
    from edgeup.export.passes.contract import Aim

NOTICES: dict[tuple[int, int] | None, str] = {
    (10, 3): (
        "TensorRT 10.3 on Orin: two open reports of wrong depth that a later TensorRT gets right "
        "(ika-rwth-aachen/ros2-depth-anything-v3-trt#16, "
        "spacewalk01/depth-anything-tensorrt#49); no cause is known, so no rule sees it: compare "
        "the engine with the model on the board"
    )
}
"""What is known of a version and of no operator in it."""


@dataclass(frozen=True)
class CheckRequest:
    """How to check a file; ``static``: by rules alone; ``build``: ask NVIDIA's builder too.

    ``precision``: also ask which nodes stay float32 in it. ``command``: for the report, as a
    shell takes it.
    """

    target: Target
    shapes: tuple[TensorSpec, ...] = ()
    static: bool = False
    build: bool = False
    precision: str | None = None
    command: str = ""


@dataclass(frozen=True)
class Asked:
    """What NVIDIA's library said.

    Attributes:
        package: and ``version``: which one was asked.
        decides: whether it is the target's own, or only tells of another version.
        accepted: its verdict.
        stage: how far it was asked, or where it stopped: "parse" or "build".
        errors: node, op, code and text of each.
        disagreement: with the rules, in a sentence; None where there is none.
    """

    package: str
    version: str
    decides: bool
    accepted: bool
    stage: str
    errors: tuple[dict[str, Any], ...]
    disagreement: str | None


def check_file(path: Path, request: CheckRequest, stage: Stage) -> dict[str, Any]:
    """The report of `edgeup check`.

    Raises:
        EdgeupError: the file cannot be read, a shape does not fit, or ``build`` is asked for
            and cannot be done here.
    """
    from edgeup.export.capability.check import check_model, is_accepted, is_refused
    from edgeup.export.load import freeze_shapes, load_model

    _refuse_precision(request)
    stage(f"reading {path.name}")
    notices: list[str] = []
    model = load_model(path, notices.append)
    freeze_shapes(model, request.shapes)
    model = named(model)
    opset = model.opset_imports.get("", request.target.opset)
    aim = aim_at(request.target, opset)
    stage("asking the rules")
    try:
        findings = with_remedies(check_model(model, aim), model, aim)
        fallbacks = _fallbacks(model, request.target)
        in_float32 = _in_float32(model, request)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        _refuse_invalid(path, error)
        raise
    asked = None if request.static else _ask(model, request, findings, notices, stage)
    notices += _known_of(request.target, opset)
    decided = asked is None or not asked.decides or asked.accepted
    return {
        **head(request.command),
        "accepted": not is_refused(findings) and decided,
        "passed": is_accepted(findings) and decided,
        "model": {
            "path": path.name,
            "opset": opset,
            "nodes": sum(1 for _ in model.graph.all_nodes()),
        },
        "target": request.target.to_json(),
        "nodes": [finding.to_json() for finding in findings],
        "fallbacks": fallbacks,
        "precision": in_float32,
        "nvidia": None if asked is None else {**asdict(asked), "errors": list(asked.errors)},
        "notices": notices,
    }


def _refuse_invalid(path: Path, error: Exception) -> None:
    """A rule that fails on a node may have met one that ONNX itself forbids.

    Asked only then: the checker refuses some models that every runtime takes.

    Raises:
        EdgeupError: ONNX's own checker has something to say of the file.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as invalid:
        line = " ".join(str(invalid).split())[:200]
        raise EdgeupError(f"{path} breaks ONNX's own rules: {line}") from error


def named(model: ir.Model) -> ir.Model:
    """A copy, its own functions inlined, with a name of its own at every node."""
    from onnx_ir.passes.common import InlinePass

    from edgeup.export.optimize import name_nodes

    work = model.clone()
    if work.functions:
        work = InlinePass()(work).model
    name_nodes(work)
    return work


def with_remedies(findings: Sequence[Finding], model: ir.Model, aim: Aim) -> list[Finding]:
    """The findings; where a pass has something to say of the node, it is the remedy."""
    from edgeup.export.capability.contract import Verdict
    from edgeup.export.capability.remedies import remedies

    if all(finding.verdict is Verdict.WARNING for finding in findings):
        return list(findings)
    known = remedies(model, aim)
    return [
        replace(finding, remedy=known.get(finding.node, finding.remedy))
        if finding.verdict is not Verdict.WARNING
        else finding
        for finding in findings
    ]


def _ask(
    model: ir.Model,
    request: CheckRequest,
    findings: Sequence[Finding],
    notices: list[str],
    stage: Stage,
) -> Asked | None:
    from edgeup.export.serialize import to_bytes
    from edgeup.runtime.nvidia_parser import ask_nvidia

    package = package_for(request.target)
    if package is None:
        if request.build:
            raise EdgeupError(
                "--build needs the package tensorrt or tensorrt_rtx, and a target of TensorRT: "
                "pip install 'edgeup[rtx]', or leave --build out"
            )
        return None
    stage(f"asking {package}")
    try:
        verdict = ask_nvidia(to_bytes(model), build=request.build, package=package)
    except EdgeupError as error:
        if request.build:
            raise
        notices.append(f"NVIDIA's parser was not asked: {error}")
        return None
    refused = [finding for finding in findings if finding.verdict.value == "refused"]
    asked = Asked(
        package=verdict.package,
        version=verdict.version,
        decides=_decides(request.target, verdict.package, verdict.version),
        accepted=verdict.accepted,
        stage=verdict.stage,
        errors=tuple(asdict(error) for error in verdict.errors),
        disagreement=None,
    )
    return replace(asked, disagreement=_disagreement(asked, len(refused)))


def package_for(target: Target) -> str | None:
    """The package to ask about a target: its own, else another version's; None without any."""
    from edgeup.runtime.nvidia_parser import nvidia_packages

    if target.backend == "onnxruntime":
        return None
    found = nvidia_packages()
    own = "tensorrt_rtx" if target.backend == "tensorrt-rtx" else "tensorrt"
    return own if own in found else next(iter(found), None)


def _decides(target: Target, package: str, version: str) -> bool:
    if target.backend == "tensorrt-rtx":
        return package == "tensorrt_rtx"
    major_minor = ".".join(version.split(".")[:2])
    own = "" if target.version is None else ".".join(map(str, target.version))
    return package == "tensorrt" and major_minor == own


def _disagreement(asked: Asked, refused: int) -> str | None:
    """In a sentence, what one refuses and the other does not.

    A parser that takes what the rules refuse proves little: the builder may still stop at it.
    """
    if not asked.accepted and not refused:
        return f"the rules refuse nothing, and {asked.package} {asked.version} refuses the model"
    if asked.accepted and refused and asked.stage == "build":
        return (
            f"the rules refuse {refused} {'node' if refused == 1 else 'nodes'}, and "
            f"{asked.package} {asked.version} builds the model"
        )
    return None


def _known_of(target: Target, opset: int) -> list[str]:
    """What is to be said of the target as a whole."""
    if target.backend == "onnxruntime":
        return [f"target {target.name} is ONNX Runtime: it has no rules, and takes what it loads"]
    notices = []
    if opset > target.opset_max:
        notices.append(
            f"opset {opset} is newer than the {target.opset_max} that {target.name} documents; its "
            f"parser does not refuse that, so each operator was looked at by itself"
        )
    if target.version in NOTICES:
        notices.append(NOTICES[target.version])
    return notices


def _refuse_precision(request: CheckRequest) -> None:
    precision, target = request.precision, request.target
    if precision is not None and precision not in target.precisions:
        raise EdgeupError(
            f"{target.name} has no {precision}; it has {', '.join(target.precisions)}"
        )


def _in_float32(model: ir.Model, request: CheckRequest) -> dict[str, Any] | None:
    """What stays float32 in the precision that was asked about; None where none was."""
    from edgeup.export.capability.precision import find_float32

    precision, target = request.precision, request.target
    if precision in (None, "fp32") or target.backend == "onnxruntime":
        return None
    found = find_float32(model, target.version, precision)
    return {"asked": precision, "in_fp32": [fallback.to_json() for fallback in found]}


def _fallbacks(model: ir.Model, target: Target) -> list[dict[str, Any]]:
    """What a board's accelerators leave to its GPU; empty where it has none."""
    from edgeup.export.capability.dla import find_fallbacks

    dla = target.dla
    if dla is None or target.version is None:
        return []
    found = find_fallbacks(model, target.version, dla.generation)
    return [fallback.to_json() for fallback in found]

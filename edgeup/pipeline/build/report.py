"""What `edgeup build` reports, and what it writes beside the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.files import sha256_of
from edgeup.pipeline.build.place import Place
from edgeup.pipeline.build.wish import BuildWish, Prepared
from edgeup.runtime.engine.request import Built
from edgeup.runtime.report_head import head

if TYPE_CHECKING:
    from edgeup.runtime.engine.downgrade import ReadBack
    from edgeup.runtime.engine.sidecar import Sidecar


@dataclass(frozen=True)
class BuildResult:
    """The report, and the files to write; none where no engine came out."""

    report: dict[str, Any]
    files: dict[Path, bytes]


@dataclass(frozen=True)
class BuildFacts:
    """All that a report and a sidecar are written from."""

    path: Path
    output: Path
    content: bytes
    place: Place
    prepared: Prepared
    built: Built
    seconds: float
    read_back: ReadBack
    notices: list[str]


def build_result(facts: BuildFacts, wish: BuildWish) -> BuildResult:
    """The report, the engine and its sidecar."""
    from edgeup.runtime.engine.sidecar import sha256, sidecar_path

    built, model, place = facts.built, facts.prepared.model, facts.place
    engine = built.engine
    report: dict[str, Any] = {
        "kind": "build",
        **head(wish.command),
        "passed": engine is not None and facts.read_back.passed and model.passed,
        "onnx": {
            "path": str(facts.path),
            "sha256": sha256_of(facts.path),
            "built_sha256": sha256(facts.content),
        },
        "target": wish.target.to_json(),
        "using": place.using,
        "tensorrt": {"package": place.package, "version": built.tensorrt},
        "device": None if place.device is None else place.device.to_json(),
        "precision": dict(model.section),
        "options": facts.prepared.options.to_json(),
        "engine": None,
        "errors": [error.to_json() for error in built.errors],
        "read_back": facts.read_back.to_json(),
        "build_s": round(facts.seconds, 3),
        "warnings": list(built.warnings),
        "notices": _notices(facts, wish),
    }
    if engine is None:
        return BuildResult(report, {})
    beside = sidecar_path(facts.output)
    report["engine"] = {
        "path": str(facts.output),
        "sidecar": str(beside),
        "bytes": len(engine),
        "sha256": sha256(engine),
    }
    sidecar = _sidecar(report, model.precision)
    return BuildResult(report, {facts.output: engine, beside: sidecar.to_bytes()})


def _sidecar(report: dict[str, Any], precision: str) -> Sidecar:
    from edgeup.runtime.engine.sidecar import Sidecar

    device = report["device"] or {}
    return Sidecar(
        engine_sha256=report["engine"]["sha256"],
        onnx_sha256=report["onnx"]["sha256"],
        package=report["tensorrt"]["package"],
        version=report["tensorrt"]["version"],
        device=device.get("name"),
        compute_capability=device.get("compute_capability"),
        precision=precision,
        options=report["options"],
        more={
            "created": report["created"],
            "edgeup": report["environment"].get("edgeup"),
            "target": report["target"]["name"],
            "using": report["using"],
            "build_s": report["build_s"],
            "read_back": report["read_back"],
            "kept_fp32": [entry["node"] for entry in report["precision"].get("kept", ())],
        },
    )


def _notices(facts: BuildFacts, wish: BuildWish) -> list[str]:
    notices = [*facts.notices, *facts.prepared.model.notices, *facts.built.notes]
    if any(error.stage == "parser" for error in facts.built.errors):
        name, target = facts.path.name, wish.target.name
        notices.append(
            f"'edgeup check {name} --target {target}' says why a node is refused; 'edgeup "
            f"optimize {name} --target {target} -o OUT.onnx' rewrites what can be rewritten"
        )
    if facts.built.engine is None:
        return notices
    device = facts.place.device
    ampere = device is not None and float(device.compute_capability) >= 8.0
    if facts.prepared.options.tf32 and ampere and "fp32" in facts.prepared.model.precision:
        notices.append(
            "fp32 convolutions may be computed in TF32 (10 bits of mantissa), TensorRT's default; "
            "--no-tf32 forbids it"
        )
    return notices

"""TensorRT in a comparison: engines built here from the very ONNX files, and run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.compare.request import CompareRequest
from edgeup.pipeline.export import ProvenModel
from edgeup.pipeline.verified import Stage
from edgeup.targets import Target

NO_TF32 = (
    "engines in fp32 were built without TF32, which TensorRT uses by default where the GPU has it, "
    "and which rounds like fp16"
)
NO_COPIES = (
    "TensorRT's times are those of the network, without the copies to and from the GPU: "
    "`edgeup profile` of an engine measures these"
)


@dataclass(frozen=True)
class Engine:
    """A serialized engine; ``section`` is of the report's entry."""

    content: bytes
    section: dict[str, Any]
    passed: bool
    notices: tuple[str, ...]


class NoEngineError(EdgeupError):
    """TensorRT does not take one of the models; the others can still be compared."""


def check_engines(target: Target) -> None:
    """Refuse before any work where no engine for the target can be built and run.

    Raises:
        EdgeupError: no TensorRT that fits the target, no GPU, or no CUDA package.
    """
    from edgeup.pipeline.build.place import find_place, finders
    from edgeup.runtime.engine.bindings_cuda import open_cuda

    try:
        place = find_place(target, "tensorrt", finders())
        if place.device is None:
            raise EdgeupError(f"this machine has no NVIDIA GPU to run engines for {target.name} on")
        open_cuda()
    except EdgeupError as error:
        raise EdgeupError(f"--backend tensorrt: {error}; or leave tensorrt out") from error


def setting(request: CompareRequest) -> dict[str, Any]:
    """Of the report's ``latency``, as `edgeup profile` names it."""
    from edgeup.runtime.engine.device import find_device

    device = find_device(request.machine)
    rtx = request.target.backend == "tensorrt-rtx"
    return {
        "backend": "TensorRT for RTX" if rtx else "TensorRT",
        "device": "GPU" if device is None else f"GPU: {device.name}",
        "threads": 1,
    }


def build(name: str, proven: ProvenModel, request: CompareRequest, stage: Stage) -> Engine:
    """Build an engine as `edgeup build` does.

    Where types are weak, fp16 is a flag, and the nodes that stay fp32 are chosen anew, by the
    same measurement of the same file.

    Raises:
        NoEngineError: TensorRT does not take the model.
        EdgeupError: see `build_file`.
    """
    from edgeup.pipeline.build.engine import build_file
    from edgeup.pipeline.build.wish import BuildWish
    from edgeup.runtime.engine.request import BuildOptions

    target, precision = request.target, proven.request.precision
    by_flag = target.typing == "weak" and precision != "fp32"
    wish = BuildWish(
        target,
        BuildOptions(strongly_typed=target.has_strong_typing, tf32=False),
        precision=precision if by_flag else None,
        using="tensorrt",
        seed=request.seed,
    )
    with TemporaryDirectory(prefix="edgeup-") as folder:
        model, goal = Path(folder, "model.onnx"), Path(folder, "model.engine")
        model.write_bytes(proven.exported.content)
        result = build_file(model, goal, wish, stage)
    report = result.report
    if goal not in result.files:
        raise NoEngineError(f"no engine was built: {_reason(report['errors'])}")
    content = result.files[goal]
    assert isinstance(content, bytes)  # noqa: S101 - an engine is
    return Engine(
        content,
        {
            "bytes": len(content),
            "tensorrt": report["tensorrt"],
            "build_s": report["build_s"],
            "read_back": report["read_back"],
        },
        report["passed"],
        (
            *report["notices"],
            *(_downgraded(name, found) for found in report["read_back"]["downgrades"]),
            *([NO_TF32] if precision == "fp32" else []),
            NO_COPIES,
        ),
    )


def _reason(errors: list[dict[str, str]]) -> str:
    first = errors[0]
    node = " ".join(filter(None, (first["op"], first["node"])))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{f'{node}: ' if node else ''}{first['reason']}{more}"


def _downgraded(name: str, found: dict[str, str]) -> str:
    layer = found["layer"] or "the engine"
    return f"{name}: {layer} was asked for {found['asked']}, got {found['got']}: {found['reason']}"

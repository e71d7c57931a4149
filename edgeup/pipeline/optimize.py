"""Any ONNX file into an equal one that the target takes and that runs faster, and the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.sections import onnx_section, tensor_section
from edgeup.pipeline.verified import (
    Stage,
    Verified,
    aim_at,
    cases_for,
    optimize_verified,
    site_sections,
)
from edgeup.spec import TensorSpec
from edgeup.targets import OLDEST_OPSET, Target, ir_version_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


@dataclass(frozen=True)
class FileRequest:
    """How to optimize a file."""

    target: Target
    shapes: tuple[TensorSpec, ...] = ()
    threads: int | None = None
    verify: bool = True
    seed: int = 0
    tune: bool = False
    cache_folder: Path | None = None


@dataclass(frozen=True)
class OptimizedFile:
    """The bytes to write, and the report's sections about them."""

    content: bytes
    sections: dict[str, Any]


def optimize_file(path: Path, request: FileRequest, stage: Stage) -> OptimizedFile:
    """Read, rewrite, verify, time against the original.

    Raises:
        EdgeupError: the file cannot be read, its opset cannot be brought to what the target
            reads, or the comparison cannot be made.
    """
    from edgeup.export.load import freeze_shapes, load_model
    from edgeup.export.to_onnx import finish

    stage(f"reading {path.name}")
    model = load_model(path)
    freeze_shapes(model, request.shapes)
    notices: list[str] = []
    start = to_opset_of(request.target, model, notices.append)
    aim = aim_at(request.target, start.opset_imports.get("", request.target.opset))
    verified, tuning = _tuned_or_estimated(start, aim, model, request, stage)
    content, facts = finish(verified.optimized.model)
    stage("timing against the original")
    sections = {
        "model": _model_section(model, path),
        "onnx": onnx_section(content, facts, path.name),
        "parity": [output.to_json() for output in verified.parity],
        "latency": _latency_section(model, content, request),
        "target": request.target.to_json(),
        "notices": [*notices, *verified.notices],
        "stages_s": {},
        "passed": verified.passed,
        **site_sections(verified.optimized),
    }
    if tuning is not None:
        sections["tuning"] = tuning
    return OptimizedFile(content, sections)


def _tuned_or_estimated(
    start: ir.Model, aim: Aim, reference: ir.Model, request: FileRequest, stage: Stage
) -> tuple[Verified, dict[str, Any] | None]:
    """The verified model, and the report's ``tuning`` where forms were measured."""
    if not request.tune:
        from edgeup.export.passes.choose import static_choice
        from edgeup.export.passes.estimate import efficiency_for

        choose = static_choice(efficiency_for(aim))
        verified = optimize_verified(
            start,
            aim,
            choose,
            reference=reference,
            seed=request.seed,
            verify=request.verify,
            stage=stage,
        )
        return verified, None
    from edgeup.pipeline.tuning import tune_and_optimize

    tuned = tune_and_optimize(
        start,
        aim,
        threads=request.threads,
        cache_folder=request.cache_folder,
        reference=reference,
        seed=request.seed,
        verify=request.verify,
        stage=stage,
    )
    notices = (*tuned.verified.notices, *tuned.notices)
    return replace(tuned.verified, notices=notices), tuned.facts


def to_opset_of(target: Target, model: ir.Model, notice: Callable[[str], None]) -> ir.Model:
    """The model at an opset and IR version that the target reads; kept where it reads both.

    A model older than opset 13 is brought to 13 by onnx's own converter, since passes write
    operators of that age; where the converter cannot, it stays as it is.

    Raises:
        EdgeupError: a node cannot be expressed at the target's opset; the line names it.
    """
    from edgeup.export.opset import convert_opset

    opset = model.opset_imports.get("")
    if opset is None:
        return model
    if opset < OLDEST_OPSET:
        return _raised(model, notice)
    if opset <= target.opset_max and model.ir_version <= max(
        target.ir_version, ir_version_of(target.opset_max)
    ):
        return model
    wanted, ir_version = target.choose_opset(min(opset, target.opset))
    notice(f"opset {opset} became {wanted}, IR version {ir_version}: what {target.name} reads")
    return convert_opset(model, wanted, ir_version)


def _raised(model: ir.Model, notice: Callable[[str], None]) -> ir.Model:
    import onnx
    import onnx_ir as ir

    opset = model.opset_imports.get("")
    try:
        proto = onnx.version_converter.convert_version(ir.to_proto(model), OLDEST_OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own C++ types
        reason = " ".join(str(error).split())[:120]
        notice(f"opset {opset} stays: onnx's converter cannot raise it ({reason})")
        return model
    notice(f"opset {opset} became {OLDEST_OPSET}, by onnx's own converter")
    return ir.from_proto(proto)


def _model_section(model: ir.Model, path: Path) -> dict[str, Any]:
    from edgeup.export.cost import macs
    from edgeup.export.load import input_specs

    weights = [v.const_value for v in model.graph.initializers.values() if v.const_value]
    return {
        "name": path.stem,
        "description": f"{path.name}, opset {model.opset_imports.get('')}",
        "decoder": None,
        "parameters": sum(int(w.size) for w in weights if w.dtype.is_floating_point()),
        "macs": macs(model).total,
        "inputs": [tensor_section(spec) for spec in input_specs(model)],
        "weights": {"source": "file", "path": path.name},
    }


def _latency_section(model: ir.Model, content: bytes, request: FileRequest) -> dict[str, Any]:
    """Original and result, interleaved; on a CPU whatever the target is, and it says so."""
    from edgeup.export.serialize import to_bytes
    from edgeup.runtime.cpu import cpu_model, cpu_threads
    from edgeup.runtime.latency import ONNX_RUNTIME_CPU, Latency, measure_onnx, ratio

    case = next(cases_for(model, request.seed))
    models = {"original": to_bytes(model), "result": content}
    times = measure_onnx(models, case.feeds, threads=request.threads)
    latency = Latency.from_times(
        times["result"],
        backend=ONNX_RUNTIME_CPU,
        device=f"CPU: {cpu_model()}",
        threads=cpu_threads() if request.threads is None else request.threads,
    )
    gain = ratio(times["original"], times["result"])
    return {**latency.to_json(), "versus_original": asdict(gain)}

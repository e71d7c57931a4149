"""Any ONNX file into an equal one that the target takes and that runs faster, and the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.pipeline.acceptance import acceptance_notices, acceptance_section
from edgeup.pipeline.forms import Forms, optimize_with
from edgeup.pipeline.graph_sections import graph_sections, worst_case_section
from edgeup.pipeline.sections import onnx_section, tensor_section
from edgeup.pipeline.verified import Stage, aim_at, cases_for, site_sections
from edgeup.spec import TensorSpec
from edgeup.targets import OLDEST_OPSET, Target, ir_version_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.optimize import Optimized
    from edgeup.export.packed import Packed
    from edgeup.export.passes.contract import Site
    from edgeup.pipeline.precision.lower import Io, LoweredModel


@dataclass(frozen=True)
class FileRequest:
    """How to optimize a file, and where the result goes."""

    target: Target
    output: Path
    shapes: tuple[TensorSpec, ...] = ()
    verify: bool = True
    seed: int = 0
    forms: Forms = field(default_factory=Forms)
    precision: str = "fp32"
    io_precision: Io = "fp32"
    keep_fp32: frozenset[str] = frozenset()


def data_path(output: Path) -> Path:
    """Where the weights go that do not fit into the result's own file."""
    return output.with_name(f"{output.name}.data")


@dataclass(frozen=True)
class OptimizedFile:
    """What to write, and the report's sections about it."""

    packed: Packed
    sections: dict[str, Any]


def optimize_file(path: Path, request: FileRequest, stage: Stage) -> OptimizedFile:
    """Read, rewrite, verify, time against the original.

    Raises:
        EdgeupError: the file cannot be read, its opset cannot be brought to what the target
            reads, or the comparison cannot be made.
    """
    from edgeup.export.load import freeze_shapes, load_model
    from edgeup.export.optimize import name_nodes
    from edgeup.export.to_onnx import finish_files

    stage(f"reading {path.name}")
    notices: list[str] = [] if request.verify else ["not verified: --no-verify was given"]
    model = load_model(path, notices.append)
    notices += [
        f"--shape froze {frozen} in {request.output.name}"
        for frozen in freeze_shapes(model, request.shapes)
    ]
    name_nodes(model)  # as lists of nodes name them: before an opset step adds any
    start, early = to_opset_of(request.target, model, notices.append)
    aim = aim_at(request.target, start.opset_imports.get("", request.target.opset))
    verified, tuning = optimize_with(
        request.forms,
        start,
        aim,
        reference=model,
        seed=request.seed,
        verify=request.verify,
        stage=stage,
    )
    optimized = replace(verified.optimized, sites=(*early, *verified.optimized.sites))
    lowered = _lowered(optimized, model, request, stage)
    written = verified.optimized.model if lowered is None else lowered.model
    packed, facts = finish_files(written, data_path(request.output).name)
    acceptance = acceptance_section(written, request.target)
    notices += acceptance_notices(acceptance, request.target)
    sites = site_sections(optimized)
    precision = None if lowered is None else request.precision
    stage("timing against the original")
    sections = {
        "model": _model_section(model, path),
        "onnx": {
            **onnx_section(packed.content, facts, request.output.name),
            **_data_section(packed),
        },
        "parity": [output.to_json() for output in verified.parity],
        "latency": (
            {"not_measured": lowered.not_timed}
            if lowered is not None and lowered.not_timed
            else _latency_section(model, packed, request)
        ),
        "target": request.target.to_json(),
        "notices": [*notices, *verified.notices, *(() if lowered is None else lowered.notices)],
        "stages_s": {},
        "passed": verified.passed,
        "acceptance": acceptance,
        **sites,
        **graph_sections(packed.content, request.target, precision, sites["rewrites"]),
        "worst_case": worst_case_section(verified.parity if lowered is None else lowered.parity),
    }
    if tuning is not None:
        sections["tuning"] = tuning
    if lowered is not None:
        sections |= lowered.entries(verified.parity)
        sections["passed"] &= verified.passed
    return OptimizedFile(packed, sections)


def _lowered(
    optimized: Optimized, original: ir.Model, request: FileRequest, stage: Stage
) -> LoweredModel | None:
    """In the precision that was asked for, if another than float32 was."""
    from edgeup.pipeline.precision.kept_sites import lower_rewritten
    from edgeup.pipeline.precision.lower import PrecisionRequest

    if request.precision == "fp32":
        return None
    cases = list(cases_for(optimized.model, request.seed)) if request.verify else None
    asked = PrecisionRequest(
        request.precision, request.target, request.io_precision, request.keep_fp32
    )
    return lower_rewritten(optimized.model, original, optimized.sites, asked, cases, stage)


def to_opset_of(
    target: Target, model: ir.Model, notice: Callable[[str], None]
) -> tuple[ir.Model, tuple[Site, ...]]:
    """The model at an opset and IR version that the target reads; kept where it reads both.

    With it the sites that had to be rewritten on the way (`lowering`).

    A model older than opset 13 is brought to 13 by onnx's own converter, since passes write
    operators of that age; where the converter cannot, it stays as it is.

    Raises:
        EdgeupError: a node cannot be expressed at the target's opset; the line names it.
    """
    from edgeup.pipeline.lowering import lower

    opset = model.opset_imports.get("")
    if opset is None:
        return model, ()
    if opset < OLDEST_OPSET:
        return _raised(model, notice), ()
    if opset <= target.opset_max and model.ir_version <= max(
        target.ir_version, ir_version_of(target.opset_max)
    ):
        return model, ()
    wanted, ir_version = target.choose_opset(min(opset, target.opset))
    notice(f"opset {opset} became {wanted}, IR version {ir_version}: what {target.name} reads")
    lowered = lower(model, target, wanted, ir_version)
    return lowered.model, lowered.sites


def _raised(model: ir.Model, notice: Callable[[str], None]) -> ir.Model:
    import onnx
    import onnx_ir as ir

    from edgeup.export.serialize import SIZE_LIMIT, weight_bytes
    from edgeup.export.tensors import inside

    opset = model.opset_imports.get("")
    if (size := weight_bytes(model)) > SIZE_LIMIT:
        notice(f"opset {opset} stays: onnx's converter does not take {size:,} bytes of weights")
        return model
    try:
        # With its numbers inside: the converter would lose those that lie in other files.
        proto = onnx.version_converter.convert_version(ir.to_proto(inside(model)), OLDEST_OPSET)
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
        "weights": {"source": "file", "path": path.name, "sha256": sha256_of(path)},
    }


def _data_section(packed: Packed) -> dict[str, Any]:
    """The file of weights, where there is one."""
    if not packed.data_name:
        return {}
    data = {
        "path": packed.data_name,
        "bytes": packed.data_bytes,
        "sha256": packed.data_sha256(),
    }
    return {"data": data}


def _latency_section(model: ir.Model, packed: Packed, request: FileRequest) -> dict[str, Any]:
    """Original and result, interleaved; on a CPU whatever the target is, and it says so.

    A model that was not run to verify it need not run at all: then this says why.
    """
    from edgeup.export.packed import loadable
    from edgeup.runtime.cpu import cpu_model, cpu_threads
    from edgeup.runtime.latency import ONNX_RUNTIME_CPU, Latency, measure_onnx, ratio

    threads = request.forms.threads
    try:
        feeds = next(cases_for(model, request.seed, "to have it timed")).feeds
        with loadable(model) as original, packed.loadable() as result:
            models = {"original": original, "result": result}
            times = measure_onnx(models, feeds, threads=threads)
    except EdgeupError as error:
        if request.verify:
            raise
        return {"not_measured": str(error)}
    latency = Latency.from_times(
        times["result"],
        backend=ONNX_RUNTIME_CPU,
        device=f"CPU: {cpu_model()}",
        threads=cpu_threads() if threads is None else threads,
    )
    gain = ratio(times["original"], times["result"])
    return {**latency.to_json(), "versus_original": asdict(gain)}

"""From a PyTorch module to a proven ONNX file: export, parity, latency, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.acceptance import acceptance_notices, acceptance_section
from edgeup.pipeline.forms import Forms, optimize_with
from edgeup.pipeline.graph_sections import graph_sections, worst_case_section
from edgeup.pipeline.sections import onnx_section, tensor_section
from edgeup.pipeline.stored import metadata_of
from edgeup.pipeline.subject import Dynamic, Subject, example_arrays, open_dimensions
from edgeup.pipeline.verified import Stage, aim_at, site_sections
from edgeup.spec import Feeds, Outputs, TensorSpec, Tolerance
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.optimize import Optimized
    from edgeup.export.serialize import FileFacts
    from edgeup.export.to_onnx import Exported
    from edgeup.pipeline.precision.lower import Io, LoweredModel
    from edgeup.runtime.inputs import Case
    from edgeup.runtime.parity import OutputParity


@dataclass(frozen=True)
class ExportRequest:
    """How to export: where to, and what to leave open."""

    target: Target
    opset: int | None = None
    dynamic: Dynamic = field(default_factory=Dynamic)
    threads: int | None = None
    seed: int = 0
    forms: Forms = field(default_factory=Forms)
    precision: str = "fp32"
    io_precision: Io = "fp32"
    keep_fp32: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProvenModel:
    """An exported model that was compared with PyTorch; nothing is written yet.

    ``parity`` is of the float32 graph; ``lowered`` is what was made of it, where that was asked.
    """

    subject: Subject
    request: ExportRequest
    exported: Written
    parity: tuple[OutputParity, ...]
    stages_s: dict[str, float]
    lowered: LoweredModel | None = None


@dataclass(frozen=True)
class Written:
    """The bytes to deploy, what they say of themselves, and how the passes came to them."""

    content: bytes
    facts: FileFacts
    optimized: Optimized
    notices: tuple[str, ...]
    tuning: dict[str, Any] | None = None


def export_subject(subject: Subject, request: ExportRequest, stage: Stage) -> ProvenModel:
    """Export, rewrite for the target, compare with PyTorch on every kind of input.

    A rewritten graph that does not compute what PyTorch computes is taken back site by site.

    Raises:
        EdgeupError: the module cannot be exported for the target.
    """
    from edgeup.export.to_onnx import to_onnx
    from edgeup.export.torch_dims import DynamicDim

    stages_s: dict[str, float] = {}

    @contextmanager
    def timed(name: str, words: str) -> Iterator[None]:
        stage(words)
        began = time.perf_counter()
        yield
        stages_s[name] = round(time.perf_counter() - began, 3)

    opset, ir_version = request.target.choose_opset(request.opset)
    opened = open_dimensions(subject, request.dynamic)
    with timed("export", f"exporting {subject.name} to ONNX, opset {opset}"):
        exported = to_onnx(
            subject.module,
            opened.specs,
            output_names=subject.output_names,
            opset=opset,
            ir_version=ir_version,
            dynamic={name: DynamicDim(*dim) for name, dim in opened.dims.items()},
            metadata=metadata_of(subject),
            decoder=subject.decoder,
        )
    with timed("rewrite", f"rewriting for {request.target.name}"):
        written = _rewritten(exported, request, opset, stage, verify=False)
    sizes = (subject.inputs, opened.other_size)
    with timed("parity", "comparing ONNX Runtime with PyTorch"):
        parity = compare_with_pytorch(subject, written, sizes, request.seed)
    if not all(output.passed for output in parity) and written.optimized.rewritten:
        with timed("rollback", "looking for the rewrite that is not equal"):
            written = _rewritten(exported, request, opset, stage, verify=True)
            parity = compare_with_pytorch(subject, written, sizes, request.seed)
    proven = ProvenModel(subject, request, written, parity, stages_s)
    if request.precision == "fp32":
        return proven
    with timed("precision", f"converting to {request.precision}"):
        return _lowered(proven, exported.model, stage)


def _lowered(proven: ProvenModel, original: ir.Model, stage: Stage) -> ProvenModel:
    """In the precision that was asked for, compared with the float32 graph."""
    from edgeup.export.optimize import name_nodes
    from edgeup.export.to_onnx import finish
    from edgeup.pipeline.precision.kept_sites import lower_rewritten
    from edgeup.pipeline.precision.lower import PrecisionRequest
    from edgeup.runtime.inputs import test_inputs

    request, written = proven.request, proven.exported
    asked = PrecisionRequest(
        request.precision, request.target, request.io_precision, request.keep_fp32
    )
    cases = list(test_inputs(proven.subject.inputs, request.seed))
    name_nodes(original)
    optimized = written.optimized
    lowered = lower_rewritten(optimized.model, original, optimized.sites, asked, cases, stage)
    content, facts = finish(lowered.model)
    notices = (*written.notices, *lowered.notices)
    written = replace(written, content=content, facts=facts, notices=notices)
    return replace(proven, exported=written, lowered=lowered)


def report_sections(proven: ProvenModel, file_name: str) -> dict[str, Any]:
    """The sections of a report that are about the model; ``file_name`` lies beside it."""
    written, lowered = proven.exported, proven.lowered
    sites = site_sections(written.optimized)
    precision = None if lowered is None else proven.request.precision
    target = proven.request.target
    model = written.optimized.model if lowered is None else lowered.model
    acceptance = acceptance_section(model, target)
    return {
        "model": model_section(proven.subject),
        "onnx": onnx_section(written.content, written.facts, file_name),
        "parity": [output.to_json() for output in proven.parity],
        "target": target.to_json(),
        "acceptance": acceptance,
        "notices": [
            *proven.subject.notices,
            *written.notices,
            *acceptance_notices(acceptance, target),
        ],
        "stages_s": proven.stages_s,
        **sites,
        **graph_sections(written.content, target, precision, sites["rewrites"]),
        "worst_case": worst_case_section(proven.parity if lowered is None else lowered.parity),
        **({} if written.tuning is None else {"tuning": written.tuning}),
        **({} if lowered is None else lowered.entries(proven.parity)),
    }


def _rewritten(
    exported: Exported, request: ExportRequest, opset: int, stage: Stage, *, verify: bool
) -> Written:
    """Through the passes; verified, without the sites that change the exported graph's values."""
    from edgeup.export.to_onnx import finish

    aim = aim_at(request.target, opset)
    verified, tuning = optimize_with(
        request.forms, exported.model, aim, seed=request.seed, verify=verify, stage=stage
    )
    notices = (*exported.notices, *verified.notices)
    content, facts = exported.content, exported.facts
    if verified.optimized.rewritten:
        content, facts = finish(verified.optimized.model)
    return Written(content, facts, verified.optimized, notices, tuning)


def compare_with_pytorch(
    subject: Subject,
    exported: Written | Exported,
    sizes: Sequence[Sequence[TensorSpec]],
    seed: int,
) -> tuple[OutputParity, ...]:
    """PyTorch against ONNX Runtime, on every kind of input and at every size.

    ONNX Runtime's own optimisations are off: what is proven is the graph that is shipped.
    """
    from edgeup.runtime.cpu import cpu_threads
    from edgeup.runtime.inputs import test_inputs
    from edgeup.runtime.ort_session import OnnxRuntimeSession
    from edgeup.runtime.parity import FP32_TOLERANCE

    names = [output.name for output in exported.facts.outputs]
    cases = [case for specs in sizes if specs for case in test_inputs(specs, seed)]
    with OnnxRuntimeSession(
        exported.content, threads=max(1, cpu_threads() // 2), optimize=False
    ) as session:
        return against_pytorch(subject, names, session.run, cases, FP32_TOLERANCE, seed)


def against_pytorch(
    subject: Subject,
    names: Sequence[str],
    candidate: Callable[[Feeds], Outputs],
    cases: Iterable[Case],
    tolerance: Tolerance,
    seed: int,
) -> tuple[OutputParity, ...]:
    """The module in float32 against whatever runs what was made of it.

    Args:
        subject: the module.
        names: of its outputs, in its order.
        candidate: feeds to outputs.
        cases: the inputs.
        tolerance: how far the candidate may be off.
        seed: of the nearby inputs that tell how far rounding alone moves the module.
    """
    from edgeup.models.run import run_module
    from edgeup.runtime.inputs import nudged
    from edgeup.runtime.parity import run_parity

    def in_pytorch(feeds: Feeds) -> Outputs:
        outputs = run_module(subject.module, [feeds[spec.name] for spec in subject.inputs])
        return dict(zip(names, outputs, strict=True))

    def nearby(feeds: Feeds) -> Iterator[Outputs]:
        return (in_pytorch(nudged(feeds, seed + number)) for number in range(3))

    return tuple(run_parity(in_pytorch, candidate, cases, tolerance, nearby=nearby))


def time_proven(proven: ProvenModel, stage: Stage) -> dict[str, Any]:
    """The report's ``latency``, with ONNX Runtime on this CPU; notes the stage's wall time."""
    from edgeup.runtime.latency import time_onnx
    from edgeup.runtime.timer import Budget

    if proven.lowered is not None and proven.lowered.not_timed:
        return {"not_measured": proven.lowered.not_timed}
    stage("timing ONNX Runtime on this CPU")
    began = time.perf_counter()
    inputs, request = proven.subject.inputs, proven.request
    arrays = example_arrays(inputs, request.seed)
    feeds = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
    # One second: enough for a median; who compares latencies asks for more rounds elsewhere.
    budget = Budget(warmup_limit_s=0.5, duration_s=1.0, min_rounds=10)
    latency = time_onnx(proven.exported.content, feeds, threads=request.threads, budget=budget)
    proven.stages_s["latency"] = round(time.perf_counter() - began, 3)
    return latency.to_json()


def model_section(subject: Subject) -> dict[str, Any]:
    """The report's ``model``."""
    return {
        "name": subject.name,
        "description": subject.description,
        "inputs": [tensor_section(spec) for spec in subject.inputs],
        **subject.facts,
    }

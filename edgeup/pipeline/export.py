"""From a PyTorch module to a proven ONNX file: export, parity, latency, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.sections import onnx_section, tensor_section
from edgeup.pipeline.stored import metadata_of
from edgeup.pipeline.subject import Dynamic, Subject, example_arrays, open_dimensions
from edgeup.pipeline.verified import Stage, aim_at, optimize_verified, site_sections
from edgeup.spec import Feeds, Outputs, TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.export.optimize import Optimized
    from edgeup.export.serialize import FileFacts
    from edgeup.export.to_onnx import Exported
    from edgeup.runtime.latency import Latency
    from edgeup.runtime.parity import OutputParity


@dataclass(frozen=True)
class ExportRequest:
    """How to export: where to, and what to leave open."""

    target: Target
    opset: int | None = None
    dynamic: Dynamic = field(default_factory=Dynamic)
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class ProvenModel:
    """An exported model that was compared with PyTorch; nothing is written yet."""

    subject: Subject
    request: ExportRequest
    exported: Written
    parity: tuple[OutputParity, ...]
    stages_s: dict[str, float]


@dataclass(frozen=True)
class Written:
    """The bytes to deploy, what they say of themselves, and how the passes came to them."""

    content: bytes
    facts: FileFacts
    optimized: Optimized
    notices: tuple[str, ...]


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
        )
    with timed("rewrite", f"rewriting for {request.target.name}"):
        written = _rewritten(exported, request.target, opset)
    sizes = (subject.inputs, opened.other_size)
    with timed("parity", "comparing ONNX Runtime with PyTorch"):
        parity = compare_with_pytorch(subject, written, sizes, request.seed)
    if not all(output.passed for output in parity) and written.optimized.rewritten:
        with timed("rollback", "looking for the rewrite that is not equal"):
            written = _taken_back(exported, request, opset)
            parity = compare_with_pytorch(subject, written, sizes, request.seed)
    return ProvenModel(subject, request, written, parity, stages_s)


def report_sections(proven: ProvenModel, file_name: str) -> dict[str, Any]:
    """The sections of a report that are about the model; ``file_name`` lies beside it."""
    written = proven.exported
    return {
        "model": _model_section(proven.subject),
        "onnx": onnx_section(written.content, written.facts, file_name),
        "parity": [output.to_json() for output in proven.parity],
        "target": proven.request.target.to_json(),
        "notices": [*proven.subject.notices, *written.notices],
        "stages_s": proven.stages_s,
        **site_sections(written.optimized),
    }


def _rewritten(exported: Exported, target: Target, opset: int) -> Written:
    from edgeup.export.optimize import optimize
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.estimate import efficiency_for
    from edgeup.export.to_onnx import finish

    aim = aim_at(target, opset)
    optimized = optimize(exported.model, aim, static_choice(efficiency_for(aim)))
    if not optimized.rewritten:
        return Written(exported.content, exported.facts, optimized, exported.notices)
    content, facts = finish(optimized.model)
    return Written(content, facts, optimized, exported.notices)


def _taken_back(exported: Exported, request: ExportRequest, opset: int) -> Written:
    """Without the sites that change the values of the exported graph."""
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.estimate import efficiency_for
    from edgeup.export.to_onnx import finish

    aim = aim_at(request.target, opset)
    verified = optimize_verified(
        exported.model, aim, static_choice(efficiency_for(aim)), seed=request.seed
    )
    content, facts = finish(verified.optimized.model)
    notices = (*exported.notices, *verified.notices)
    return Written(content, facts, verified.optimized, notices)


def compare_with_pytorch(
    subject: Subject,
    exported: Written | Exported,
    sizes: Sequence[Sequence[TensorSpec]],
    seed: int,
) -> tuple[OutputParity, ...]:
    """PyTorch against ONNX Runtime, on every kind of input and at every size.

    ONNX Runtime's own optimisations are off: what is proven is the graph that is shipped.
    """
    from edgeup.models.run import run_module
    from edgeup.runtime.cpu import cpu_threads
    from edgeup.runtime.inputs import nudged, test_inputs
    from edgeup.runtime.ort_session import OnnxRuntimeSession
    from edgeup.runtime.parity import FP32_TOLERANCE, run_parity

    names = [output.name for output in exported.facts.outputs]

    def in_pytorch(feeds: Feeds) -> Outputs:
        outputs = run_module(subject.module, [feeds[spec.name] for spec in subject.inputs])
        return dict(zip(names, outputs, strict=True))

    def nearby(feeds: Feeds) -> Iterator[Outputs]:
        return (in_pytorch(nudged(feeds, seed + number)) for number in range(3))

    cases = [case for specs in sizes if specs for case in test_inputs(specs, seed)]
    with OnnxRuntimeSession(
        exported.content, threads=max(1, cpu_threads() // 2), optimize=False
    ) as session:
        parity = run_parity(in_pytorch, session.run, cases, FP32_TOLERANCE, nearby=nearby)
        return tuple(parity)


def time_proven(proven: ProvenModel, stage: Stage) -> Latency:
    """The model's latency with ONNX Runtime on this CPU; notes the stage's wall time."""
    from edgeup.runtime.latency import time_onnx
    from edgeup.runtime.timer import Budget

    stage("timing ONNX Runtime on this CPU")
    began = time.perf_counter()
    inputs, request = proven.subject.inputs, proven.request
    arrays = example_arrays(inputs, request.seed)
    feeds = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
    # One second: enough for a median; who compares latencies asks for more rounds elsewhere.
    budget = Budget(warmup_limit_s=0.5, duration_s=1.0, min_rounds=10)
    latency = time_onnx(proven.exported.content, feeds, threads=request.threads, budget=budget)
    proven.stages_s["latency"] = round(time.perf_counter() - began, 3)
    return latency


def _model_section(subject: Subject) -> dict[str, Any]:
    return {
        "name": subject.name,
        "description": subject.description,
        "inputs": [tensor_section(spec) for spec in subject.inputs],
        **subject.facts,
    }

"""From a PyTorch module to a proven ONNX file: export, parity, latency, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.sections import onnx_section, tensor_section
from edgeup.pipeline.stored import metadata_of
from edgeup.pipeline.subject import Dynamic, Subject, example_arrays, open_dimensions
from edgeup.spec import Feeds, Outputs, TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.export.to_onnx import Exported
    from edgeup.runtime.latency import Latency
    from edgeup.runtime.parity import OutputParity

Stage = Callable[[str], None]


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
    """An exported model with what was measured on it; nothing is written yet."""

    subject: Subject
    request: ExportRequest
    exported: Exported
    parity: tuple[OutputParity, ...]
    latency: Latency
    stages_s: dict[str, float]


def export_subject(subject: Subject, request: ExportRequest, stage: Stage) -> ProvenModel:
    """Export, then compare with PyTorch on every kind of input, then time.

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
    with timed("parity", "comparing ONNX Runtime with PyTorch"):
        parity = _compare(subject, exported, (subject.inputs, opened.other_size), request.seed)
    with timed("latency", "timing ONNX Runtime on this CPU"):
        latency = _time(exported, subject.inputs, request)
    return ProvenModel(subject, request, exported, parity, latency, stages_s)


def report_sections(proven: ProvenModel, file_name: str) -> dict[str, Any]:
    """The sections of a report that are about the model; ``file_name`` lies beside it."""
    return {
        "model": _model_section(proven.subject),
        "onnx": onnx_section(proven.exported.content, proven.exported.facts, file_name),
        "parity": [output.to_json() for output in proven.parity],
        "latency": proven.latency.to_json(),
        "target": proven.request.target.to_json(),
        "notices": [*proven.subject.notices, *proven.exported.notices],
        "stages_s": proven.stages_s,
    }


def _compare(
    subject: Subject,
    exported: Exported,
    sizes: Sequence[Sequence[TensorSpec]],
    seed: int,
) -> tuple[OutputParity, ...]:
    """PyTorch against ONNX Runtime, on every kind of input and at every size.

    ONNX Runtime's own optimisations are off: what is proven is the graph that is shipped.
    """
    from edgeup.models.run import run_module
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
    with OnnxRuntimeSession(exported.content, optimize=False) as session:
        parity = run_parity(in_pytorch, session.run, cases, FP32_TOLERANCE, nearby=nearby)
        return tuple(parity)


def _time(exported: Exported, inputs: Sequence[TensorSpec], request: ExportRequest) -> Latency:
    from edgeup.runtime.latency import time_onnx
    from edgeup.runtime.timer import Budget

    arrays = example_arrays(inputs, request.seed)
    feeds = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
    # One second: enough for a median; who compares latencies asks for more rounds elsewhere.
    budget = Budget(warmup_limit_s=1.0, duration_s=1.0, min_rounds=20)
    return time_onnx(exported.content, feeds, threads=request.threads, budget=budget)


def _model_section(subject: Subject) -> dict[str, Any]:
    return {
        "name": subject.name,
        "description": subject.description,
        "inputs": [tensor_section(spec) for spec in subject.inputs],
        **subject.facts,
    }

"""What runs the models of a comparison: each backend's outputs are proven, its runs are timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.error_of_peak import error_of_peak
from edgeup.pipeline.compare.request import CompareRequest, Entrant
from edgeup.pipeline.export import (
    ExportRequest,
    ProvenModel,
    against_pytorch,
    export_subject,
    model_section,
    report_sections,
)
from edgeup.pipeline.subject import Subject, example_arrays
from edgeup.pipeline.verified import Stage
from edgeup.spec import Feeds
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.runtime.sessions import Session

Work = Callable[[], object]

ROUNDS_LESS = (
    "the error of ONNX Runtime's fp16 is that of the numbers which it gives here: computing in "
    "float32, it rounds less than a GPU does"
)


@dataclass(frozen=True)
class Candidate:
    """A model on a backend, proven; what it needs to be timed stays in memory.

    Attributes:
        backend: one of `BACKENDS`.
        setting: of the report's ``latency``: backend, device, threads.
        sections: of the report's entry.
        waiting_bytes: of files whose sessions are still to be loaded.
        load: a context in which the run that is given can be timed.
        notices: what the user should know.
    """

    backend: str
    setting: dict[str, Any]
    sections: dict[str, Any]
    waiting_bytes: int
    load: Callable[[], AbstractContextManager[Work]]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """A model that a backend does not take, and why."""

    name: str
    backend: str
    reason: str


@dataclass(frozen=True)
class _Made:
    """A network in one precision, exported if a backend wants its ONNX file.

    ``sections`` is what a report says of the file.
    """

    name: str
    subject: Subject
    precision: str
    request: CompareRequest
    proven: ProvenModel | None
    sections: Mapping[str, Any]

    @property
    def feeds(self) -> Feeds:
        """What every timed run gets."""
        arrays = example_arrays(self.subject.inputs, self.request.seed)
        return {spec.name: array for spec, array in zip(self.subject.inputs, arrays, strict=True)}


def left_out(backend: str, precision: str, target: Target) -> str | None:
    """Why a backend runs no model in that precision; None where it does."""
    if precision != "fp32" and backend == "torch":
        return "torch runs the module as it is written, in fp32"
    if precision != "fp32" and backend == "onnxruntime" and target.typing == "weak":
        return f"{target.name} takes {precision} from flags, so the ONNX file stays fp32"
    return None


def candidates(
    entrant: Entrant, request: CompareRequest, stage: Stage
) -> tuple[dict[str, Candidate], tuple[Refusal, ...]]:
    """Build a network, export it, and prove it on each backend.

    Returns:
        By the rows' names what is to be timed, and which rows a backend refused: that one
        decoder of many has no engine says something of it, and is no reason to lose the rest.

    Raises:
        EdgeupError: it cannot be built or exported.
    """
    from edgeup.pipeline.compare.engine import NoEngineError

    stage("building the network")
    subject = entrant.make()
    proven = None
    if set(entrant.rows) != {"torch"}:
        export = ExportRequest(
            request.target,
            threads=request.threads,
            seed=request.seed,
            precision=entrant.precision,
        )
        proven = export_subject(subject, export, stage)
    sections = {} if proven is None else report_sections(proven, "")
    made = _Made(entrant.name, subject, entrant.precision, request, proven, sections)
    found: dict[str, Candidate] = {}
    refused: list[Refusal] = []
    for backend, name in entrant.rows.items():
        try:
            found[name] = _PROVE[backend](made, stage)
        except NoEngineError as error:
            refused.append(Refusal(name, backend, str(error)))
    return found, tuple(refused)


def _in_onnxruntime(made: _Made, stage: Stage) -> Candidate:
    from edgeup.runtime.latency import ONNX_RUNTIME_CPU
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    proven = _exported(made)
    # What is loaded later must not hold the module: the memory is for one at a time.
    content, threads, feeds = proven.exported.content, made.request.threads, made.feeds

    def session() -> OnnxRuntimeSession:
        return OnnxRuntimeSession(content, threads=threads, yield_cores=True)

    sections = _proven_sections(made, proven, session, stage)
    return Candidate(
        "onnxruntime",
        _on_cpu(ONNX_RUNTIME_CPU, threads),
        sections,
        len(content),
        lambda: _bound(session, feeds),
        (*made.sections["notices"], *([ROUNDS_LESS] if made.precision != "fp32" else [])),
    )


def _in_tensorrt(made: _Made, stage: Stage) -> Candidate:
    from edgeup.pipeline.compare.engine import build, setting
    from edgeup.runtime.engine.loaded import RunOptions
    from edgeup.runtime.engine.session import TensorRTSession

    proven = _exported(made)
    engine = build(made.name, proven, made.request, stage)
    options = RunOptions(rtx=made.request.target.backend == "tensorrt-rtx")
    name, feeds = made.name, made.feeds

    def session() -> TensorRTSession:
        return TensorRTSession(engine.content, label=name, options=options)

    sections = _proven_sections(made, proven, session, stage)
    return Candidate(
        "tensorrt",
        setting(made.request),
        {
            **sections,
            "passed": sections["passed"] and engine.passed,
            "engine": engine.section,
        },
        len(engine.content),
        lambda: _bound(session, feeds),
        (*made.sections["notices"], *engine.notices),
    )


def _in_torch(made: _Made, stage: Stage) -> Candidate:
    """The module itself: the reference of every parity, so that it has none of its own."""
    # What is run later must not hold the export: its file and graphs are as large as the module.
    subject, threads, feeds = made.subject, made.request.threads, made.feeds
    return Candidate(
        "torch",
        _on_cpu("PyTorch eager", threads),
        {
            "precision": made.precision,
            "passed": True,
            "model": model_section(subject),
            "error_of_peak": 0.0,
        },
        0,  # the module is in memory already
        lambda: _eager(subject, feeds, threads),
        subject.notices,
    )


_PROVE: Mapping[str, Callable[[_Made, Stage], Candidate]] = {
    "onnxruntime": _in_onnxruntime,
    "torch": _in_torch,
    "tensorrt": _in_tensorrt,
}


def _exported(made: _Made) -> ProvenModel:
    assert made.proven is not None  # noqa: S101 - see `candidates`
    return made.proven


def _on_cpu(backend: str, threads: int | None) -> dict[str, Any]:
    from edgeup.runtime.cpu import cpu_model, cpu_threads

    return {
        "backend": backend,
        "device": f"CPU: {cpu_model()}",
        "threads": cpu_threads() if threads is None else threads,
    }


@contextmanager
def _bound(session: Callable[[], Session], feeds: Feeds) -> Iterator[Work]:
    with session() as loaded:
        yield loaded.bind(feeds)


@contextmanager
def _eager(subject: Subject, feeds: Feeds, threads: int | None) -> Iterator[Work]:
    import torch

    from edgeup.runtime.cpu import cpu_threads

    tensors = [torch.from_numpy(feeds[spec.name]) for spec in subject.inputs]
    before = torch.get_num_threads()

    def run() -> object:
        with torch.inference_mode():
            return subject.module(*tensors)

    torch.set_num_threads(cpu_threads() if threads is None else threads)
    try:
        yield run
    finally:
        torch.set_num_threads(before)


def _proven_sections(
    made: _Made, proven: ProvenModel, session: Callable[[], Session], stage: Stage
) -> dict[str, Any]:
    """The entry of an exported model, with the parity of what this very backend gives."""
    from edgeup.runtime.inputs import test_inputs
    from edgeup.runtime.tolerances import tolerance_of

    sections = made.sections
    names = [output.name for output in proven.exported.facts.outputs]
    stage("comparing its outputs with PyTorch's")
    with session() as loaded:
        parity = against_pytorch(
            made.subject,
            names,
            loaded.run,
            test_inputs(made.subject.inputs, made.request.seed),
            tolerance_of(made.precision),
            made.request.seed,
        )
    onnx = {key: value for key, value in sections["onnx"].items() if key != "path"}
    exported = sections.get("passed", all(output["passed"] for output in sections["parity"]))
    found = [output.to_json() for output in parity]
    return {
        "precision": made.precision,
        "passed": exported and all(output.passed for output in parity),
        "model": sections["model"],
        "onnx": {**onnx, "node_count": sum(onnx["nodes"].values())},
        "rewrites": sections["rewrites"],
        "stages": sections["stages"],
        "parity": found,
        "error_of_peak": error_of_peak(found),
    }

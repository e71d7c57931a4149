"""A model, loaded and fed, as something that can be timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.files import sha256_of
from edgeup.pipeline.model_files import model_bytes
from edgeup.pipeline.profile.request import ProfileRequest
from edgeup.pipeline.sections import tensor_section
from edgeup.runtime.cpu import cpu_model
from edgeup.runtime.engine.session import TensorRTSession
from edgeup.runtime.engine.traced import TracedRuns
from edgeup.runtime.inputs import test_inputs
from edgeup.runtime.jetson import find_jetson
from edgeup.runtime.latency import ONNX_RUNTIME_CPU
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.sessions import is_engine, open_session
from edgeup.runtime.statistics import Sample
from edgeup.runtime.timer import Measurement
from edgeup.runtime.traces import Trace, traces_of_runs
from edgeup.spec import Dim, Feeds, TensorSpec


@dataclass(frozen=True)
class Subject:
    """A loaded model.

    Attributes:
        path: of its file.
        facts: of the report's ``model``.
        setting: how it runs: what must be equal for times to be compared.
        feeds: its inputs.
        session: it, on an engine's first stream.
        work: one run, on every stream.
        traced: the same, where the backend tells its parts apart.
        threads: of the CPU.
        software: the backend and its version.
        notices: what a user should know.
    """

    path: Path
    facts: dict[str, Any]
    setting: dict[str, Any]
    feeds: Feeds
    session: OnnxRuntimeSession | TensorRTSession
    work: Callable[[], None]
    traced: TracedRuns | None
    threads: int
    software: str
    notices: tuple[str, ...] = ()

    def timed(self, name: str, measured: Measurement) -> Timed:
        """What was measured of it."""
        traces = None if self.traced is None else tuple(self.traced.traces)
        return Timed(measured.times[name], measured.starts[name], traces, self.streams)

    @property
    def streams(self) -> int:
        """Inferences in a run."""
        return int(self.setting.get("streams", 1))


@dataclass(frozen=True)
class Timed:
    """Measured inferences, in order.

    Attributes:
        host: milliseconds of the host's clock, by run; a run is an inference on every stream.
        starts: milliseconds since the measurement began, by run.
        traces: by inference; None where the backend does not tell its parts apart.
        streams: inferences in a run.
    """

    host: Sample
    starts: Sample
    traces: tuple[Trace, ...] | None
    streams: int = 1

    @property
    def latencies(self) -> Sample:
        """Milliseconds by inference."""
        if self.traces is None:
            return self.host
        return np.array([trace.latency for trace in self.traces])

    @property
    def per_inference(self) -> Sample:
        """Milliseconds of the host's clock by run, shared out among its inferences.

        Inferences on several streams overlap: a latency does not tell how many a second are done.
        """
        return self.host / self.streams

    @property
    def end(self) -> float:
        """Milliseconds from the measurement's begin until all was done."""
        by_trace = max((trace.end for trace in self.traces or ()), default=0.0)
        return max(float(self.starts[-1] + self.host[-1]), by_trace)

    def all_traces(self) -> tuple[Trace, ...]:
        """What each inference did, and when."""
        return traces_of_runs(self.starts, self.host) if self.traces is None else self.traces


def joined(parts: Sequence[Timed]) -> Timed:
    """One after the other: each begins where the one before it ended."""
    begins = np.cumsum([0.0, *(part.end for part in parts)])[:-1].tolist()
    traces = [
        trace.later(begin)
        for part, begin in zip(parts, begins, strict=True)
        for trace in part.traces or ()
    ]
    return Timed(
        np.concatenate([part.host for part in parts]),
        np.concatenate([part.starts + begin for part, begin in zip(parts, begins, strict=True)]),
        None if parts[0].traces is None else tuple(traces),
        parts[0].streams,
    )


def open_subject(path: Path, request: ProfileRequest, *, alone: bool, stack: ExitStack) -> Subject:
    """Load it and make its inputs.

    Args:
        path: of the model.
        request: how it is to run.
        alone: nothing else is timed beside it; ONNX Runtime's threads may then spin, as they do
            in production.
        stack: closes what was opened.

    Raises:
        EdgeupError: it cannot be loaded, or its inputs' shapes are open.
    """
    if is_engine(path):
        return _engine(path, request, stack, alone=alone)
    import onnxruntime

    session = stack.enter_context(
        OnnxRuntimeSession(path, threads=request.threads, yield_cores=not alone)
    )
    specs, notices = _closed(session.inputs, request, path)
    feeds = _feeds(specs, request.seed)
    setting = {
        "backend": ONNX_RUNTIME_CPU,
        "device": f"CPU: {cpu_model(request.machine.root)}",
        "threads": session.threads,
        "inputs": _inputs_text(specs),
        **_conditions(request, alone=alone),
    }
    return Subject(
        path=path,
        facts=_facts(path, "onnx", specs, session.outputs),
        setting=setting,
        feeds=feeds,
        session=session,
        work=session.bind(feeds),
        traced=None,
        threads=session.threads,
        software=f"ONNX Runtime {onnxruntime.__version__}",
        notices=notices,
    )


def _conditions(request: ProfileRequest, *, alone: bool) -> dict[str, Any]:
    """Of the setting: what moves times beside model, backend and device; a Jetson's power mode."""
    found: dict[str, Any] = {"measured": "alone" if alone else "in turns with another"}
    jetson = find_jetson(request.machine)
    if jetson is not None:
        found |= {"board": jetson.board, "power_mode": jetson.power_mode}
    return found


def _engine(path: Path, request: ProfileRequest, stack: ExitStack, *, alone: bool) -> Subject:
    from edgeup.runtime.engine.device import find_device

    said: list[str] = []
    sessions = []
    for _ in range(request.streams):
        session = stack.enter_context(
            open_session(path, trust=request.trust, options=request.run_options, notice=said.append)
        )
        assert isinstance(session, TensorRTSession)  # noqa: S101 - it is an engine
        sessions.append(session)
    first = sessions[0]
    specs, notices = _closed(first.inputs, request, path)
    feeds = _feeds(specs, request.seed)
    traced = TracedRuns(sessions, feeds, transfers=request.transfers)
    device = find_device(request.machine)
    setting = {
        "backend": "TensorRT",
        "device": "GPU" if device is None else f"GPU: {device.name}",
        "streams": request.streams,
        "cuda_graph": request.cuda_graph,
        "data_transfers": request.transfers,
        "inputs": _inputs_text(specs),
        **_conditions(request, alone=alone),
    }
    return Subject(
        path=path,
        facts=_facts(path, "engine", specs, first.outputs),
        setting=setting,
        feeds=feeds,
        session=first,
        work=traced,
        traced=traced,
        threads=1,
        software=first.software,
        notices=(*dict.fromkeys(said), *notices),
    )


def _closed(
    specs: Sequence[TensorSpec], request: ProfileRequest, path: Path
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The inputs with every dimension a number: from --shape, --batch; a first one alone is 1."""
    given = _named(specs, request.shapes, path)
    closed, notices = [], []
    used_batch = False
    for spec in specs:
        dims: list[Dim] = list(spec.shape)
        if spec.name in given:
            dims = list(_fitting(spec, given[spec.name], path))
            if request.batch is not None and dims and not isinstance(spec.shape[0], int):
                _check_batch(spec.name, dims[0], request.batch)
                used_batch = True
        elif dims and not isinstance(dims[0], int):
            if request.batch is None and all(isinstance(dim, int) for dim in dims[1:]):
                notices.append(f"input {spec.name}: its open first dimension is taken as 1")
            dims[0] = request.batch or 1
            used_batch = True
        if not all(isinstance(dim, int) for dim in dims):
            shape = "x".join(str(dim) for dim in spec.shape)
            example = "x".join(str(dim) if isinstance(dim, int) else "224" for dim in dims)
            raise EdgeupError(
                f"{path.name}: input {spec.name} is {shape}, and a time needs numbers: give them "
                f"as in --shape {spec.name}:{example}"
            )
        closed.append(TensorSpec(spec.name, tuple(dims), spec.dtype))
    firsts = {spec.shape[0] for spec in closed if spec.shape}
    if request.batch is not None and not used_batch and firsts != {request.batch}:
        raise EdgeupError(
            f"--batch {request.batch}: {path.name} has no open first dimension "
            f"({', '.join(map(str, closed))}); export it with --dynamic batch, or leave it out"
        )
    return tuple(closed), tuple(notices)


def _check_batch(name: str, first: Dim, batch: int) -> None:
    if first != batch:
        raise EdgeupError(
            f"--batch {batch}: --shape gives input {name} the first dimension {first}; leave one "
            f"of the two out"
        )


def _named(
    specs: Sequence[TensorSpec], shapes: Sequence[TensorSpec], path: Path
) -> dict[str, TensorSpec]:
    names = [spec.name for spec in specs]
    given = {}
    for shape in shapes:
        name = shape.name or (names[0] if len(names) == 1 else "")
        if not name:
            raise EdgeupError(
                f"{path.name}: which input has shape {'x'.join(map(str, shape.shape))}? "
                f"{', '.join(names)} are there"
            )
        if name not in names:
            raise unknown(f"input of {path.name}", name, names)
        given[name] = shape
    return given


def _fitting(spec: TensorSpec, wanted: TensorSpec, path: Path) -> tuple[Dim, ...]:
    fits = len(spec.shape) == len(wanted.shape) and all(
        not isinstance(has, int) or has == want
        for has, want in zip(spec.shape, wanted.shape, strict=False)
    )
    if not fits:
        raise EdgeupError(
            f"{path.name}: input {spec.name} is {'x'.join(map(str, spec.shape))}, which "
            f"{'x'.join(map(str, wanted.shape))} does not fit"
        )
    return wanted.shape


def _feeds(specs: Sequence[TensorSpec], seed: int) -> Feeds:
    return next(iter(test_inputs(specs, seed, kinds=("noise",)))).feeds


def _inputs_text(specs: Sequence[TensorSpec]) -> str:
    return ",".join(f"{'x'.join(map(str, spec.shape))}:{spec.dtype}" for spec in specs)


def _facts(
    path: Path, kind: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> dict[str, Any]:
    return {
        "name": path.stem,
        "path": str(path),
        "kind": kind,
        "bytes": model_bytes(path),
        "sha256": sha256_of(path),
        "inputs": [tensor_section(spec) for spec in inputs],
        "outputs": [tensor_section(spec) for spec in outputs],
    }

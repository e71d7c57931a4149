"""Networks side by side: each exported and proven by itself, then all timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.export import ExportRequest, export_subject, report_sections
from edgeup.pipeline.sections import tensor_section
from edgeup.pipeline.subject import Subject, example_arrays
from edgeup.pipeline.verified import Stage
from edgeup.spec import Feeds, TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.runtime.timer import Budget, Progress, Times

SCHEMA_VERSION = 1

TAKEN_IN_TURN = (
    "the models took turns in one process, so each found the caches as the others left them: "
    "these times are for comparing; `edgeup export` gives the latency of one model alone"
)


@dataclass(frozen=True)
class CompareRequest:
    """What to compare and how.

    Attributes:
        network: what the report calls the networks' common frame.
        command: as the user wrote it.
        target: what each is exported for.
        threads: of each run; None for all cores.
        seed: of random weights and test inputs.
        duration_s: how long to measure, per model.
        precisions: by the model's name in the report; float32 where there is none.
    """

    network: str
    command: str
    target: Target
    threads: int | None = None
    seed: int = 0
    duration_s: float = 3.0
    precisions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Proven:
    """What stays of a network: its ONNX file, and what is known of it. The module is gone."""

    content: bytes
    inputs: tuple[TensorSpec, ...]
    sections: dict[str, Any]
    notices: tuple[str, ...]


def compare_subjects(
    makers: Mapping[str, Callable[[], Subject]], request: CompareRequest, stage: Stage
) -> dict[str, Any]:
    """Export each network and compare it with PyTorch, time all interleaved, report.

    One PyTorch module lives at a time; the ONNX files stay in memory until they are timed.

    Args:
        makers: what builds each network, by the name that it has in the report. Ratios are to
            the first.
        request: how.
        stage: is told what begins.

    Raises:
        EdgeupError: a network cannot be built or exported, or all of them do not fit in memory.
    """
    began = time.perf_counter()
    proven: dict[str, _Proven] = {}
    for name, make in makers.items():
        left = _minutes_left(time.perf_counter() - began, len(proven), len(makers), request)
        tell = _within(stage, f"{name}, {len(proven) + 1} of {len(makers)}{left}")
        tell("building the network")
        proven[name] = _prove(make(), request, request.precisions.get(name, "fp32"), tell)
        _check_memory(proven, len(makers))
    exported = time.perf_counter()
    times = _time(proven, request, stage)
    stages_s = {"export": exported - began, "latency": time.perf_counter() - exported}
    return _report(proven, times, request, stages_s)


def _within(stage: Stage, where: str) -> Stage:
    return lambda words: stage(f"{where}: {words}")


def _prove(subject: Subject, request: CompareRequest, precision: str, stage: Stage) -> _Proven:
    export = ExportRequest(
        request.target, threads=request.threads, seed=request.seed, precision=precision
    )
    proven = export_subject(subject, export, stage)
    sections = report_sections(proven, "")
    onnx = {key: value for key, value in sections["onnx"].items() if key != "path"}
    return _Proven(
        content=proven.exported.content,
        inputs=subject.inputs,
        sections={
            "precision": precision,
            "passed": sections.get("passed", all(o["passed"] for o in sections["parity"])),
            "model": sections["model"],
            "onnx": {**onnx, "node_count": sum(onnx["nodes"].values())},
            "rewrites": sections["rewrites"],
            "stages": sections["stages"],
            "parity": sections["parity"],
        },
        notices=tuple(sections["notices"]),
    )


def _check_memory(proven: Mapping[str, _Proven], count: int) -> None:
    """Refuse before the memory runs out, where the system would end the process without a word.

    Measured with the 34 FastDepth decoders on MobileNet: 2.1 GB of files, 6.9 GB at the peak,
    so a session holds its weights twice, as they are and as its kernels want them.
    """
    from edgeup.runtime.machine import Machine

    available = _available_bytes(Machine().read("proc/meminfo"))
    needed = 2 * sum(len(one.content) for one in proven.values())
    if available is not None and needed > available:
        raise EdgeupError(
            f"the first {len(proven)} of {count} models alone need {needed / 1e9:.1f} GB more for "
            f"their sessions, and {available / 1e9:.1f} GB of memory are free; compare fewer "
            f"decoders at a time"
        )


def _available_bytes(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _minutes_left(elapsed_s: float, done: int, count: int, request: CompareRequest) -> str:
    if not done:
        return ""
    minutes = (elapsed_s / done * (count - done) + count * request.duration_s) / 60
    return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"


def _budget(count: int, request: CompareRequest) -> Budget:
    """A fair share of time for each model, and enough rounds for a p90 where models are slow."""
    from edgeup.runtime.timer import Budget

    return Budget(
        warmup_s=0.2 * count,
        warmup_limit_s=max(1.0, request.duration_s / 2) * count,
        duration_s=request.duration_s * count,
        min_rounds=20,
    )


def _time(proven: Mapping[str, _Proven], request: CompareRequest, stage: Stage) -> dict[str, Times]:
    from edgeup.runtime.latency import measure_fed

    def show(progress: Progress) -> None:
        stage(f"timing {len(proven)} models in turn: {progress.stage}, {progress.done:.0%}")

    return measure_fed(
        {name: (one.content, _feeds(one, request.seed)) for name, one in proven.items()},
        threads=request.threads,
        budget=_budget(len(proven), request),
        progress=show,
    )


def _feeds(one: _Proven, seed: int) -> Feeds:
    arrays = example_arrays(one.inputs, seed)
    return {spec.name: array for spec, array in zip(one.inputs, arrays, strict=True)}


def _report(
    proven: Mapping[str, _Proven],
    times: Mapping[str, Times],
    request: CompareRequest,
    stages_s: Mapping[str, float],
) -> dict[str, Any]:
    from edgeup.runtime.environment import environment

    first = next(iter(proven))
    entries = [
        {"name": name, **one.sections, **_timing(times[name], times[first], request)}
        for name, one in proven.items()
    ]
    notices = dict.fromkeys(notice for one in proven.values() for notice in one.notices)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": request.command,
        "passed": all(entry["passed"] for entry in entries),
        "network": request.network,
        "inputs": [tensor_section(spec) for spec in proven[first].inputs],
        "reference": first,
        "models": entries,
        "target": request.target.to_json(),
        "environment": environment(),
        "notices": [TAKEN_IN_TURN, *notices],
        "stages_s": {name: round(seconds, 3) for name, seconds in stages_s.items()},
    }


def _timing(times: Times, reference: Times, request: CompareRequest) -> dict[str, Any]:
    from edgeup.runtime.cpu import cpu_model, cpu_threads
    from edgeup.runtime.latency import ONNX_RUNTIME_CPU, Latency, ratio

    latency = Latency.from_times(
        times,
        backend=ONNX_RUNTIME_CPU,
        device=f"CPU: {cpu_model()}",
        threads=cpu_threads() if request.threads is None else request.threads,
    )
    return {"latency": latency.to_json(), "ratio": asdict(ratio(times, reference))}

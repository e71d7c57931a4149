"""Networks side by side: each exported and proven by itself, then all timed in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.compare.backends import Candidate, Refusal, candidates
from edgeup.pipeline.compare.marks import by_shape, mark_pareto
from edgeup.pipeline.compare.request import CompareRequest, Entrant
from edgeup.pipeline.compare.timing import Measured, measure
from edgeup.pipeline.verified import Stage
from edgeup.runtime.report_head import head

if TYPE_CHECKING:
    from edgeup.runtime.timer import Times

TAKEN_IN_TURN = (
    "the models took turns in one process, so each found the caches as the others left them: "
    "these times are for comparing; `edgeup export` gives the latency of one model alone"
)


def compare_subjects(
    entrants: Sequence[Entrant], request: CompareRequest, stage: Stage
) -> dict[str, Any]:
    """Export each network and compare it with PyTorch, time all interleaved, report.

    One PyTorch module lives at a time, but for those that PyTorch itself is to run; the ONNX
    files and engines stay in memory until they are timed.

    Args:
        entrants: the networks. Ratios are to the first row with the same input shape.
        request: how.
        stage: is told what begins.

    Raises:
        EdgeupError: a network cannot be built or exported, no backend takes any, or all of them
            do not fit in memory.
    """
    began = time.perf_counter()
    proven: dict[str, Candidate] = {}
    refused: list[Refusal] = []
    rows = sum(len(entrant.rows) for entrant in entrants)
    for done, entrant in enumerate(entrants):
        left = _minutes_left(time.perf_counter() - began, done, len(entrants), rows, request)
        tell = _within(stage, f"{entrant.name}, {done + 1} of {len(entrants)}{left}")
        taken, left_out = candidates(entrant, request, tell)
        proven |= taken
        refused += left_out
        _check_memory(proven, rows, request)
    if not proven:
        first = refused[0]
        raise EdgeupError(f"nothing is left to compare: {first.name}: {first.reason}")
    exported = time.perf_counter()
    measured = measure(proven, request, stage)
    stages_s = {"export": exported - began, "latency": time.perf_counter() - exported}
    return _report(proven, refused, measured, request, stages_s)


def _within(stage: Stage, where: str) -> Stage:
    return lambda words: stage(f"{where}: {words}")


def _check_memory(proven: Mapping[str, Candidate], count: int, request: CompareRequest) -> None:
    """Refuse before the memory runs out, where the system would end the process without a word.

    Measured with the 34 FastDepth decoders on MobileNet: 2.1 GB of files, 6.9 GB at the peak,
    so a session holds its weights twice, as they are and as its kernels want them.
    """
    from edgeup.runtime.engine.device import free_memory

    available = free_memory(request.machine)
    needed = 2 * sum(one.waiting_bytes for one in proven.values())
    if available is not None and needed > available:
        raise EdgeupError(
            f"the first {len(proven)} of {count} models alone need {needed / 1e9:.1f} GB more for "
            f"their sessions, and {available / 1e9:.1f} GB of memory are free; compare fewer "
            f"decoders at a time"
        )


def _minutes_left(
    elapsed_s: float, done: int, count: int, rows: int, request: CompareRequest
) -> str:
    if not done:
        return ""
    minutes = (elapsed_s / done * (count - done) + rows * request.duration_s) / 60
    return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"


def _report(
    proven: Mapping[str, Candidate],
    refused: Sequence[Refusal],
    measured: Measured,
    request: CompareRequest,
    stages_s: Mapping[str, float],
) -> dict[str, Any]:
    entries = [
        {
            "name": name,
            "backend": one.backend,
            **one.sections,
            "power": measured.power[name],
        }
        for name, one in proven.items()
    ]
    for group in by_shape(entries):
        for entry in group:
            one = proven[entry["name"]]
            entry |= _timing(one, measured.times, entry["name"], group[0]["name"])
    mark_pareto(entries)
    said = (notice for one in proven.values() for notice in one.notices)
    notices = dict.fromkeys([TAKEN_IN_TURN, *request.notices, *said, *measured.notices])
    return {
        **head(request.command),
        "passed": not refused and all(entry["passed"] for entry in entries),
        "network": request.network,
        "inputs": entries[0]["model"]["inputs"],
        "reference": entries[0]["name"],
        "models": entries,
        "refused": [asdict(one) for one in refused],
        "target": request.target.to_json(),
        "notices": list(notices),
        "stages_s": {name: round(seconds, 3) for name, seconds in stages_s.items()},
    }


def _timing(
    one: Candidate, times: Mapping[str, Times], name: str, reference: str
) -> dict[str, Any]:
    from edgeup.runtime.latency import Latency, ratio

    latency = Latency.from_times(times[name], **one.setting)
    found = asdict(ratio(times[name], times[reference]))
    return {"latency": latency.to_json(), "ratio": {"to": reference, **found}}

"""The times of a comparison: all models in turns; then, where power is read, each one alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.compare.backends import Candidate, Work
from edgeup.pipeline.compare.request import CompareRequest
from edgeup.pipeline.verified import Stage

if TYPE_CHECKING:
    from edgeup.runtime.timer import Progress, Times

_REST_S = 0.01
"""After each run of PyTorch: its OpenMP threads spin on, and slow the next model down.

Measured, two threads on two cores: FastDepth in ONNX Runtime took 16.3 ms alone, 21.7 ms right
after PyTorch, 16.5 ms after this rest.
"""


@dataclass(frozen=True)
class Measured:
    """Milliseconds by model and round, the report's ``power`` by model, and what to know of it."""

    times: dict[str, Times]
    power: dict[str, dict[str, Any]]
    notices: tuple[str, ...]


def measure(candidates: Mapping[str, Candidate], request: CompareRequest, stage: Stage) -> Measured:
    """Load all, time them interleaved, then watch each alone where the board tells its power.

    Raises:
        EdgeupError: a model cannot be loaded, or failed to run.
    """
    with ExitStack() as stack:
        works = {name: stack.enter_context(one.load()) for name, one in candidates.items()}
        times = _in_turns(works, candidates, request, stage)
        power, marks = _alone(works, request, stage)
    return Measured(times, power, marks)


def _in_turns(
    works: Mapping[str, Work],
    candidates: Mapping[str, Candidate],
    request: CompareRequest,
    stage: Stage,
) -> dict[str, Times]:
    """A fair share of time for each model, and enough rounds for a p90 where models are slow."""
    from edgeup.runtime.timer import Budget, measure_runs

    def show(progress: Progress) -> None:
        stage(f"timing {count} models in turn: {progress.stage}, {progress.done:.0%}")

    count = len(works)
    budget = Budget(
        warmup_s=0.2 * count,
        warmup_limit_s=max(1.0, request.duration_s / 2) * count,
        duration_s=request.duration_s * count,
        min_rounds=20,
    )
    rests = {
        name: lambda: time.sleep(_REST_S)
        for name, one in candidates.items()
        if one.backend == "torch" and count > 1
    }
    return measure_runs(works, budget, progress=show, after=rests).times


def _alone(
    works: Mapping[str, Work], request: CompareRequest, stage: Stage
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Power and energy of each, and what speaks against the figures; costs nothing elsewhere."""
    from edgeup.runtime.board.power import NotMeasured
    from edgeup.runtime.board.sources import find_source
    from edgeup.runtime.board.watch import BoardWatch
    from edgeup.runtime.jetson import find_jetson
    from edgeup.runtime.timer import Budget, measure_runs

    machine, interval_s = request.machine, request.power_interval_s
    source = find_source(machine, find_jetson(machine), interval_s)
    if isinstance(source, NotMeasured):
        return {name: source.to_json() for name in works}, ()
    budget = Budget(warmup_limit_s=max(1.0, request.duration_s / 2), duration_s=request.duration_s)
    power: dict[str, dict[str, Any]] = {}
    marks: dict[str, None] = {}  # a set that keeps its order
    for number, (name, work) in enumerate(works.items(), 1):
        stage(f"measuring the power of {name}, {number} of {len(works)}")
        with BoardWatch(machine, interval_s=interval_s) as watch:
            measured = measure_runs({name: work}, budget, begin=watch.begin)
            last_ms = measured.starts[name][-1] + measured.times[name][-1]
            watch.end(measured.times[name].size, float(last_ms) * 1e-3)
        record = watch.record()
        power[name] = record.power.to_json()
        marks |= dict.fromkeys(record.marks)
    return power, tuple(marks)

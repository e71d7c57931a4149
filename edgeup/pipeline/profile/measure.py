"""The timed part of a profile: one model alone, or two in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edgeup.pipeline.profile.board import watching
from edgeup.pipeline.profile.request import ProfileRequest
from edgeup.pipeline.profile.subject import Subject, Timed, open_subject
from edgeup.runtime.board.watch import BoardRecord
from edgeup.runtime.latency import LOADS
from edgeup.runtime.timer import Budget, Measurement, Progress, WarmUp, measure_runs

MODEL, OTHER = "model", "other"

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What was measured, by load: of the model, and of the other with its last subject."""

    warmup: WarmUp
    model: tuple[Timed, ...]
    other: tuple[Timed, ...] = ()
    against: Subject | None = None


def measure_subject(
    request: ProfileRequest, subject: Subject, stage: Stage
) -> tuple[Found, BoardRecord | None]:
    """Time it alone, or in turns with the other; and what the board did meanwhile.

    Raises:
        EdgeupError: the other cannot be loaded, or one failed to run.
    """

    def tell(progress: Progress) -> None:
        stage(f"{progress.stage}: {progress.done:.0%}")

    with watching(request) as (watch, seen):
        if request.other is None:
            measured = _run({MODEL: subject}, request.budget, request.seed, tell, watch.begin)
            found = Found(measured.warmup, (subject.timed(MODEL, measured),))
            last_ms = measured.starts[MODEL][-1] + measured.times[MODEL][-1]
            watch.end(found.model[0].latencies.size, float(last_ms) * 1e-3)
        else:
            found = _in_turns(request, request.other, tell, watch.begin)
            watch.end(sum(timed.latencies.size for timed in (*found.model, *found.other)))
    return found, seen.record


def _in_turns(
    request: ProfileRequest,
    other: Path,
    tell: Callable[[Progress], None],
    begin: Callable[[], None],
) -> Found:
    """Both models, loaded anew for each part of the time (see `ratio_of_loads`)."""
    paths = {MODEL: request.model, OTHER: other}
    parts: dict[str, list[Timed]] = {MODEL: [], OTHER: []}
    warmup: WarmUp | None = None
    for load in range(LOADS):
        with ExitStack() as stack:
            # Loaded in turns too: who comes first gets other memory.
            order = list(paths) if load % 2 == 0 else list(reversed(paths))
            opened = {
                name: open_subject(paths[name], request, alone=False, stack=stack) for name in order
            }
            subjects = {name: opened[name] for name in paths}
            budget = share_of(request.budget, LOADS, load)
            start = begin if load == 0 else lambda: None
            measured = _run(subjects, budget, request.seed + load, tell, start)
            for name, subject in subjects.items():
                parts[name].append(subject.timed(name, measured))
            warmup = warmup or measured.warmup
    assert warmup is not None  # noqa: S101 - there are loads
    return Found(warmup, tuple(parts[MODEL]), tuple(parts[OTHER]), subjects[OTHER])


def share_of(budget: Budget, parts: int, number: int) -> Budget:
    """A budget for one of several parts; after the first, the machine is warm already.

    The rounds of the parts are those of the whole, or one in each part where these are fewer.
    """

    def share(rounds: int) -> int:
        return max(1, rounds // parts + (number < rounds % parts))

    part = replace(
        budget,
        duration_s=budget.duration_s / parts,
        min_rounds=share(budget.min_rounds),
        max_rounds=None if budget.max_rounds is None else share(budget.max_rounds),
    )
    if number == 0:
        return part
    again = min(budget.warmup_s, 0.05)
    return replace(part, warmup_s=again, warmup_rounds=2, warmup_limit_s=again)


def _run(
    subjects: Mapping[str, Subject],
    budget: Budget,
    seed: int,
    tell: Callable[[Progress], None],
    begin: Callable[[], None],
) -> Measurement:
    def start() -> None:
        for subject in subjects.values():
            if subject.traced is not None:
                subject.traced.begin()
        begin()

    works = {name: subject.work for name, subject in subjects.items()}
    return measure_runs(works, budget, seed=seed, progress=tell, begin=start)

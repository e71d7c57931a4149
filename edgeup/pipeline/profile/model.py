"""How long a model takes: warmed up, measured, broken down, held against limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.pipeline.baseline import Baseline, check_setting, differences, regressions
from edgeup.pipeline.gates import failures, gates_section
from edgeup.pipeline.profile.board import board_facts, board_sections
from edgeup.pipeline.profile.latency import (
    latency_facts,
    latency_section,
    parts_section,
    throughput,
    warmup_section,
)
from edgeup.pipeline.profile.layers import (
    Layers,
    check_layer_model,
    engine_layers,
    layers_section,
    onnx_layers,
)
from edgeup.pipeline.profile.measure import Found, measure_subject
from edgeup.pipeline.profile.request import Gates, ProfileRequest, check_request
from edgeup.pipeline.profile.subject import Subject, Timed, joined, open_subject
from edgeup.pipeline.profile.work import roof_section
from edgeup.pipeline.told_apart import told_apart
from edgeup.runtime.board.watch import require_locked_clocks
from edgeup.runtime.latency import LOADS, ratio_of_loads
from edgeup.runtime.memory import Memory, forget_peak, memory
from edgeup.runtime.overhead import empty_model_ms
from edgeup.runtime.report_head import head
from edgeup.runtime.statistics import Summary
from edgeup.runtime.traces import Trace
from edgeup.spec import TensorSpec

SCHEMA_VERSION = 1
NO_DIFFERENCE = "no difference beyond noise"
IN_TURNS = (
    "two models took turns, and each found the caches as the other had left them: alone, a model "
    "may take a third of the time, and two of unequal size may have another ratio; the interval of "
    "the ratio, limits and baselines are of times in turns: leave --vs out for a model's own"
)
"""A small network beside one that evicts it from the caches took 3 times as long as alone."""

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Profiled:
    """A report, and what it was made from."""

    report: dict[str, Any]
    traces: Callable[[], Sequence[Trace]]
    layers: Layers | None
    baseline: Baseline

    def times_file(self) -> bytes:
        """What trtexec's ``--exportTimes`` would hold."""
        from edgeup.runtime.engine.trtexec_write import times_json

        return times_json(self.traces()).encode()

    def profile_file(self) -> bytes:
        """What trtexec's ``--exportProfile`` would hold."""
        from edgeup.runtime.engine.trtexec_write import profile_json

        assert self.layers is not None  # noqa: S101 - it was asked for
        return profile_json(self.layers.times).encode()


def profile_file(request: ProfileRequest, stage: Stage) -> Profiled:
    """Load, warm up, time, break down, judge.

    Raises:
        EdgeupError: a model cannot be loaded or run, an option is not for its backend, the
            baseline was measured in another setting, clocks that must be locked can move.
    """
    check_request(request)
    check_layer_model(request.onnx)
    if request.locked_clocks:
        require_locked_clocks(request.machine)
    changed: tuple[str, ...] = ()
    with ExitStack() as stack:
        stage(f"loading {request.model.name}")
        subject, memory_sections = _opened(request, stack)
        if request.gates.baseline is not None:
            path, baseline = request.gates.baseline
            check_setting(baseline, path, subject.setting)
            changed = differences(baseline, subject.facts, subject.software)
        found, record = measure_subject(request, subject, stage)
        stage("summarizing")
        report, facts = _report(request, subject, found)
        layers = _layers(request, subject, stage) if request.layers else None
    report["notices"] += changed
    if record is not None:
        report |= board_sections(record)
        facts |= board_facts(record)
        report["notices"] += record.marks
        if request.locked_clocks and (refused := record.refusal()) is not None:
            raise EdgeupError(refused)
    report |= memory_sections
    if (used := report["memory"]) is not None:
        facts["memory"] = float(used["peak_bytes"])
    report["layers"] = None
    if layers is not None:
        report["layers"] = {**layers_section(layers), **roof_section(report, layers.precision)}
        report["notices"] += layers.notices
    judge(report, facts, request.gates)
    saved = Baseline.of(subject.setting, facts, subject.facts, subject.software)
    return Profiled(report, joined(found.model).all_traces, layers, saved)


def judge(report: dict[str, Any], facts: dict[str, float | str], gates: Gates) -> None:
    """Add the report's ``gates``, ``baseline`` and ``passed``."""
    failed = failures(gates.conditions, facts)
    report["baseline"] = None
    if gates.baseline is not None:
        path, baseline = gates.baseline
        rows, worse = regressions(baseline, facts, gates.most)
        failed += worse
        report["baseline"] = {
            "path": str(path),
            "model": baseline.model,
            "max_regression": gates.most,
            "figures": list(rows),
        }
    report["gates"] = gates_section(gates.conditions, failed)
    report["passed"] = not failed


def _opened(request: ProfileRequest, stack: ExitStack) -> tuple[Subject, dict[str, Any]]:
    """The model, run once, and what that took of memory: ``memory`` and ``device_memory``."""
    before = memory()
    forget_peak()
    subject = open_subject(request.model, request, alone=request.other is None, stack=stack)
    subject.work()
    after = memory()
    return subject, {
        "memory": None if before is None or after is None else _memory(before, after),
        "device_memory": (
            not_measured("the model ran on the CPU")
            if subject.traced is None
            else subject.traced.device_memory().to_json()
        ),
    }


def not_measured(reason: str) -> dict[str, Any]:
    """A section without figures."""
    return {"measured": False, "reason": reason}


def _memory(before: Memory, after: Memory) -> dict[str, Any]:
    return {
        "before_bytes": before.resident,
        "resident_bytes": after.resident,
        "peak_bytes": after.peak,
        "added_bytes": max(after.resident - before.resident, 0),
    }


def _report(
    request: ProfileRequest, subject: Subject, found: Found
) -> tuple[dict[str, Any], dict[str, float | str]]:
    section, facts, notices = _figures(request, subject, joined(found.model))
    report: dict[str, Any] = {
        "kind": "profile",
        **head(request.command),
        "model": subject.facts,
        "setting": {**subject.setting, "seed": request.seed},
        "warmup": warmup_section(found.warmup),
        "latency": section,
        "overhead": _overhead(subject),
        "versus": None,
        "notices": [*subject.notices, *notices],
        "board": None,
        "power": None,
    }
    if not found.warmup.settled:
        report["notices"].append(
            f"the times had not settled after {found.warmup.seconds:.1f} s of warm-up"
        )
    if found.against is not None:
        report["notices"].append(IN_TURNS)
        if (request.budget.max_rounds or LOADS) < LOADS:
            report["notices"].append(
                f"{LOADS} runs were made and not {request.budget.max_rounds}: --vs loads both "
                f"models {LOADS} times"
            )
        report["versus"], more = _versus(request, subject, found.against, found)
        facts |= more
    return report, facts


def _figures(
    request: ProfileRequest, subject: Subject, timed: Timed
) -> tuple[dict[str, Any], dict[str, float | str], tuple[str, ...]]:
    times = timed.latencies
    summary = Summary.of(times, request.all_percents, request.seed)
    section = latency_section(summary, times, subject.setting, subject.threads)
    section["throughput_per_s"] = throughput(timed.host, times.size)
    section["host_median_ms"] = float(np.median(timed.host))
    facts = latency_facts(section)
    facts |= {"throughput": section["throughput_per_s"], "size": float(subject.facts["bytes"])}
    section["parts"] = None if timed.traces is None else parts_section(timed.traces)
    if section["parts"] is not None:
        facts |= {part: figures["median_ms"] for part, figures in section["parts"].items()}
    return section, facts, summary.warnings()


def _versus(
    request: ProfileRequest, subject: Subject, other: Subject, found: Found
) -> tuple[dict[str, Any], dict[str, float | str]]:
    overlap = max(subject.streams, other.streams) > 1
    by_load = [
        (a.per_inference, b.per_inference) if overlap else (a.latencies, b.latencies)
        for a, b in zip(found.model, found.other, strict=True)
    ]
    gain = ratio_of_loads(by_load)
    verdict = gain.verdict
    section, _, _ = _figures(request, other, joined(found.other))
    names = told_apart(subject.path, other.path)
    if verdict == "equal":
        words = NO_DIFFERENCE
    else:
        each = " per inference" if overlap else ""
        words = (
            f"{names[0]} takes {gain.median:.3f} times as long{each} as {names[1]} in turns with "
            f"it: {verdict}"
        )
    return (
        {
            "model": other.facts,
            "setting": other.setting,
            "latency": section,
            "ratio": {
                **asdict(gain),
                "of": "time per inference" if overlap else "latency",
                "loads": LOADS,
            },
            "verdict": verdict,
            "words": words,
        },
        {"ratio": gain.median, "slower": words if verdict == "slower" else ""},
    )


def _overhead(subject: Subject) -> dict[str, Any] | None:
    """What the same measurement says of a model that does nothing; ONNX Runtime's alone."""
    if subject.traced is not None:
        return None
    return {"empty_model_ms": empty_model_ms(subject.threads)}


def _layers(request: ProfileRequest, subject: Subject, stage: Stage) -> Layers:
    stage("timing the layers")
    specs = [TensorSpec(name, array.shape) for name, array in subject.feeds.items()]
    if subject.traced is not None:
        return engine_layers(subject, request.onnx, specs)
    return onnx_layers(request.model, subject.feeds, subject.threads, request.budget)

"""The figures of runs side by side, and when one is worse than the first run's.

Two runs of one model on one machine differ, by more than either's own confidence interval says:
the machine was in another state. So a latency counts as worse where the intervals of the medians
are apart and the medians differ by more than `RUN_TO_RUN`; `edgeup profile --vs` decides closer
cases, since it measures both in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.error_of_peak import error_of_peak
from edgeup.html import words
from edgeup.html.summary import estimate_of

Report = Mapping[str, Any]

RUN_TO_RUN = 0.05
"""Share by which medians of two runs may differ by chance, where both machines were quiet."""
_ERROR_GREW = 1.1
"""Rounding in another order moves the largest error by some percent."""
_SIZE_GREW = 1.001
_ESTIMATE_GREW = 1.001
"""It is computed, and comes out the same each time."""
_TAIL_GREW = 1.25
"""A report has no interval of a percentile, and the highest ones rest on the few slowest runs."""


@dataclass(frozen=True)
class Run:
    """A report, and what to call it beside the others."""

    name: str
    report: Report


@dataclass(frozen=True)
class Figure:
    """A quantity of a run.

    Attributes:
        heading: of its column.
        value: of a report; None where it has none.
        text: of a value.
        worse: whether the second report is worse than the first, both having a value.
        why: what a mark says.
        needs: conditions that must be equal for it to be compared (`edgeup.html.conditions`).
        is_undefined: whether a report should have a value, and has none that is a number.
        untold: why a report's value can be held against no other; empty where it can.
    """

    heading: str
    value: Callable[[Report], float | None]
    text: Callable[[Any], str]
    worse: Callable[[Report, Report], bool]
    why: str
    needs: tuple[str, ...] = ()
    is_undefined: Callable[[Report], bool] = lambda report: False
    untold: Callable[[Report], str] = lambda report: ""


def largest_error(report: Report) -> float | None:
    """Of any output on any input, as a share of the output's peak there."""
    if "error_of_peak" in report:
        known: float | None = report["error_of_peak"]
        return known
    return error_of_peak(report.get("parity") or ())


def has_no_finite_error(report: Report) -> bool:
    """Whether outputs were compared, and how far apart they are is no number."""
    return bool(report.get("parity")) and largest_error(report) is None


def median_ms(report: Report) -> float | None:
    """Of the latency."""
    found: float | None = report.get("latency", {}).get("median_ms")
    return found


def estimate_ms(report: Report) -> float | None:
    """What a board would take: of `edgeup estimate`, and of an export for a board."""
    found: float | None = estimate_of(report).get("total", {}).get("estimate_ms")
    return found


def macs(report: Report) -> float | None:
    """Of the graph that was written, or that the estimate is of; else of the network."""
    if report.get("kind") == "estimate":
        return float(report["total"]["macs"])
    found: float | None = report.get("onnx", report.get("model", {})).get("macs")
    return found


def size(report: Report) -> float | None:
    """Of the file and its weights beside it."""
    onnx = report.get("onnx", report.get("model", {}))
    return onnx["bytes"] + onnx.get("data", {}).get("bytes", 0) if "bytes" in onnx else None


def energy_mj(report: Report) -> float | None:
    """Per inference above idle, where it was measured and is above."""
    power: Any = report.get("power")
    found: float | None = power.get("energy_per_inference_mj") if power else None
    return found if found is not None and found > 0 else None


def is_slower(before: Report, after: Report) -> bool:
    """Beyond the noise of both runs."""
    was, now = before["latency"], after["latency"]
    apart = _interval(now)[0] > _interval(was)[1]
    return bool(apart and now["median_ms"] > was["median_ms"] * (1 + RUN_TO_RUN))


def _interval(latency: Report) -> tuple[float, float]:
    """Of the median; a report without it gives the median itself."""
    found: Any = latency.get("median_interval") or {}
    median = latency["median_ms"]
    return float(found.get("low_ms", median)), float(found.get("high_ms", median))


def _too_few(report: Report) -> str:
    """Of one run or a few, a report says itself that the median has no interval."""
    latency = report.get("latency") or {}
    has_none = "median_interval" in latency and latency["median_interval"] is None
    return "too few runs for an interval" if has_none else ""


def _grew(value: Callable[[Report], float | None], by: float) -> Callable[[Report, Report], bool]:
    def worse(before: Report, after: Report) -> bool:
        was, now = value(before), value(after)
        return was is not None and now is not None and now > was * by

    return worse


def memory(report: Report) -> float | None:
    """Peak of the process, in bytes."""
    found: float | None = (report.get("memory") or {}).get("peak_bytes")
    return found


def device_memory(report: Report) -> float | None:
    """What the model takes of the GPU's, in bytes, where it was measured."""
    found: float | None = (report.get("device_memory") or {}).get("taken_bytes")
    return found


def percentiles(report: Report) -> dict[str, float]:
    """Those that were asked for, in milliseconds; of a report that knows no others, p90 and p99."""
    latency: Any = report.get("latency") or {}
    found: dict[str, float] | None = latency.get("percentiles_ms")
    if found is not None:
        return {name: value for name, value in found.items() if name != "p50"}  # the median
    return {name: latency[f"{name}_ms"] for name in ("p90", "p99") if f"{name}_ms" in latency}


def percentile_figures(reports: Sequence[Report]) -> list[Figure]:
    """One for each percentile that any of the reports has, the lowest first."""
    names = {name for report in reports for name in percentiles(report)}
    return [_percentile(name) for name in sorted(names, key=lambda name: float(name[1:]))]


def _percentile(name: str) -> Figure:
    def value(report: Report) -> float | None:
        return percentiles(report).get(name)

    return Figure(
        name, value, words.milliseconds, _grew(value, _TAIL_GREW), f"slower {name}", _MACHINE
    )


_MACHINE = (
    *("device", "backend", "number of threads", "number of streams", "use of CUDA graphs"),
    *("counting of copies", "power mode", "input shape", "way of measuring"),
)
FIGURES = (
    Figure(
        "largest error, of the peak",
        largest_error,
        words.small,
        _grew(largest_error, _ERROR_GREW),
        "larger error",
        (
            *("input shape", "reference", "precision of the reference"),
            *("rounding of the reference", "rounding of the candidate", "outputs", "inputs"),
            *("files of inputs", "preprocessing", "seed"),
        ),
        has_no_finite_error,
    ),
    Figure(
        "median latency",
        median_ms,
        words.milliseconds,
        is_slower,
        "slower",
        _MACHINE,
        untold=_too_few,
    ),
    Figure(
        "estimate",
        estimate_ms,
        words.milliseconds,
        _grew(estimate_ms, _ESTIMATE_GREW),
        "longer estimate",
        ("input shape", "board of the estimate", "power mode of the estimate"),
    ),
    Figure("work", macs, words.macs, _grew(macs, 1.0), "more work", ("input shape",)),
    Figure("size", size, words.megabytes, _grew(size, _SIZE_GREW), "larger"),
    Figure(
        "memory",
        memory,
        words.megabytes,
        _grew(memory, 1 + RUN_TO_RUN),
        "more memory",
        _MACHINE,
    ),
    Figure(
        "GPU memory",
        device_memory,
        words.megabytes,
        _grew(device_memory, 1 + RUN_TO_RUN),
        "more GPU memory",
        _MACHINE,
    ),
    Figure(
        "energy, mJ",
        energy_mj,
        words.figures,
        _grew(energy_mj, 1 + RUN_TO_RUN),
        "more energy",
        _MACHINE,
    ),
)

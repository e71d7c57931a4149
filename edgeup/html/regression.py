"""Runs side by side: their figures, and which of them are worse than the first run's.

Two runs of one model on one machine differ, by more than either's own confidence interval says:
the machine was in another state. So a latency counts as worse where the intervals of the medians
are apart and the medians differ by more than `RUN_TO_RUN`; `edgeup profile --vs` decides closer
cases, since it measures both in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeup.html import words

Report = Mapping[str, Any]

RUN_TO_RUN = 0.05
"""Share by which medians of two runs may differ by chance, where both machines were quiet."""
_ERROR_GREW = 1.1
"""Rounding in another order moves the largest error by some percent."""
_SIZE_GREW = 1.001


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
    """

    heading: str
    value: Callable[[Report], float | None]
    text: Callable[[Any], str]
    worse: Callable[[Report, Report], bool]
    why: str


def error_of_peak(report: Report) -> float | None:
    """The largest error of any output on any input, as a share of the output's peak there."""
    shares = [
        case["max_abs"] / case["peak"]
        for output in report.get("parity", ())
        for case in output.get("cases", ())
        if case.get("max_abs") is not None and case["peak"] and not case.get("unstable")
    ]
    return max(shares, default=None)


def median_ms(report: Report) -> float | None:
    """Of the latency."""
    found: float | None = report.get("latency", {}).get("median_ms")
    return found


def macs(report: Report) -> float | None:
    """Of the graph that was written; else of the network."""
    found: float | None = report.get("onnx", report.get("model", {})).get("macs")
    return found


def size(report: Report) -> float | None:
    """Of the file and its weights beside it."""
    onnx = report.get("onnx", report.get("model", {}))
    return onnx["bytes"] + onnx.get("data", {}).get("bytes", 0) if "bytes" in onnx else None


def energy_mj(report: Report) -> float | None:
    """Per inference, where it was measured."""
    power: Any = report.get("power")
    found: float | None = power.get("energy_per_inference_mj") if power else None
    return found


def comparable(before: Report, after: Report) -> bool:
    """Whether the latencies are of one device, backend and number of threads."""
    keys = ("device", "backend", "threads")
    one, other = before.get("latency", {}), after.get("latency", {})
    return all(one.get(key) == other.get(key) for key in keys)


def is_slower(before: Report, after: Report) -> bool:
    """Beyond the noise of both runs, on the same device."""
    if not comparable(before, after):
        return False
    was, now = before["latency"], after["latency"]
    apart = _interval(now)[0] > _interval(was)[1]
    return bool(apart and now["median_ms"] > was["median_ms"] * (1 + RUN_TO_RUN))


def _interval(latency: Report) -> tuple[float, float]:
    """Of the median; a report without it gives the median itself."""
    found: Any = latency.get("median_interval") or {}
    median = latency["median_ms"]
    return float(found.get("low_ms", median)), float(found.get("high_ms", median))


def _grew(value: Callable[[Report], float | None], by: float) -> Callable[[Report, Report], bool]:
    def worse(before: Report, after: Report) -> bool:
        was, now = value(before), value(after)
        return was is not None and now is not None and now > was * by

    return worse


FIGURES = (
    Figure(
        "largest error, of the peak",
        error_of_peak,
        words.small,
        _grew(error_of_peak, _ERROR_GREW),
        "larger error",
    ),
    Figure("median latency", median_ms, words.milliseconds, is_slower, "slower"),
    Figure("work", macs, words.macs, _grew(macs, 1.0), "more work"),
    Figure("size", size, words.megabytes, _grew(size, _SIZE_GREW), "larger"),
    Figure(
        "energy, mJ",
        energy_mj,
        words.figures,
        _grew(energy_mj, 1 + RUN_TO_RUN),
        "more energy",
    ),
)


def regressions(before: Report, after: Report) -> list[str]:
    """What is worse in the second report, in words."""
    found = []
    if before.get("passed") is True and after.get("passed") is False:
        found.append("failed")
    for figure in FIGURES:
        if None not in (figure.value(before), figure.value(after)) and figure.worse(before, after):
            found.append(figure.why)
    return found

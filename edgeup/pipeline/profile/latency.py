"""The report's ``latency``: percentiles, parts, warm-up, histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeup.pipeline.quantities import percentile_name
from edgeup.runtime.statistics import Sample, Summary, histogram, no_interval
from edgeup.runtime.timer import WarmUp
from edgeup.runtime.traces import PARTS, Trace, part_times


def latency_section(
    summary: Summary, times: Sample, setting: Mapping[str, Any], threads: int
) -> dict[str, Any]:
    """Figures of one model, under the names that every report's ``latency`` uses."""
    return {
        "backend": setting["backend"],
        "device": setting["device"],
        "threads": threads,
        "iterations": times.size,
        "median_ms": summary.median,
        "median_interval": None if summary.interval is None else summary.interval.to_json(),
        **({"no_interval": no_interval(times.size)} if summary.interval is None else {}),
        "mean_ms": summary.mean,
        "min_ms": summary.min,
        "max_ms": summary.max,
        "std_ms": summary.std,
        **{f"{percentile_name(p)}_ms": summary.percentiles[p] for p in (90, 95, 99)},
        "percentiles_ms": {percentile_name(p): ms for p, ms in summary.percentiles.items()},
        "cv": summary.cv,
        "drift": summary.drift,
        "histogram": histogram(times),
    }


def parts_section(traces: Sequence[Trace]) -> dict[str, Any]:
    """Copies, network and enqueueing apart, in trtexec's definitions."""
    found = {}
    for part in PARTS:
        times = part_times(traces, part)
        found[part] = {
            "median_ms": float(np.median(times)),
            "mean_ms": float(times.mean()),
            "max_ms": float(times.max()),
        }
    return found


def warmup_section(warmup: WarmUp) -> dict[str, Any]:
    """What came before the measured runs."""
    return {"runs": warmup.rounds, "seconds": warmup.seconds, "settled": warmup.settled}


def throughput(host: Sample, inferences: int) -> float:
    """Inferences per second of the host's time in the runs, from the first to the last."""
    return float(inferences / (host.sum() * 1e-3))


def latency_facts(section: Mapping[str, Any]) -> dict[str, float | str]:
    """For gates."""
    return {
        "latency": section["median_ms"],
        "mean": section["mean_ms"],
        "min": section["min_ms"],
        "max": section["max_ms"],
        "std": section["std_ms"],
        "cv": section["cv"],
        "drift": abs(section["drift"]),
        **section["percentiles_ms"],
    }

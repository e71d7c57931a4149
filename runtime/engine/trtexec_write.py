"""The JSON files that trtexec would write: ``--exportTimes``, ``--exportProfile``.

In its layout too (samples/common/sampleReporting.cpp), an entry a line, with six significant
digits as C++ prints them. `trtexec_exports` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgeup.runtime.statistics import Sample
from edgeup.runtime.traces import Trace

_SPANS = (("Enq", "enqueue"), ("H2d", "h2d"), ("Compute", "compute"), ("D2h", "d2h"))


def times_json(traces: Iterable[Trace]) -> str:
    """What ``--exportTimes`` holds."""
    return _entries(map(_times, traces))


def _times(trace: Trace) -> dict[str, float]:
    entry = {}
    for word, part in _SPANS:
        entry[f"start{word}Ms"], entry[f"end{word}Ms"] = getattr(trace, part)
    for word, part in _SPANS[1:]:
        start, end = getattr(trace, part)
        entry[f"{word[0].lower()}{word[1:]}Ms"] = end - start
    return entry | {"latencyMs": trace.latency}


def profile_json(layers: Mapping[str, Sample]) -> str:
    """What ``--exportProfile`` holds from TensorRT 8.5 on: milliseconds by run, of each layer."""
    whole = float(sum(times.sum() for times in layers.values()))

    def entries() -> Iterable[Mapping[str, Any]]:
        yield {"count": max((times.size for times in layers.values()), default=0)}
        for name, times in layers.items():
            total = float(times.sum())
            yield {
                "name": name,
                "timeMs": total,
                "averageMs": float(times.mean()),
                "medianMs": _middle(times),
                "percentage": total / whole * 100 if whole else 0.0,
            }

    return _entries(entries())


def _middle(times: Sample) -> float:
    """trtexec takes the upper of two."""
    return float(sorted(times)[times.size // 2])


def _entries(entries: Iterable[Mapping[str, Any]]) -> str:
    lines = (
        "{ "
        + ", ".join(f"{json.dumps(key)} : {_value(value)}" for key, value in one.items())
        + " }"
        for one in entries
    )
    return "[\n  " + "\n, ".join(lines) + "\n]\n"


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)

"""The JSON files that trtexec writes: ``--exportTimes`` and ``--exportProfile``.

Their writers are in ``samples/common/sampleReporting.cpp``. trtexec prints them piece by piece,
so names are not escaped, and a value that is not a number stands there as C++ prints it (``nan``,
``-inf``), which is no JSON. ``--exportLayerInfo`` holds the inspector's JSON: see `layer_info`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeup.errors import EdgeupError

_ODD_NUMBER = re.compile(r"(?<=[:\[,])(\s*)(-?)(nan|inf)(?:\([^)]*\))?(?=\s*[,}\]])")
"""``nan``, ``-nan``, ``inf``, ``nan(ind)`` where a number should stand, in text outside quotes: a
percentage, where no time passed."""

_LONGEST_MS = 1e12
"""30 years: sums of such times are still numbers."""


@dataclass(frozen=True)
class Query:
    """One inference, in milliseconds: ``latency = h2d + compute + d2h``.

    ``enqueue`` is the host's time to hand the work over. Copies are of inputs (``h2d``) and
    outputs (``d2h``).
    """

    enqueue: float
    h2d: float
    compute: float
    d2h: float
    latency: float


@dataclass(frozen=True)
class LayerTime:
    """Milliseconds of one layer per inference; ``median`` is None before TensorRT 8.5."""

    name: str
    average: float
    median: float | None


@dataclass(frozen=True)
class Profile:
    """Times by layer, in the order of execution."""

    iterations: int
    layers: tuple[LayerTime, ...]


def parse_times(text: str) -> tuple[Query, ...]:
    """Read ``--exportTimes``; 8.0 and 8.2 add an end-to-end time, which is left out.

    Raises:
        EdgeupError: it is not of that form, or holds a time that none can be.
    """
    queries = []
    for entry in _entries(text, "--exportTimes"):
        ms = _times(entry, "--exportTimes")
        start, end = ms("startEnqMs"), ms("endEnqMs")
        if end < start:
            raise EdgeupError(f"an entry of trtexec's --exportTimes has endEnqMs {end} < {start}")
        queries.append(
            Query(
                enqueue=end - start,
                h2d=ms("h2dMs"),
                compute=ms("computeMs"),
                d2h=ms("d2hMs"),
                latency=ms("latencyMs"),
            )
        )
    return tuple(queries)


def parse_profile(text: str) -> Profile:
    """Read ``--exportProfile``.

    Raises:
        EdgeupError: it is not of that form, has no layer, or holds a time that none can be.
    """
    first, *entries = _entries(text, "--exportProfile") or [{}]
    count = _number(first, "count", "--exportProfile")
    if not 1 <= count < 2**53 or count != int(count):
        raise EdgeupError(
            f"count of trtexec's --exportProfile is {count:g}, wanted a number of runs"
        )
    if not entries:
        raise EdgeupError("trtexec's --exportProfile has a count and no layer")
    layers = []
    for entry in entries:
        ms = _times(entry, "--exportProfile")
        layers.append(
            LayerTime(
                name=str(entry.get("name", "")),
                average=ms("averageMs"),
                median=ms("medianMs") if "medianMs" in entry else None,
            )
        )
    return Profile(int(count), tuple(layers))


def _entries(text: str, option: str) -> list[Mapping[str, Any]]:
    """The list of objects that trtexec meant."""
    try:
        document = json.loads(_as_json(text), strict=False)
    except (ValueError, RecursionError) as error:
        raise EdgeupError(
            f"this is not what trtexec's {option} writes, or it was cut short: {error}"
        ) from error
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise EdgeupError(f"this is not what trtexec's {option} writes: no list of entries")
    return document


def _as_json(text: str) -> str:
    """Mend what is no JSON: C++'s names of odd numbers, and quotes or backslashes in names."""
    mended = re.sub(
        r'("name" : ")(.*)("(?:, "\w+" : |\s*$))',
        lambda found: found[1] + json.dumps(found[2])[1:-1] + found[3],
        text,
        flags=re.MULTILINE,
    )
    words = {"nan": "NaN", "inf": "Infinity"}
    return _ODD_NUMBER.sub(
        lambda found: (
            found[1] + ("-" if (found[2], found[3]) == ("-", "inf") else "") + words[found[3]]
        ),
        mended,
    )


def _times(entry: Mapping[str, Any], option: str) -> Callable[[str], float]:
    """Milliseconds by key."""

    def ms(key: str) -> float:
        value = _number(entry, key, option)
        if not 0 <= value <= _LONGEST_MS:
            raise EdgeupError(
                f"an entry of trtexec's {option} has {key} {value:g}, wanted milliseconds"
            )
        return value

    return ms


def _number(entry: Mapping[str, Any], key: str, option: str) -> float:
    value = entry.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise EdgeupError(f"an entry of trtexec's {option} has no number {key!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise EdgeupError(
            f"an entry of trtexec's {option} has {key} of {len(str(abs(value)))} digits"
        ) from error

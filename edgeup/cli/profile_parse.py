"""Strings of `edgeup profile` to values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeup.errors import EdgeupError
from edgeup.pipeline.quantities import percent_of
from edgeup.runtime.timer import Budget

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_budget(
    warmup: str | None, warmup_ms: float | None, iterations: int | None, duration: float | None
) -> Budget:
    """How long to warm up and measure.

    ``--iterations`` alone is exactly that many runs; with ``--duration``, at least that many.

    Raises:
        EdgeupError: no such warm-up, or two.
    """
    if warmup is not None and warmup_ms is not None:
        raise EdgeupError("--warmup and trtexec's --warmUp say the same; leave one out")
    text = f"{warmup_ms:f}ms" if warmup_ms is not None else warmup or "200ms"
    warmup_s, rounds = parse_warmup(text)
    limit = max(5.0, 10 * warmup_s)
    if iterations is None:
        seconds = 3.0 if duration is None else duration
        return Budget(warmup_s, rounds, limit, duration_s=seconds)
    if duration is None:
        return Budget(
            *(warmup_s, rounds, limit),
            duration_s=0.0,
            min_rounds=iterations,
            max_rounds=iterations,
        )
    return Budget(warmup_s, rounds, limit, duration_s=duration, min_rounds=iterations)


def parse_warmup(text: str) -> tuple[float, int]:
    """``200ms``, ``2s`` or ``20it``: seconds, runs. Either way it lasts until times are stable.

    Raises:
        EdgeupError: not of that form; a number alone, which is milliseconds to trtexec and runs
            to others.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(us|ms|s|it)", text.strip())
    if match is None or (match[2] == "it" and "." in match[1]):
        raise EdgeupError(f"--warmup {text!r}: wanted a time or runs, as in 200ms, 2s or 20it")
    if match[2] == "it":
        return 0.0, int(match[1])
    return float(match[1]) * _UNITS[match[2]], 0


def parse_percents(texts: Sequence[str]) -> tuple[float, ...]:
    """``50,90,99.9``.

    Raises:
        EdgeupError: one is no number above 0 and below 100.
    """
    found = set()
    for part in (part.strip() for text in texts for part in text.split(",")):
        if (percent := percent_of(f"p{part}")) is None:
            raise EdgeupError(f"--percentile {part!r}: wanted numbers between 0 and 100: 90,99.9")
        found.add(percent)
    return tuple(sorted(found))


def parse_share(text: str) -> float:
    """``5%`` as 0.05.

    Raises:
        EdgeupError: not of that form.
    """
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*%", text.strip())
    if match is None:
        raise EdgeupError(f"--max-regression {text!r}: wanted a share, as in 5%")
    return float(match[1]) / 100

"""Checks on the fields of preprocessing, whether a user typed them or a file says them."""

from __future__ import annotations

import json
import math
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.resample import PIXEL_LIMIT, SIDE_LIMIT

JSON_LIMIT = 4096


def check_size(name: str, value: Any, words: str) -> None:
    """Refuse what is not height and width as whole numbers within bounds."""
    whole = isinstance(value, tuple) and len(value) == 2 and all(type(n) is int for n in value)
    if not whole or not all(1 <= n <= SIDE_LIMIT for n in value) or math.prod(value) > PIXEL_LIMIT:
        raise EdgeupError(
            f"{name} {_short(value)}: wanted height x width (224x224) or {words}; at most "
            f"{PIXEL_LIMIT:,} pixels, {SIDE_LIMIT:,} a side"
        )


def check_numbers(name: str, values: Any, counts: tuple[int, ...], *, zero: bool) -> None:
    """Refuse another count of numbers, NaN, infinity, the absurdly large, and zero where said."""
    if not isinstance(values, tuple) or len(values) not in counts:
        raise EdgeupError(
            f"{name} {_short(values)}: wanted {' or '.join(map(str, counts))} "
            f"number{'s' if counts != (1,) else ''}"
        )
    for value in values:
        # A bool is an int to Python, and to nobody else.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (abs(value) <= 1e6) or not (zero or abs(value) >= 1e-6):
            bounds = "from -1e6 to 1e6" if zero else "not zero, its size from 1e-6 to 1e6"
            raise EdgeupError(f"{name} {_short(value)}: wanted a number {bounds}")


def strict_object(text: str) -> dict[str, Any]:
    """Parse a short JSON object that names no field twice."""
    if len(text) > JSON_LIMIT:
        raise EdgeupError(f"it has {len(text):,} characters, and at most {JSON_LIMIT:,} are read")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise EdgeupError("a field is given twice")
        return result

    try:
        said = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise EdgeupError("it is not JSON") from error
    if not isinstance(said, dict):
        raise EdgeupError("it is not a JSON object")
    return said


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"

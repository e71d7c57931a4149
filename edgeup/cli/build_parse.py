"""Strings of `edgeup build` to values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeup.cli.parse import parse_frozen
from edgeup.errors import EdgeupError
from edgeup.spec import TensorSpec

_UNITS = {"K": 10, "M": 20, "G": 30}


def parse_size(text: str) -> int:
    """``1024M`` or ``2G`` in bytes; ``workspace:1024`` as trtexec's --memPoolSize has it, in MiB.

    Raises:
        EdgeupError: not of that form; a number alone, which tools read in three different units.
    """
    match = re.fullmatch(r"(workspace:)?(\d{1,9}(?:\.\d+)?)([KMG]?)(?:i?B)?", text.strip(), re.I)
    if match is None or (not match[3] and not match[1]) or float(match[2]) == 0:
        raise EdgeupError(
            f"{text!r} is not a size: wanted a number with its unit, as in 1024M or 2G"
        )
    return int(float(match[2]) * 2 ** _UNITS[match[3].upper() or "M"])


def parse_engine_shapes(texts: Sequence[str] | None) -> tuple[TensorSpec, ...]:
    """Shapes, once per input, or ``a:1x3x8x8,b:1x4`` as trtexec has them.

    Raises:
        EdgeupError: one is not a shape.
    """
    parts: list[str] = []
    for text in texts or ():
        several = text.split(",")
        # Commas also stand between the numbers of one shape: then not every part has a name.
        parts += several if all(":" in part for part in several) else [text]
    return tuple(parse_frozen(part) for part in parts)


def the_precision(precision: str | None, *, fp16: bool) -> str | None:
    """What ``--precision`` and trtexec's ``--fp16`` say together.

    Raises:
        EdgeupError: they contradict each other.
    """
    if fp16 and precision not in (None, "fp16"):
        raise EdgeupError(
            f"--fp16 and --precision {precision} contradict each other; leave one out"
        )
    return "fp16" if fp16 else precision

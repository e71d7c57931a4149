"""Numbers that the kernel tells in small files, below the root of a `Machine`."""

from __future__ import annotations

import math
import re

from edgeup.runtime.machine import Machine


def find(machine: Machine, pattern: str) -> list[str]:
    """The paths that match a glob pattern below the root, ``x2`` before ``x10``."""
    try:
        found = [path.relative_to(machine.root).as_posix() for path in machine.root.glob(pattern)]
    except OSError:  # a folder on the way that this user may not list
        return []
    return sorted(found, key=_natural)


def number(machine: Machine, path: str) -> float | None:
    """The finite number that a file holds, or None where it cannot be read or is none."""
    try:
        value = float(machine.read(path))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _natural(path: str) -> list[tuple[str, int]]:
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d{0,9})", path)]

"""Errors that end a request: one line that says what was got, what was wanted, what to do.

Inner code raises them with the numbers; the outer edge adds the file or the stage.
The command line prints the line and exits with status 2; anything else is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgeupError(Exception):
    """The request cannot be carried out. ``str(error)`` is one line, fit for a user."""


class MissingPackageError(EdgeupError):
    """An optional package is not installed; the line holds the command that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed: "
            f"pip install 'edgeup[{extra}]'"
        )
        self.package = package


_SHOWN = 40
"""Names in a line: all decoders of a network, but not all nodes of one."""


def unknown(kind: str, got: str, known: Iterable[str]) -> EdgeupError:
    """An error for a name that is not in a list, with the nearest names of the list.

    Args:
        kind: what the name stands for, as a user would call it ("decoder").
        got: the name as it was written.
        known: the names that exist.
    """
    names = sorted(known) if isinstance(known, (set, frozenset)) else list(known)
    near = difflib.get_close_matches(got.lower(), names, n=3, cutoff=0.5)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there is {', '.join(names[:_SHOWN])}{more}"
    )
    return EdgeupError(f"unknown {kind} {got!r}: {hint}")

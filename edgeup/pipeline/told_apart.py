"""Names of files beside each other, as people tell them apart."""

from __future__ import annotations

from pathlib import PurePath


def told_apart(first: PurePath, second: PurePath) -> tuple[str, str]:
    """The names, with as many parent folders as make them differ: ``a/model.onnx``, ``b/…``.

    One path twice stays one name twice.
    """
    for length in range(1, max(len(first.parts), len(second.parts)) + 1):
        short = tuple(str(PurePath(*path.parts[-length:])) for path in (first, second))
        if short[0] != short[1]:
            return short[0], short[1]
    return first.name, second.name

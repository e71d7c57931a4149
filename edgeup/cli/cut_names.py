"""Names that are too long for their column, cut where they still tell each other apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

_Cut = Callable[[str, int], str]


def cut_names(names: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Each in its width: the end, else the beginning and the end, else a part of the middle.

    Different names stay different wherever one of these cuts, the same for all, makes them so.
    """

    def all_cut(cut: _Cut) -> list[str]:
        return [
            name if len(name) <= width else cut(name, width)
            for name, width in zip(names, widths, strict=True)
        ]

    long = [(name, width) for name, width in zip(names, widths, strict=True) if len(name) > width]
    narrowest = min((width for _, width in long), default=0)
    for cut in _cuts(narrowest, max((len(name) for name, _ in long), default=0)):
        if len(set(found := all_cut(cut))) == len(set(names)):
            return found
    return all_cut(partial(_ends, 0))


def first_of_each(names: Sequence[str], others: Sequence[int], width: int) -> list[str]:
    """Names with how many more stand with each: ``conv_1 +2``; all within a width."""
    suffixes = [f" +{number}" if number else "" for number in others]
    cut = cut_names(names, [width - len(suffix) for suffix in suffixes])
    return [name + suffix for name, suffix in zip(cut, suffixes, strict=True)]


def _cuts(narrowest: int, longest: int) -> Iterator[_Cut]:
    yield from (partial(_ends, head) for head in range(narrowest - 1))
    yield from (partial(_middle, start) for start in range(1, longest))


def _ends(head: int, name: str, width: int) -> str:
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def _middle(start: int, name: str, width: int) -> str:
    return f"…{name[start : start + width - 2]}…"

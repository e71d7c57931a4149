"""Causes at the input: the candidate is run again on what it may have wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from edgeup.runtime.diagnosis.contract import Family, Guess, Pair, Rerun, as_is
from edgeup.runtime.diagnosis.normalisations import NORMALISATIONS, named_words
from edgeup.spec import Array


def _turned(array: Array) -> Array:
    """Height and width change places, under the shape that the candidate takes."""
    turned: Array = array.swapaxes(2, 3).reshape(array.shape)
    return turned


def _channels_last(array: Array) -> Array:
    """The numbers in the order n h w c, under the shape n c h w."""
    moved: Array = array.transpose(0, 2, 3, 1).reshape(array.shape)
    return moved


def _channels_first(array: Array) -> Array:
    """The inverse of `_channels_last`."""
    n, c, h, w = array.shape
    moved: Array = array.reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return moved


_ORDERS: tuple[tuple[Callable[[Array], Array], str, str], ...] = (
    (_turned, "input transposed", "reads height and width of input {} transposed"),
    (_channels_last, "input layout", "reads the numbers of input {} as n h w c, not n c h w"),
    (
        _channels_first,
        "input layout",
        "puts input {} into the order n h w c, and then reads it as n c h w",
    ),
)
"""What the candidate would have wanted, the cause, and what it does."""


def _images(pair: Pair) -> list[str]:
    """The inputs that are pictures: floating, n c h w."""
    return [n for n, array in pair.feeds.items() if array.ndim == 4 and array.dtype.kind == "f"]


def _guesses(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    if rerun is None:
        return
    for name in _images(pairs[0]):
        shape = pairs[0].feeds[name].shape
        if shape[1] == 3:
            yield Guess(
                "BGR for RGB",
                f"the candidate reads the channels of input {name} in reverse order: BGR for RGB",
                _on(name, lambda array: array[:, ::-1], rerun),
            )
        for change, kind, words in _ORDERS:
            if sum(size > 1 for size in shape[1:]) > 1:
                yield Guess(kind, f"the candidate {words.format(name)}", _on(name, change, rerun))
        for one in NORMALISATIONS:
            if not one.fits(pairs[0].feeds[name]):
                continue
            for doubled in (False, True):
                yield Guess(
                    "input normalisation",
                    named_words(f"input {name}", one, doubled),
                    _on(name, partial(one.apply, inverse=doubled), rerun),
                    {"normalisation": one.name},
                )


def _on(name: str, change: Callable[[Array], Array], rerun: Rerun) -> Callable[[Pair], Pair]:
    def undo(pair: Pair) -> Pair:
        feeds = {**pair.feeds, name: np.ascontiguousarray(change(pair.feeds[name]))}
        return Pair(pair.reference, rerun(feeds))

    return undo


INPUTS = Family(as_is, _guesses)

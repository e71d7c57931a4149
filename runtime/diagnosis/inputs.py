"""Causes at the input: the candidate is run again on what it may have wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from edgeup.runtime.diagnosis.contract import Family, Guess, Pair, Rerun, as_is
from edgeup.runtime.diagnosis.normalisations import NORMALISATIONS, named_words
from edgeup.spec import Array


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
        if shape[2] == shape[3] > 1:
            yield Guess(
                "input transposed",
                f"the candidate reads height and width of input {name} transposed",
                _on(name, lambda array: array.swapaxes(2, 3), rerun),
            )
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

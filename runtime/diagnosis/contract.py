"""What a diagnosis is: a guess at the cause that, once undone, makes most of the error vanish."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from edgeup.spec import Array, Feeds

EXACT, FITTED, RESAMPLED = 10.0, 50.0, 3.0
"""A guess is reported when undoing it leaves at most one part in this many of the RMS error, and
of the reference's own spread: a constant must not pass for an explanation. Swapped channels are
undone but for rounding (in fp16, a 20th and less is left); a scale and an offset that are fitted
bring a tanh within a 10th of a sigmoid; moved pixels are undone by interpolation only."""

ROUNDING = 1e-5
"""RMS errors up to this share of the peak have no cause but rounding."""

_STRANGE = 2.0
"""What an element counts, in peaks, that is NaN or infinite on one side alone."""

Rerun: TypeAlias = "Callable[[Feeds], Array]"
"""Runs the candidate on other inputs, and gives the same output."""


@dataclass(frozen=True)
class Pair:
    """One output of both sides in one case; ``feeds``: the inputs, where they are known."""

    reference: Array
    candidate: Array
    feeds: Feeds = field(default_factory=dict)


def as_is(pair: Pair) -> Pair:
    """The view of guesses that need no preparation."""
    return pair


@dataclass(frozen=True)
class Guess:
    """A possible cause.

    Attributes:
        kind: its name.
        words: one line for people.
        undo: the pair as it would be without that fault.
        figures: what the guess found, for a report.
    """

    kind: str
    words: str
    undo: Callable[[Pair], Pair]
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Guesses of one sort, of which at most one is reported: the best, or the first of equals.

    Attributes:
        view: what of a pair they are judged on; None where they do not apply to it.
        guesses: from what ``view`` gave, and a way to run the candidate again if there is one.
        undo_nothing: what the error before is taken on.
        explains: how much smaller the error must become.
    """

    view: Callable[[Pair], Pair | None]
    guesses: Callable[[Sequence[Pair], Rerun | None], Iterable[Guess]]
    undo_nothing: Callable[[Pair], Pair] = as_is
    explains: float = EXACT


@dataclass(frozen=True)
class Diagnosis:
    """A cause that explains the error; ``before`` and ``after`` are RMS errors by the peak.

    Both are taken on what the guess is judged on: shifts, for one, on smoothed planes.
    """

    kind: str
    words: str
    before: float
    after: float
    figures: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {
            "kind": self.kind,
            "words": self.words,
            "error_before": self.before,
            "error_after": self.after,
            **self.figures,
        }


def same_shape(pair: Pair) -> Pair | None:
    """The view of guesses about numbers: both sides in float64."""
    if pair.reference.shape != pair.candidate.shape:
        return None
    r, c = (array.astype(np.float64, copy=False) for array in (pair.reference, pair.candidate))
    return Pair(r, c, pair.feeds)


def error(pair: Pair) -> float:
    """The RMS error as a share of the reference's peak; its spread where shapes differ."""
    reference = pair.reference.astype(np.float64, copy=False)
    if reference.shape != pair.candidate.shape:
        return spread(pair)
    candidate = pair.candidate.astype(np.float64, copy=False)
    finite = np.isfinite(reference) & np.isfinite(candidate)
    alike = (reference == candidate) | (np.isnan(reference) & np.isnan(candidate))
    with np.errstate(invalid="ignore"):
        distance = np.abs(candidate - reference) / _peak(reference)
    distance = np.where(alike, 0.0, np.where(finite, distance, _STRANGE))
    return _rms(distance)


def spread(pair: Pair) -> float:
    """The RMS distance of the reference from its mean, as a share of its peak."""
    reference = pair.reference.astype(np.float64, copy=False)
    finite = reference[np.isfinite(reference)]
    return _rms((finite - finite.mean()) / _peak(reference)) if finite.size else 0.0


def pooled(figures: Iterable[float]) -> float:
    """One figure of several cases."""
    return _rms(np.array(list(figures)))


def _peak(reference: Array) -> float:
    finite = np.abs(reference[np.isfinite(reference)])
    return float(finite.max(initial=0.0)) or 1.0


def _rms(values: Array) -> float:
    return math.sqrt(float(np.mean(np.square(values)))) if values.size else 0.0

"""Tries every family of causes on the outputs of two models, and tells which explain the error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from edgeup.runtime.diagnosis.arrangement import AXES, PLANES
from edgeup.runtime.diagnosis.contract import (
    ROUNDING,
    Diagnosis,
    Family,
    Guess,
    Pair,
    Rerun,
    error,
    pooled,
    spread,
)
from edgeup.runtime.diagnosis.inputs import INPUTS
from edgeup.runtime.diagnosis.resampling import RESAMPLING
from edgeup.runtime.diagnosis.values import AFFINE, CLIPPED, NORMALISED, NOT_FINITE

FAMILIES: tuple[Family, ...] = (
    NOT_FINITE,
    CLIPPED,
    AXES,
    PLANES,
    RESAMPLING,
    NORMALISED,
    AFFINE,
    INPUTS,  # last: each of its guesses runs the candidate
)


def diagnose(pairs: Sequence[Pair], rerun: Rerun | None = None) -> tuple[Diagnosis, ...]:
    """The causes that explain the error, the one that leaves least of it first; often none.

    Args:
        pairs: one output of both sides, over cases that differ from each other: a guess must
            hold for all of them together.
        rerun: runs the candidate; without it, causes at the input cannot be told.

    Raises:
        EdgeupError: the candidate does not run.
    """
    if pooled(error(pair) for pair in pairs) <= ROUNDING:
        return ()
    found = [best for family in FAMILIES for best in _best(family, pairs, rerun)]
    if not found:
        return ()
    enough = max(2 * min(one.after for one in found), ROUNDING)
    return tuple(sorted((d for d in found if d.after <= enough), key=lambda d: d.after))


def _best(family: Family, pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Diagnosis]:
    """What the family says: at most one guess."""
    seen = [view for pair in pairs if (view := family.view(pair)) is not None]
    plain = [family.undo_nothing(view) for view in seen]
    before = pooled(error(pair) for pair in plain)
    if before <= ROUNDING:
        return
    limit = min(before, pooled(spread(pair) for pair in plain)) / family.explains
    best: tuple[float, Guess] | None = None
    for guess in family.guesses(seen, rerun):
        after = _after(guess, seen, limit)
        if after <= limit and (best is None or after < best[0] / 2):
            best = after, guess
    if best is not None:
        after, guess = best
        yield Diagnosis(guess.kind, guess.words, before, after, guess.figures)


def _after(guess: Guess, seen: Sequence[Pair], limit: float) -> float:
    """The pooled error of a guess; infinite as soon as it is certain to be over the limit, and
    where no reference varies any more: whatever fits a constant proves nothing.
    """
    errors: list[float] = []
    varies = False
    for pair in seen:
        undone = guess.undo(pair)
        errors.append(error(undone))
        if math.hypot(*errors) > limit * math.sqrt(len(seen)):
            return math.inf
        varies = varies or spread(undone) > ROUNDING
    return pooled(errors) if varies else math.inf

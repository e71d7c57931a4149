"""Causes that move pixels: shifts by half pixels, aligned corners for half-pixel centres.

Both sides are resampled by half of the guess, in opposite directions, so that the interpolation
blurs both alike; they are smoothed before, since a wrong coordinate mode moves the picture and
its aliases differently. Planes lose their mean: a shifted ramp is a ramp plus a constant, and a
wrong bias must not pass for a shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

from edgeup.runtime.diagnosis.contract import RESAMPLED, Family, Guess, Pair, Rerun
from edgeup.spec import Array

_LEAST = 20
"""Pixels that a side must have."""

_LEFT = 0.1
"""The share of its spread that a picture must keep when it is smoothed: of a checkerboard nothing
is left to compare. What a sub-pixel convolution makes of a photograph keeps 0.15 and more."""

_MOST_PLANES = 8
_SAMPLES = 128
"""Pixels of each axis at which the sides are compared, at most."""

_SMOOTHING = 8
"""How often neighbours are averaged; each time, an axis loses one pixel."""

_SHIFTS = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0)
_STRIDES = (1, 2, 4, 8, 16, 32)


def _view(pair: Pair) -> Pair | None:
    if pair.reference.shape != pair.candidate.shape or pair.reference.ndim < 2:
        return None
    if min(pair.reference.shape[-2:]) < _LEAST:
        return None
    r, c = _some_planes(pair.reference), _some_planes(pair.candidate)
    if not (np.isfinite(r).all() and np.isfinite(c).all()):
        return None
    smoothed = _smooth(r)
    kept = _spread(smoothed) >= _LEFT * _spread(r)
    return Pair(smoothed, _smooth(c)) if kept else None


def _some_planes(array: Array) -> Array:
    planes: Array = array.reshape(-1, *array.shape[-2:])
    return planes[:: -(-len(planes) // _MOST_PLANES)].astype(np.float64)


def _spread(planes: Array) -> float:
    """The RMS distance from each plane's mean."""
    return float(planes.std(axis=(1, 2)).max())


def _smooth(planes: Array) -> Array:
    """Means of neighbours, again and again."""
    for _ in range(_SMOOTHING):
        planes = (planes[:, 1:] + planes[:, :-1]) / 2
        planes = (planes[:, :, 1:] + planes[:, :, :-1]) / 2
    return planes


Move = Callable[[Array, int, float], Array]
"""From pixels of an axis, its size and a share of the move: where they are read."""


def _guesses(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    for down, right in product(_SHIFTS, repeat=2):
        if down or right:
            yield Guess(
                _shift_kind(down, right),
                _shift_words(down, right),
                _undo(_shifted(down), _shifted(right)),
                {"down": down, "right": right},
            )
    for outer, inner in product(_STRIDES, _STRIDES):
        if outer != inner:
            aligned = "candidate" if outer > inner else "reference"
            other = "reference" if outer > inner else "candidate"
            yield Guess(
                "align_corners",
                f"the {aligned} aligns corners where the {other} takes half-pixel centres",
                _undo(_stretched(outer, inner), _stretched(outer, inner)),
                {"strides": [outer, inner]},
            )


def _shift_kind(down: float, right: float) -> str:
    largest = max(abs(down), abs(right))
    return {0.5: "half-pixel shift", 1.0: "one-pixel shift"}.get(largest, "shift")


def _shift_words(down: float, right: float) -> str:
    parts = [
        f"{abs(by):g} pixel{'s' if abs(by) > 1 else ''} {way[by > 0]}"
        for by, way in ((down, ("up", "down")), (right, ("left", "right")))
        if by
    ]
    return (
        f"the candidate is the reference moved by {' and '.join(parts)}: the signature of a "
        f"wrong coordinate mode or padding in an upsampling"
    )


def _shifted(by: float) -> Move:
    """``candidate(x) = reference(x - by)``."""
    return lambda at, size, share: at - share * by


def _stretched(outer: int, inner: int) -> Move:
    """An aligned resize from N/outer to N/inner pixels reads the half-pixel one at x', with

    x' - m = (x - m) (N - outer) / (N - inner),  m = (N - 1) / 2

    of the output's N pixels: half-pixel centres read the source at (x + 0.5) / s - 0.5, aligned
    corners at x (n - 1) / (s n - 1), and several of them in a row telescope.
    """

    def move(at: Array, size: int, share: float) -> Array:
        whole, middle = size + _SMOOTHING, (size - 1) / 2
        ratio = max(whole - outer, 1) / max(whole - inner, 1)
        stretched: Array = (at - middle) * ratio**share + middle
        return stretched

    return move


def _undo(down: Move, right: Move) -> Callable[[Pair], Pair]:
    def undo(pair: Pair) -> Pair:
        return Pair(
            _read(pair.reference, down, right, 0.5), _read(pair.candidate, down, right, -0.5)
        )

    return undo


def _read(planes: Array, down: Move, right: Move, share: float) -> Array:
    """What is read at the inner pixels, moved; without each plane's mean."""
    for axis, move in ((1, down), (2, right)):
        size = planes.shape[axis]
        margin = 2  # paddings differ near the border
        at = move(np.arange(margin, size - margin, -(-size // _SAMPLES)), size, share)
        at = np.clip(at, 0, size - 1)
        below = np.minimum(at.astype(np.int64), size - 2)
        weight = (at - below).reshape((-1, 1) if axis == 1 else (-1,))
        low, high = planes.take(below, axis), planes.take(below + 1, axis)
        planes = low + (high - low) * weight
    read: Array = planes - planes.mean(axis=(1, 2), keepdims=True)
    return read


_STILL = _shifted(0.0)

RESAMPLING = Family(_view, _guesses, _undo(_STILL, _STILL), RESAMPLED)

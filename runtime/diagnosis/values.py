"""Causes that change numbers where they stand: clipping, saturation, an affine map."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgeup.runtime.diagnosis.contract import (
    FITTED,
    ROUNDING,
    Family,
    Guess,
    Pair,
    Rerun,
    same_shape,
)
from edgeup.runtime.diagnosis.normalisations import (
    MILDEST_FACTOR,
    NORMALISATIONS,
    Normalisation,
    named_words,
)
from edgeup.spec import Array

_FP16_LARGEST = 65504.0

_NEARLY = 0.99 * _FP16_LARGEST
"""Of the reference: fp16 rounding on the way here may have moved the candidate beyond the end."""

_FITS = 1e-4
"""How near a fitted scale of 1 comes to it."""


def _not_finite(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    outside = [_is_saturated(pair) for pair in pairs]
    if count := sum(int(mask.sum()) for mask in outside):
        yield Guess(
            "fp16 saturation",
            f"fp16 ends at 65504: the candidate has infinity or 65504 in {count} elements, where "
            f"the reference goes beyond",
            _with_saturation,
            {"elements": count},
        )
    for kind, test in (("NaN", np.isnan), ("infinity", np.isinf)):
        masks = [test(pair.candidate) & np.isfinite(pair.reference) for pair in pairs]
        if count := sum(int(mask.sum()) for mask in masks):
            of = sum(mask.size for mask in masks)
            yield Guess(
                kind,
                f"{kind} in {count} of {of} elements, where the reference is finite",
                _without(test),
                {"elements": count},
            )


def _is_saturated(pair: Pair) -> Array:
    """Where both sides are at fp16's end or beyond, and the candidate no further than it."""
    r, c = pair.reference, pair.candidate
    ends = (np.abs(c) == _FP16_LARGEST) | np.isinf(c)  # 65504 itself, or what 65520 rounds to
    saturated: Array = ends & (np.abs(r) >= _NEARLY) & (np.sign(r) == np.sign(c))
    return saturated


def _with_saturation(pair: Pair) -> Pair:
    return Pair(pair.reference, np.where(_is_saturated(pair), pair.reference, pair.candidate))


def _without(test: Callable[[Array], Array]) -> Callable[[Pair], Pair]:
    def undo(pair: Pair) -> Pair:
        there = test(pair.candidate) & np.isfinite(pair.reference)
        return Pair(pair.reference, np.where(there, pair.reference, pair.candidate))

    return undo


def _clipped(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    beyond = sum(int((pair.reference > 6).sum()) for pair in pairs)
    yield Guess(
        "ReLU6 for ReLU",
        f"the candidate is clipped at 6 where the reference goes beyond ({beyond} elements): "
        f"ReLU6 in place of ReLU",
        lambda pair: Pair(np.minimum(pair.reference, 6.0), pair.candidate),
        {"elements": beyond},
    )
    beyond = sum(int((pair.candidate > 6).sum()) for pair in pairs)
    yield Guess(
        "ReLU for ReLU6",
        f"the candidate goes beyond 6 where the reference is clipped ({beyond} elements): ReLU "
        f"in place of ReLU6",
        lambda pair: Pair(pair.reference, np.minimum(pair.candidate, 6.0)),
        {"elements": beyond},
    )
    for side, other in (("candidate", "reference"), ("reference", "candidate")):
        yield Guess(
            "ReLU",
            f"the {side} is the {other} without its negative values: a ReLU on one side alone",
            _rectified(side),
        )


def _rectified(side: str) -> Callable[[Pair], Pair]:
    if side == "candidate":
        return lambda pair: Pair(np.maximum(pair.reference, 0.0), pair.candidate)
    return lambda pair: Pair(pair.reference, np.maximum(pair.candidate, 0.0))


def _normalised(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    for one in NORMALISATIONS:
        for doubled in (False, True):
            if all(one.fits(pair.candidate) for pair in pairs):
                yield Guess(
                    "output normalisation",
                    named_words("output", one, doubled),
                    _renormalised(one, doubled),
                    {"normalisation": one.name},
                )


def _affine(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    fit = _fit(pairs)
    if fit is not None:
        scale, offset = fit
        yield Guess(
            "output scale",
            _affine_words(scale, offset, max(float(np.abs(p.reference).max()) for p in pairs)),
            lambda pair: Pair(pair.reference, (pair.candidate - offset) / scale),
            {"scale": scale, "offset": offset},
        )


def _affine_words(scale: float, offset: float, peak: float) -> str:
    """A cause is offered for factors alone that one may have: 1.001 is no normalisation's."""
    found = f"the candidate is {scale:.6g} times the reference"
    if not abs(offset) <= ROUNDING * peak:
        found += f" plus {offset:.6g}"
    if abs(math.log(abs(scale))) >= (1 - _FITS) * math.log(MILDEST_FACTOR):
        return f"{found}: a scale or normalisation at the output that is missing or applied twice"
    if abs(scale - 1) <= _FITS:
        return f"{found}: a bias at the output that is missing or applied twice"
    return f"{found}: a scale of {scale:.4g}"


def _renormalised(one: Normalisation, inverse: bool) -> Callable[[Pair], Pair]:
    return lambda pair: Pair(pair.reference, one.apply(pair.candidate, inverse))


def _fit(pairs: Sequence[Pair]) -> tuple[float, float] | None:
    """Least squares over all cases, each weighted by its peak; None where nothing varies."""
    moments = np.zeros(5)
    for pair in pairs:
        r, c = pair.reference.ravel(), pair.candidate.ravel()
        kept = np.isfinite(r) & np.isfinite(c)
        r, c = r[kept], c[kept]
        if r.size:
            weight = 1.0 / (r.size * (float(np.abs(r).max()) or 1.0) ** 2)
            moments += weight * np.array([r.size, r.sum(), c.sum(), r @ r, r @ c])
    n, sr, sc, srr, src = moments
    variance = n * srr - sr * sr
    if not variance > 1e-12 * n * srr:
        return None
    scale = (n * src - sr * sc) / variance
    return (float(scale), float((sc - scale * sr) / n)) if scale else None


NOT_FINITE = Family(same_shape, _not_finite)
CLIPPED = Family(same_shape, _clipped)
NORMALISED = Family(same_shape, _normalised)
AFFINE = Family(same_shape, _affine, explains=FITTED)

"""Kernels as arrays of taps: spread, fit, box, condense, and the split into phases.

Every kernel here is ``co ci *k`` (any number of spatial axes, which start at axis 2), and every
function but `box_sum` only moves taps or adds and drops zero ones, so it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edgeup.spec import Array

FIRST_SPATIAL = 2


def at(places: Iterable[int | slice]) -> tuple[Any, ...]:
    """An index of the spatial axes, which are the last."""
    return (..., *places)


def spread(weight: Array, dilations: Sequence[int]) -> Array:
    """A dilated kernel written out: ``dilation - 1`` zero taps between neighbours."""
    kernel = weight.shape[FIRST_SPATIAL:]
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    result = np.zeros((*weight.shape[:FIRST_SPATIAL], *extent), weight.dtype)
    result[at(slice(None, None, d) for d in dilations)] = weight
    return result


def flip(weight: Array) -> Array:
    """Reverse the order of the taps: a kernel that gathers becomes one that scatters."""
    return np.flip(weight, tuple(range(FIRST_SPATIAL, weight.ndim)))


def fit(weight: Array, before: Sequence[int], after: Sequence[int]) -> Array:
    """Add zero taps at both ends of each axis; a negative number drops taps."""
    grow = [(max(0, b), max(0, a)) for b, a in zip(before, after, strict=True)]
    padded = np.pad(weight, [(0, 0)] * FIRST_SPATIAL + grow)
    kept: Array = padded[
        at(
            slice(max(0, -b), size - max(0, -a))
            for b, a, size in zip(before, after, padded.shape[FIRST_SPATIAL:], strict=True)
        )
    ]
    return kept


def box_sum(weight: Array, extents: Sequence[int]) -> Array:
    """Convolve with a box of ones: each tap becomes the sum of ``extent`` neighbours.

    The sums are made in float64 and rounded once to the kernel's own dtype.
    """
    total = weight.astype(np.float64)
    for axis, extent in enumerate(extents, FIRST_SPATIAL):
        longer = (*total.shape[:axis], total.shape[axis] + extent - 1, *total.shape[axis + 1 :])
        summed = np.zeros(longer)
        for shift in range(extent):
            window = slice(shift, shift + total.shape[axis])
            summed[(slice(None),) * axis + (window,)] += total
        total = summed
    return total.astype(weight.dtype)


def occupied(weight: Array, axis: int) -> list[int]:
    """Indices along ``axis`` where some tap is not zero, in order."""
    # Over the channels first: they are most of the kernel, and lie together.
    used = (weight != 0).any(axis=tuple(range(FIRST_SPATIAL)))
    others = tuple(a for a in range(used.ndim) if a != axis - FIRST_SPATIAL)
    return [int(i) for i in np.flatnonzero(used.any(axis=others))]


def condense(weight: Array) -> tuple[Array, tuple[int, ...]]:
    """The inverse of `spread`: the kernel without regular gaps, and its dilations.

    Both end taps stay, so that the extent of the kernel is kept.
    """
    dilations = []
    for axis in range(FIRST_SPATIAL, weight.ndim):
        gap = math.gcd(*occupied(weight, axis), weight.shape[axis] - 1)
        dilations.append(max(1, gap))
    return weight[at(slice(None, None, d) for d in dilations)], tuple(dilations)


def split_phases(weight: Array, strides: Sequence[int]) -> Array:
    """``co ci *(t s)`` to ``*s co ci *t``: the taps of each phase, side by side."""
    axes = len(strides)
    folded = [n for k, s in zip(weight.shape[2:], strides, strict=True) for n in (k // s, s)]
    blocks = weight.reshape(*weight.shape[:2], *folded)
    taps, phases = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    split: Array = blocks.transpose(*phases, 0, 1, *taps)
    return split


def merge_phases(phases: Array, strides: Sequence[int]) -> Array:
    """The inverse of `split_phases`: ``*s co ci *t`` to ``co ci *(t s)``."""
    axes = len(strides)
    pairs = [a for i in range(axes) for a in (axes + 2 + i, i)]
    extents = [t * s for t, s in zip(phases.shape[axes + 2 :], strides, strict=True)]
    woven = phases.transpose(axes, axes + 1, *pairs)
    merged: Array = woven.reshape(*phases.shape[axes : axes + 2], *extents)
    return merged


def dense_from_grouped(rows: Array, owner: Array, groups: int) -> Array:
    """Rows ``... ci/g *k`` over their own group's inputs, as rows ``... ci *k`` over all inputs.

    Args:
        rows: the kernels; the leading axes are those of ``owner``.
        owner: which group of inputs each row reads.
        groups: the number of groups.
    """
    lead, (width, *kernel) = owner.shape, rows.shape[owner.ndim :]
    result = np.zeros((*lead, groups, width, *kernel), rows.dtype)
    for group in range(groups):
        mine = owner == group
        result[mine, group] = rows[mine]
    return result.reshape(*lead, groups * width, *kernel)


def swap_channels(weight: Array, groups: int) -> Array:
    """Between Conv's layout ``co ci/g *k`` and ConvTranspose's ``ci co/g *k``: its own inverse."""
    first, second, *kernel = weight.shape
    grouped = weight.reshape(groups, first // groups, second, *kernel)
    swapped = grouped.swapaxes(1, 2).reshape(groups * second, first // groups, *kernel)
    return np.ascontiguousarray(swapped)

"""A polyphase filter applied by its definition: slow, and plain enough to be checked by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeup.polyphase import taps
from edgeup.spec import Array


def scatter(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    offsets: Sequence[int],
    output: Sequence[int],
) -> Array:
    """Add ``weight[m] x[i]`` to output ``stride i + offset + m``, for every input and tap.

    Args:
        x: ``n g ci/g *d``.
        weight: ``g co/g ci/g *k``.
        strides: upsampling factor per axis.
        offsets: place of the first tap, per axis.
        output: extents of the output; what falls outside is dropped.

    Returns:
        ``n co *output``.
    """
    spatial, kernel = x.shape[3:], weight.shape[3:]
    # A canvas that holds all that the taps reach and all of the output.
    low = [min(0, o) for o in offsets]
    axes = zip(output, spatial, strides, offsets, kernel, strict=True)
    high = [max(e, s * (n - 1) + o + k) for e, n, s, o, k in axes]
    canvas = np.zeros(
        (*x.shape[:2], weight.shape[1], *(h - lo for h, lo in zip(high, low, strict=True))),
        np.result_type(x, weight),
    )
    for tap in np.ndindex(*kernel):
        firsts = [o + m - lo for o, m, lo in zip(offsets, tap, low, strict=True)]
        places = [
            slice(first, first + s * (n - 1) + 1, s)
            for first, s, n in zip(firsts, strides, spatial, strict=True)
        ]
        canvas[taps.at(places)] += np.einsum("goi,ngi...->ngo...", weight[taps.at(tap)], x)
    window: Array = canvas[taps.at(slice(-lo, e - lo) for lo, e in zip(low, output, strict=True))]
    joined: Array = window.reshape(len(x), -1, *output)
    return joined


def tile(bias: Array, output: Sequence[int]) -> Array:
    """A periodic bias ``co *s`` over a map of extents ``output``: ``co *output``."""
    repeats = [-(-e // s) for e, s in zip(output, bias.shape[1:], strict=True)]
    tiled: Array = np.tile(bias, (1, *repeats))[taps.at(slice(e) for e in output)]
    return tiled

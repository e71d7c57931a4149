"""ZFNet's max pooling, whose windows overlap, and the unpooling by its switches.

One position can be the maximum of up to four windows. What comes back to it is added up, as the
gradient of max pooling does; max unpooling by indices would let one of the values win, and which
one is undefined. NOT VERIFIED: what Zeiler and Fergus do there; their text, as others quote it,
says that a value goes to the place of its switch.

Where the largest values of a window differ by rounding alone, another backend may set the other
switch: the outputs then differ in one place by far more than rounding.

Made of slices, comparisons and an interleave. A scatter that adds is not an option where TensorRT
8.2 to 9.3 has to run it: there ScatterElements ignores ``reduction`` without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import torch
import torch.nn.functional as F

from edgeup.models.upsampling.interleave import interleave

_KERNEL: Final = 3
_STRIDE: Final = 2
_TAPS: Final = tuple(product(range(_KERNEL), repeat=2))
"""Places within a window, in row-major order."""


def pool_with_switches(x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """3x3 max pooling of stride 2 that keeps a last partial window.

    Args:
        x: ``n c h w``, never negative (a partial window is filled with zeros), at least 2x2.

    Returns:
        The maxima ``n c h//2 w//2``, and for each of the nine places in a window, whether the
        maximum is there. Of equal values the first wins.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    padded = F.pad(x, (0, 2 * width + 1 - x.shape[3], 0, 2 * height + 1 - x.shape[2]))
    values = F.max_pool2d(padded, _KERNEL, _STRIDE)
    switches: list[torch.Tensor] = []
    taken = torch.zeros_like(values, dtype=torch.bool)
    for i, j in _TAPS:
        tap = padded[:, :, i : i + 2 * height - 1 : _STRIDE, j : j + 2 * width - 1 : _STRIDE]
        equal = tap == values
        switches.append(equal & ~taken)
        taken = taken | equal
    return values, switches


def unpool_by_switches(
    x: torch.Tensor, switches: Sequence[torch.Tensor], size: Sequence[int]
) -> torch.Tensor:
    """Each value to its switch's place, zeros elsewhere; values that meet are added.

    Args:
        x: ``n c h w``.
        switches: as `pool_with_switches` gave them.
        size: height and width before the pooling.
    """
    phases = [x.new_zeros(*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1)] * _STRIDE**2
    for (i, j), switch in zip(_TAPS, switches, strict=True):
        # Place i of window k is row 2k + i: row k + i//2 of phase i%2.
        down, right = i // _STRIDE, j // _STRIDE
        margins = (right, 1 - right, down, 1 - down)
        phase = _STRIDE * (i % _STRIDE) + j % _STRIDE
        phases[phase] = phases[phase] + F.pad(torch.where(switch, x, 0.0), margins)
    return interleave(phases, _STRIDE)[:, :, : size[0], : size[1]]

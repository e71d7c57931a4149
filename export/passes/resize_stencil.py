"""A resize matrix whose rows are one row, moved on by a stride: a convolution or a pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeup.export.passes.resize_matrix import Floats

_ROUNDING = 1e-6
"""Weights that differ by less are one weight, computed from other float32 places."""


@dataclass(frozen=True, eq=False)
class Stencil:
    """``y[o] = sum over t of taps[t] x[stride o + t]``, without anything beyond the borders."""

    taps: Floats
    stride: int

    @property
    def is_mean(self) -> bool:
        """Whether it averages its taps."""
        return bool(np.allclose(self.taps, 1 / len(self.taps), rtol=0, atol=_ROUNDING))


def stencil_of(matrix: Floats) -> Stencil | None:
    """The stencil of a matrix ``size length``, if it is one."""
    size, length = matrix.shape
    used = [np.flatnonzero(np.abs(row) > _ROUNDING) for row in matrix]
    if any(not len(places) for places in used) or used[0][0] != 0:
        return None
    reach = int(used[0][-1]) + 1
    taps = matrix[0, :reach]
    stride = int(used[1][0]) if size > 1 else length
    if stride < 1 or (length - reach) // stride + 1 != size:
        return None
    wanted = np.zeros_like(matrix)
    for row in range(size):
        wanted[row, row * stride : row * stride + reach] = taps
    return Stencil(taps, stride) if np.allclose(matrix, wanted, rtol=0, atol=_ROUNDING) else None

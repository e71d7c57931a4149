"""Numbers given once, or once per spatial axis: read them, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edgeup.errors import EdgeupError

Axes: TypeAlias = "int | Sequence[int]"
"""One number for every spatial axis, or one per axis, in the order ``d h w``."""


def per_axis(what: str, value: Axes, rank: int, least: int) -> tuple[int, ...]:
    """``value`` as one integer per spatial axis.

    Args:
        what: the argument's name, for the error line.
        value: one integer for all axes, or one per axis.
        rank: how many spatial axes there are.
        least: the smallest value that makes sense.

    Raises:
        EdgeupError: a wrong count, not an integer, or smaller than ``least``.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise EdgeupError(f"{what} has {len(values)} values, {value!r}; give one, or {rank}")
    for number in values:
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise EdgeupError(f"{what} is {value!r}; it takes integers of at least {least}")
    return values


def spatial_rank(rank: int) -> int:
    """``rank``, if there are convolutions and poolings of that many spatial axes.

    Raises:
        EdgeupError: it is not 1, 2 or 3.
    """
    if rank not in (1, 2, 3):
        raise EdgeupError(f"rank is {rank!r}; there are 1, 2 and 3 spatial axes")
    return rank


def whole_factor(value: int, least: int = 2) -> int:
    """``value``, if it is an integer factor of at least ``least``.

    Raises:
        EdgeupError: it is not.
    """
    return per_axis("factor", value, 1, least)[0]


def odd_kernel(value: int) -> int:
    """``value``, if a convolution with that kernel and pad ``(k - 1) / 2`` keeps the size.

    Raises:
        EdgeupError: it is even, or not a positive integer.
    """
    kernel = per_axis("kernel", value, 1, 1)[0]
    if kernel % 2 == 0:
        raise EdgeupError(f"kernel is {kernel}; only an odd one keeps the size, give {kernel + 1}")
    return kernel

"""Causes that put the right numbers in other places: axes, channels, phases of s x s blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from edgeup.runtime.diagnosis.contract import Family, Guess, Pair, Rerun, as_is, same_shape
from edgeup.spec import Array

_BLOCKS = (1, 2, 3, 4)
"""Sides s of the blocks that a sub-pixel convolution fills; 1 is channels alone."""

_MOST_PLANES = 1024
"""Each plane is compared with each other."""


def _axes(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    rank = pairs[0].reference.ndim
    if not 2 <= rank <= 4 or any(pair.reference.ndim != rank for pair in pairs):
        return
    if any(pair.reference.size != pair.candidate.size for pair in pairs):
        return
    names = "nchw"[-rank:]
    for order in permutations(range(rank)):
        if order == tuple(range(rank)):
            continue
        to = " ".join(names[axis] for axis in order)
        fits = all(p.reference.transpose(order).shape == p.candidate.shape for p in pairs)
        if fits:
            yield Guess(
                "axes transposed",
                f"the candidate's axes are the reference's in another order: {to} for "
                f"{' '.join(names)}",
                _reordered(order),
                {"axes": list(order)},
            )
        yield Guess(
            "layout",
            f"the candidate's numbers stand in the order of {to}, read as {' '.join(names)}: a "
            f"Reshape in place of a Transpose",
            _reordered(order),
            {"axes": list(order)},
        )


def _reordered(order: tuple[int, ...]) -> Callable[[Pair], Pair]:
    def undo(pair: Pair) -> Pair:
        moved = pair.reference.transpose(order).reshape(pair.candidate.shape)
        return Pair(moved, pair.candidate)

    return undo


def _planes(pairs: Sequence[Pair], rerun: Rerun | None) -> Iterator[Guess]:
    for side in _BLOCKS:
        if not all(_splits(pair.reference, side) for pair in pairs):
            continue
        order = _matched(pairs, side)
        if order is None:
            continue
        channels = pairs[0].reference.shape[1]
        kind, words = _channel_words(order) if side == 1 else _block_words(order, side, channels)
        yield Guess(
            kind,
            words,
            _replaced(side, order),
            {"block": side, "order": order},
        )


def _replaced(side: int, order: list[int]) -> Callable[[Pair], Pair]:
    def undo(pair: Pair) -> Pair:
        return Pair(
            split_planes(pair.reference, side)[:, order], split_planes(pair.candidate, side)
        )

    return undo


def _splits(array: Array, side: int) -> bool:
    if array.ndim != 4 or array.shape[2] % side or array.shape[3] % side:
        return False
    return 1 < array.shape[1] * side * side <= _MOST_PLANES and array.size > 0


def split_planes(array: Array, side: int) -> Array:
    """Pixels (i, j) of each s x s block as planes of their own: n c h w to n css h/s w/s."""
    n, c, h, w = array.shape
    blocks: Array = array.reshape(n, c, h // side, side, w // side, side)
    planes: Array = blocks.transpose(0, 1, 3, 5, 2, 4)
    return planes.reshape(n, c * side * side, h // side, w // side)


def _matched(pairs: Sequence[Pair], side: int) -> list[int] | None:
    """For each plane of the candidate the nearest of the reference, if that is another order."""
    distance: npt.NDArray[np.float64] | float = 0.0
    for pair in pairs:
        r, c = (_rows(array, side) for array in (pair.reference, pair.candidate))
        if not (np.isfinite(r).all() and np.isfinite(c).all()):
            return None
        peak = float(np.abs(r).max()) or 1.0
        r, c = r / peak, c / peak
        cross = (c**2).sum(1)[:, None] + (r**2).sum(1)[None] - 2 * (c @ r.T)
        distance = distance + cross / r.shape[1]
    assert not isinstance(distance, float)  # noqa: S101 (there is at least one pair)
    # Where planes are alike, each is its own.
    own = np.diag(distance) <= distance.min(1) * (1 + 1e-6) + 1e-12
    order = np.where(own, np.arange(len(distance)), distance.argmin(1))
    found = [int(index) for index in order]
    moved = found != sorted(found)
    return found if moved and sorted(found) == list(range(len(found))) else None


def _rows(array: Array, side: int) -> Array:
    """Each plane as one row, over all images of the batch."""
    planes = split_planes(array, side).swapaxes(0, 1)
    rows: Array = planes.reshape(len(planes), -1)
    return rows


def _channel_words(order: list[int]) -> tuple[str, str]:
    count = len(order)
    moved = [index for index, source in enumerate(order) if index != source]
    if count == 3 and order == [2, 1, 0]:
        return "channels swapped", "output channels 0 and 2 are swapped: BGR for RGB"
    if len(moved) == 2:
        return "channels swapped", f"output channels {moved[0]} and {moved[1]} are swapped"
    if order == list(range(count))[::-1]:
        return "channels swapped", "the output's channels are in reverse order"
    shown = ", ".join(f"{index} is {order[index]}" for index in moved[:6])
    return "channels swapped", f"{len(moved)} of {count} channels are in another order ({shown})"


def _block_words(order: list[int], side: int, channels: int) -> tuple[str, str]:
    """Planes are numbered c s s; DepthToSpace reads input channels as c s s (CRD) or s s c (DCR),
    https://onnx.ai/onnx/operators/onnx__DepthToSpace.html.
    """
    numbers = np.arange(channels * side * side)
    depth_first = numbers.reshape(side * side, channels).T.ravel()
    turned = numbers.reshape(channels, side, side).swapaxes(1, 2).ravel()
    block = f"{side}x{side}"
    for known, words in (
        (depth_first, f"depth first (DCR) where the reference reads {block} blocks first (CRD)"),
        (np.argsort(depth_first), f"{block} blocks first (CRD) where the reference is DCR"),
        (turned, f"with rows and columns of its {block} blocks swapped"),
    ):
        if order == known.tolist():
            return "interleave order", f"a sub-pixel convolution's channels are read {words}"
    moved = sum(index != source for index, source in enumerate(order))
    return (
        "interleave order",
        f"{moved} of {len(order)} phases of {block} blocks are in another order",
    )


AXES = Family(as_is, _axes)
PLANES = Family(same_shape, _planes)

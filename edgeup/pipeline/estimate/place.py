"""Where an estimate is for: a board in a power mode and a precision, and its peaks there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.boards import Board, PowerMode, all_boards, major_minor
from edgeup.errors import EdgeupError
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.export.roofline.speed import Gpu

_HALVES = 2
"""CUDA cores compute fp16 in pairs; no more is taken for int8, where no tensor core helps."""

_FIRST_SUPER = (6, 2)
"""The JetPack that brought NVIDIA's "super" power modes (see data/boards.json)."""


@dataclass(frozen=True)
class Place:
    """A board in a power mode, computing in a precision."""

    board: Board
    mode: PowerMode
    precision: str
    gpu: Gpu


def choose_mode(target: Target, power_mode: str | None) -> tuple[Board, PowerMode]:
    """The board that the target names, and its power mode.

    Raises:
        EdgeupError: it names none, or the board has no such mode with that JetPack.
    """
    board = target.board
    if board is None:
        known = [name for name in (b.name for b in all_boards()) if name in target.boards]
        boards = known or [b.name for b in all_boards()]
        where = f"{boards[0]}@{target.jetpack}" if known and target.jetpack else boards[0]
        raise EdgeupError(
            f"--target {target.name} names no board, and an estimate needs one: write {where}; "
            f"there is {', '.join(boards)}"
        )
    mode = board.mode(power_mode)
    jetpack = None if target.jetpack is None else major_minor(target.jetpack)
    if mode.super and jetpack is not None and jetpack < _FIRST_SUPER:
        raise EdgeupError(
            f"power mode {mode.name} of {board.title} comes with JetPack 6.2, and the target "
            f"{target.name} has {target.jetpack}"
        )
    return board, mode


def place_of(board: Board, mode: PowerMode, precision: str) -> Place:
    """The peaks of a board in a mode and precision.

    Raises:
        EdgeupError: the board does not compute in it, or its peak is not known.
    """
    from edgeup.export.roofline.speed import Gpu
    from edgeup.export.roofline.work import ITEM_BYTES

    if precision not in board.precisions:
        raise EdgeupError(
            f"{board.title} does not compute in {precision}; it has {', '.join(board.precisions)}"
        )
    if precision not in mode.peak:
        raise EdgeupError(
            f"no {precision} peak of {board.title} is on record, so no estimate can be made; "
            f"there is one for {', '.join(name for name in mode.peak if name in ITEM_BYTES)}"
        )
    peak = mode.peak[precision]
    scalar = min(peak, _HALVES * mode.peak.get("fp32", peak))
    highest, clock = board.gpu_max_mhz, mode.gpu_mhz
    slowdown = 1.0 if highest is None or clock is None else highest / clock
    # A TFLOPS is 500 GMAC/s: a multiply-accumulate is two operations.
    gpu = Gpu(peak * 500, scalar * 500, mode.bandwidth_gbs, slowdown)
    return Place(board, mode, precision, gpu)

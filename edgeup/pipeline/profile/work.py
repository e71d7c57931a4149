"""What a measured layer asks of the hardware, and the roof that it is held against."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeup.boards import Board, PowerMode, all_boards
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    import onnx_ir as ir

_OTHER_CAPACITY = re.compile(r" \d+ GB$")
_LEAST_SHOWN, _MOST_SHOWN = 0.8, 1.1
"""Of a board's memory, what Linux shows of it: the firmware keeps a part; GB or GiB."""


def work_of(nodes: Sequence[ir.Node], precision: str | None) -> dict[str, Any]:
    """A row's ``macs``, ``bytes`` and ``kind``; bytes are None where they are not known.

    Args:
        nodes: what the layer computes; none, where it is not traced to any.
        precision: of the numbers that it moves, a key of ``roofline.work.ITEM_BYTES``.
    """
    from edgeup.export.cost import node_macs
    from edgeup.export.passes.estimate import kind_of
    from edgeup.export.roofline.layers import moved

    if not nodes:
        return {"macs": None, "bytes": None, "kind": None}
    counts = [node_macs(node) for node in nodes]
    leading = nodes[counts.index(max(counts))]
    try:
        held = None if precision is None else moved(list(nodes), precision)
    except EdgeupError:  # a shape is not known
        held = None
    kind = "matmul" if leading.op_type in ("MatMul", "Gemm") else kind_of(leading)
    return {"macs": sum(counts), "bytes": held, "kind": kind or "other"}


def roof_section(
    report: Mapping[str, Any], precision: str | None
) -> dict[str, Mapping[str, Any] | str]:
    """``roof`` of the board that the layers ran on; else ``no_roof``, the reason."""
    backend, jetson = report["setting"]["backend"], (report["board"] or {}).get("jetson")
    if backend.startswith("onnxruntime"):
        return {"no_roof": "the peak of a CPU under ONNX Runtime is not on record"}
    if jetson is None:
        return {"no_roof": "it did not run on a Jetson that tells its name"}
    if precision is None:
        return {"no_roof": "the precision that the engine computes in is not known"}
    found = _modes(jetson, report["environment"].get("memory_bytes"))
    if len(found) != 1:
        said = "which board on record it is" if found else "a board on record"
        return {"no_roof": f"{jetson['board']} in mode {jetson['power_mode']} does not tell {said}"}
    return _roof(*found[0], precision)


def _roof(board: Board, mode: PowerMode, precision: str) -> dict[str, Mapping[str, Any] | str]:
    from edgeup.pipeline.estimate.place import place_of

    try:
        place = place_of(board, mode, precision)
    except EdgeupError as error:
        return {"no_roof": str(error)}
    return {
        "roof": {
            "title": board.title,
            "power_mode": mode.name,
            "precision": precision,
            **asdict(place.gpu),
        }
    }


def _modes(jetson: Mapping[str, Any], memory: int | None) -> list[tuple[Board, PowerMode]]:
    """The boards on record that it may be, in the mode that it names."""
    plain = {board.name: _OTHER_CAPACITY.sub("", board.title) for board in all_boards()}
    named = [board for board in all_boards() if plain[board.name] in str(jetson["board"])]
    longest = max((len(plain[board.name]) for board in named), default=0)
    return [
        (board, mode)
        for board in named
        if len(plain[board.name]) == longest and _has_memory(board, memory)
        for mode in board.power_modes
        if mode.name.removesuffix("-super") == jetson["power_mode"]
    ]


def _has_memory(board: Board, memory: int | None) -> bool:
    return memory is None or any(
        _LEAST_SHOWN <= memory / (size * 1e9) <= _MOST_SHOWN for size in board.memory_gb
    )

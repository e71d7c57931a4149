"""A static estimate of what a small model takes on a backend, from its shapes alone.

A node of some kind takes ``a macs + b bytes + c``: multiply-accumulates and memory traffic at the
speeds that the backend was measured to reach for that kind, and what any node costs. The figures
are in ``edgeup/data/efficiency.json``, made by ``tools/calibrate_estimate.py``; those of backends
that could not be measured are marked there, and are roofline figures on the careful side.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from edgeup.errors import unknown
from edgeup.export.passes.facts import attribute, is_onnx, static_shape
from edgeup.export.passes.site_cost import value_bytes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


@dataclass(frozen=True)
class Speed:
    """What one kind of node reaches; None where it does not limit the kind."""

    gmacs_per_s: float | None
    gbytes_per_s: float | None


@dataclass(frozen=True)
class Estimate:
    """What a backend achieves on one core or one GPU; figures are effective, not peak.

    Attributes:
        kinds: speeds by kind of node, see `kind_of`.
        node_us: what a node costs however small it is, in microseconds.
        channel_block: a dense convolution computes its outputs in blocks of so many channels.
        measured: False where the figures are an estimate themselves.
        source: where they come from.
    """

    kinds: Mapping[str, Speed]
    node_us: float
    channel_block: int
    measured: bool
    source: str


KINDS = (
    *("dense", "depthwise", "transposed", "depthwise-transposed"),
    *("interleave", "transpose", "copy", "resize", "resize-linear", "elementwise"),
)
"""The kinds of nodes that differ in speed; `kind_of` gives None to those that cost nothing."""

_FREE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant")
_COPIES = ("Concat", "Slice", "Pad", "Split", "Expand", "Tile")


def efficiency_for(aim: Aim) -> Estimate:
    """The figures for the aim's backend.

    Raises:
        EdgeupError: there are none for such a backend.
    """
    known = _estimates()
    if aim.backend not in known:
        raise unknown("backend", aim.backend, known)
    return known[aim.backend]


@cache
def _estimates() -> dict[str, Estimate]:
    text = (files("edgeup") / "data" / "efficiency.json").read_text(encoding="utf-8")
    return {
        entry["backend"]: Estimate(
            {kind: Speed(**speed) for kind, speed in entry["kinds"].items()},
            entry["node_us"],
            entry["channel_block"],
            entry["measured"],
            entry["source"],
        )
        for entry in json.loads(text)["backends"]
    }


def estimate_ms(model: ir.Model, efficiency: Estimate) -> float | None:
    """Milliseconds for one run; None where a shape is unknown."""
    total = 0.0
    for node in model.graph:
        kind = kind_of(node)
        if kind is None:
            continue
        work = work_of(node, efficiency.channel_block)
        if work is None:
            return None
        macs, moved = work
        speed = efficiency.kinds[kind]
        if speed.gmacs_per_s is not None:
            total += macs / speed.gmacs_per_s * 1e-6
        if speed.gbytes_per_s is not None:
            total += moved / speed.gbytes_per_s * 1e-6
        total += efficiency.node_us * 1e-3
    return total


def kind_of(node: ir.Node) -> str | None:
    """One of `KINDS`; None for what moves no data."""
    if is_onnx(node, "Conv", "ConvTranspose"):
        weight = static_shape(node.inputs[1])
        per_group = None if weight is None else weight[1]
        narrow = int(attribute(node, "group", 1)) > 1 and per_group == 1
        if is_onnx(node, "ConvTranspose"):
            return "depthwise-transposed" if narrow else "transposed"
        return "depthwise" if narrow else "dense"
    if is_onnx(node, "MatMul", "Gemm"):
        return "dense"
    if is_onnx(node, "Resize", "Upsample"):
        return "resize" if attribute(node, "mode", "nearest") == "nearest" else "resize-linear"
    if is_onnx(node, "DepthToSpace", "SpaceToDepth"):
        return "interleave"
    if is_onnx(node, "Transpose"):
        return "transpose"
    if is_onnx(node, *_COPIES):
        return "copy"
    return None if is_onnx(node, *_FREE) else "elementwise"


def work_of(node: ir.Node, channel_block: int) -> tuple[int, int] | None:
    """Multiply-accumulates, and bytes read and written; None where a shape is unknown.

    A transposed convolution is a matrix product into columns, which are then added up: the columns
    are written and read too. One that only inserts zeros does the same work.
    """
    sizes = [value_bytes(value) for value in (*node.inputs, *node.outputs) if value is not None]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        return None
    moved = sum(known)
    reads, writes = (
        static_shape(node.inputs[0]) if node.inputs else (),
        static_shape(node.outputs[0]),
    )
    weight = static_shape(node.inputs[1]) if len(node.inputs) > 1 else None
    if reads is None or writes is None:
        return None
    if weight is None or not is_onnx(node, "Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0, moved
    if is_onnx(node, "Conv"):
        dense = kind_of(node) == "dense"
        channels = -(-writes[1] // channel_block) * channel_block if dense else writes[1]
        return channels * math.prod(writes) // writes[1] * math.prod(weight[1:]), moved
    if is_onnx(node, "ConvTranspose"):
        group = int(attribute(node, "group", 1))
        columns = math.prod(reads) // reads[1] * group * math.prod(weight[1:])
        item = value_bytes(node.outputs[0]) or 0
        moved += 2 * columns * item // math.prod(writes)
        return columns * (reads[1] // group), moved
    transposed = is_onnx(node, "Gemm") and bool(attribute(node, "transA", 0))
    return math.prod(writes) * reads[0 if transposed else -1], moved

"""Writes an interleave (depth to space), a crop, an edge padding: for any rank and opset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.polyphase import Interleave

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

_SPATIAL = 2
_TO_THE_END = 2**31 - 1


def interleave(
    build: Builder,
    x: ir.Value,
    rule: Interleave,
    channels: int,
    blocks: Sequence[int],
    opset: int,
) -> ir.Value:
    """DepthToSpace where it can be (4-D, square blocks), else Reshape, Transpose, Reshape.

    Args:
        build: receives the nodes.
        x: ``n channels *blocks``.
        rule: strides and order of channels; its crops are not applied.
        channels: of ``x``.
        blocks: spatial extents of ``x``; DepthToSpace does without.
        opset: DepthToSpace has a mode since 11, and is DCR before.
    """
    if rule.blocksize == 1:
        return x
    if rule.blocksize is not None and (opset >= 11 or rule.mode == "DCR"):
        mode = {"mode": rule.mode} if opset >= 11 else {}
        return build.op("DepthToSpace", [x], {"blocksize": rule.blocksize, **mode})
    rest = channels // math.prod(rule.strides)
    lead = (*rule.strides, rest) if rule.mode == "DCR" else (rest, *rule.strides)
    # 0: the batch as it comes.
    split = build.op("Reshape", [x, build.constant([0, *lead, *blocks], np.int64)])
    woven = build.op("Transpose", [split], {"perm": list(rule.perm)})
    extents = [b * s for b, s in zip(blocks, rule.strides, strict=True)]
    return build.op("Reshape", [woven, build.constant([0, rest, *extents], np.int64)])


def crop(build: Builder, x: ir.Value, crops: Sequence[int], opset: int) -> ir.Value:
    """Cut ``(begins..., ends...)`` elements off the spatial axes."""
    half = len(crops) // 2
    pairs = list(zip(crops[:half], crops[half:], strict=True))
    cut = [axis for axis, pair in enumerate(pairs) if any(pair)]
    if not cut:
        return x
    starts = [pairs[axis][0] for axis in cut]
    ends = [-pairs[axis][1] or _TO_THE_END for axis in cut]
    axes = [axis + _SPATIAL for axis in cut]
    if opset < 10:
        return build.op("Slice", [x], {"starts": starts, "ends": ends, "axes": axes})
    return build.op("Slice", [x, *(build.constant(n, np.int64) for n in (starts, ends, axes))])


def pad_edges(build: Builder, x: ir.Value, edges: Sequence[int], opset: int) -> ir.Value:
    """Repeat the border ``(begins..., ends...)`` times on the spatial axes."""
    half = len(edges) // 2
    pads = [0, 0, *edges[:half], 0, 0, *edges[half:]]
    if opset < 11:
        return build.op("Pad", [x], {"mode": "edge", "pads": pads})
    return build.op("Pad", [x, build.constant(pads, np.int64)], {"mode": "edge"})

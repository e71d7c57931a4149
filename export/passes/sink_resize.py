"""A resize moves below an operator that acts on each place by itself, which then runs on the
smaller map.

::

    x -> Resize -> pointwise -> y                    becomes    x -> pointwise -> Resize -> y
    a -> Resize --+                                             a --+
                  +-> Add, Concat, ... -> y          becomes        +-> Add, ... -> Resize -> y
    b -> Resize --+                                             b --+

1. Nearest resize only copies values, so it commutes with every function of one place: 1x1
   convolution, BatchNorm, activations, Cast, arithmetic with what is constant along the resized
   axes. To the bit, but for the order in which a backend adds.
2. Linear and cubic resize are linear and per channel, and their weights add up to 1 at each
   place, at borders too (coordinates are clamped; exclude_outside renormalizes; what crops and
   extrapolates is refused). So they commute with what is affine: 1x1 convolution with its bias,
   BatchNorm, Add and Concat; up to rounding. Not with an activation.
3. Several inputs may be resized: by the same grid, from the same extents.
4. The resize must enlarge, otherwise the operator would run on the larger map; nobody else may
   read the resized map, otherwise the resize stays and nothing is saved; and the type that it
   moves on to must be one that backends resize.
5. Strictly less work where the map that is resized afterwards is not larger (channels times
   bytes per element) than those resized before; otherwise the costs decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import constant, dtype_of, sole_user
from edgeup.export.passes.pointwise import commutes_with, fits, is_pointwise
from edgeup.export.passes.resampling import SPATIAL, Resampling, is_resize, read_resampling

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

_RESIZED_TYPES = frozenset({"float32", "float16", "int8", "uint8", "int32"})
"""What ONNX Runtime 1.32 resizes on a CPU."""


class SinkResize:
    """Moves resizes down by one operator; the moved one is looked at again."""

    name = "sink-resize"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rules 1 to 5 of the module."""
        if not is_pointwise(node):
            return None
        found: dict[ir.Value, Resampling] = {}
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if value is None or producer is None or not is_resize(producer):
                continue
            resampling = read_resampling(producer)
            if isinstance(resampling, Refusal):
                return resampling
            found[value] = resampling
        if not found or not _commutes(node, found):
            return None
        reason = fits(node, frozenset(found)) or _why_not(node, found, aim)
        return Refusal(node.name or "", reason) if reason else _plan(node, found)


def _commutes(node: ir.Node, found: dict[ir.Value, Resampling]) -> bool:
    modes = {resampling.mode for resampling in found.values()}
    if not all(commutes_with(node, mode, frozenset(found)) for mode in modes):
        return False
    dtype = dtype_of(node.outputs[0])
    return modes == {"nearest"} or (dtype is not None and dtype.kind == "f")


def _why_not(node: ir.Node, found: dict[ir.Value, Resampling], aim: Aim) -> str | None:
    first = next(iter(found.values()))
    if not first.enlarges:
        return f"{first.node.name} shrinks its map, so the operator is better after it"
    if any(other.grid != first.grid for other in found.values()):
        return f"{', '.join(str(v.name) for v in found)} are resized by different grids"
    for value, resampling in found.items():
        if resampling.node.graph is not node.graph:
            return f"{value.name} is resized outside of its subgraph"
        if sole_user(value) is not node:
            return f"{value.name}, the resized map, is read elsewhere as well"
    before, after = dtype_of(first.source), dtype_of(node.outputs[0])
    if before is None or after is None or after.name not in _RESIZED_TYPES:
        return f"the result is {after}, for which backends have no resize"
    if aim.is_tensorrt and before.kind != after.kind:
        return f"TensorRT itself places quantization: {before} would be resized as {after}"
    if first.names_channels and _channels(node.outputs[0]) is None:
        return "the resize names its sizes, and the channels are not known: --shape fixes them"
    return None


def _plan(node: ir.Node, found: dict[ir.Value, Resampling]) -> Plan:
    first = next(iter(found.values()))
    # What the new operator reads: sources in place of resized maps, all else as it is.
    reads = [found[v].source if v is not None and v in found else v for v in node.inputs]
    inputs = tuple(dict.fromkeys(v for v in reads if v is not None and constant(v) is None))
    resizes = dict.fromkeys(resampling.node for resampling in found.values())
    channels = _channels(node.outputs[0])

    def build(builder: Builder, given: Sequence[ir.Value]) -> Sequence[ir.Value]:
        outside = dict(zip(inputs, given, strict=True))
        operands = [outside[v] if v in outside else _copied(builder, v) for v in reads]
        small = builder.op(node.op_type, operands, node.attributes)
        return [first.again(builder, small, channels)]

    return Plan(
        nodes=(*resizes, node),
        inputs=inputs,
        outputs=(node.outputs[0],),
        candidates=(Candidate("resize last", build),),
        why=f"{first.mode} resize before {node.op_type}",
        simpler=_not_larger(node, found),
    )


def _copied(builder: Builder, value: ir.Value | None) -> ir.Value | None:
    numbers = constant(value)
    return None if numbers is None else builder.constant(numbers)


def _not_larger(node: ir.Node, found: dict[ir.Value, Resampling]) -> bool:
    resized_before = [_bytes_per_place(value) for value in found]
    resized_after = _bytes_per_place(node.outputs[0])
    if resized_after is None or None in resized_before:
        return False
    return resized_after <= sum(size for size in resized_before if size is not None)


def _bytes_per_place(value: ir.Value) -> int | None:
    """Channels times bytes, batch left out; None where they are not known."""
    channels, dtype = _channels(value), dtype_of(value)
    return None if channels is None or dtype is None else math.prod((channels, dtype.itemsize))


def _channels(value: ir.Value) -> int | None:
    channels = None if value.shape is None else value.shape[SPATIAL - 1]
    return channels if isinstance(channels, int) else None

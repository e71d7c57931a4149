"""The first index of each plane, which PyTorch's exporters get from a second MaxPool.

::

    x -> MaxPool 1x1 -> (indices) -> Slice 0:1 -> starts        becomes        constant n c 1 1

1. With 1x1 windows each index counts its own pixel, so that the slice is ``plane·(h·w)``: a
   constant where the shape is known. PyTorch's exporters subtract it from the indices
   (``_aten_max_pool_with_indices_onnx``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import attribute, constant, input_of, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class PlaneStarts:
    """Replaces the second MaxPool of PyTorch's exporters by the constant it stands for."""

    name = "plane-starts"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Look at the Slice of a MaxPool's indices."""
        if not aim.is_tensorrt or not is_onnx(node, "Slice"):
            return None
        indices = node.inputs[0]
        pool = None if indices is None else indices.producer()
        if indices is None or pool is None or not is_onnx(pool, "MaxPool"):
            return None
        x = pool.inputs[0]
        shape = static_shape(x)
        if x is None or len(pool.outputs) < 2 or indices is not pool.outputs[1]:
            return None
        if set(attribute(pool, "kernel_shape", ())) != {1} or not _is_plain(pool):
            return None
        if shape is None:
            reason = f"the input {x.name} of its MaxPool has no fixed shape: fix it with --shape"
            return Refusal(node.name or "", reason)
        if not _takes_first(node, len(shape)):
            return None
        starts = np.arange(shape[0] * shape[1], dtype=np.int64) * math.prod(shape[2:])
        starts = starts.reshape(*shape[:2], *[1] * (len(shape) - 2))

        def build(builder: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
            return [builder.op("Identity", [builder.constant(starts)])]

        others = {usage.node for value in pool.outputs for usage in value.uses()} - {node}
        given = any(value.is_graph_output() for value in pool.outputs)
        private = not others and not given and pool.graph is node.graph
        return Plan(
            nodes=(pool, node) if private else (node,),
            inputs=(x,) if private else (indices,),
            outputs=(node.outputs[0],),
            candidates=(Candidate("constant", build),),
            why="the first index of each plane",
            required=True,
            simpler=True,
        )


def _is_plain(pool: ir.Node) -> bool:
    """No stride, no padding."""
    unit = all(stride == 1 for stride in attribute(pool, "strides", (1,)))
    return unit and not any(attribute(pool, "pads", ()))


def _takes_first(node: ir.Node, rank: int) -> bool:
    """Whether the slice is 0:1 along every spatial axis."""
    starts, ends, axes, steps = (constant(input_of(node, i)) for i in range(1, 5))
    if starts is None or ends is None or axes is None or starts.any() or (ends != 1).any():
        return False
    if input_of(node, 4) is not None and (steps is None or (steps != 1).any()):
        return False
    return sorted(int(axis) % rank for axis in axes) == list(range(2, rank))

"""DepthToSpace and SpaceToDepth in a type that TensorRT has for neither: written out.

::

    x -> DepthToSpace -> y      becomes      x -> Reshape -> Transpose -> Reshape -> y

1. bool and uint8 (onnx-tensorrt's importers 8.0 to 10.1; TensorRT for RTX 1.7.1, parsed). Reshape
   and Transpose take bool as it is; `moved_types` then sees to uint8.
2. Not simply cast to int32: ONNX Runtime has no DepthToSpace of int32, so nobody could compare.
3. Refused: shapes that are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import attribute, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class BlockMoves:
    """Writes out what moves blocks of a type that TensorRT lacks."""

    name = "block-moves"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        source = node.inputs[0] if node.inputs else None
        if not is_onnx(node, "DepthToSpace", "SpaceToDepth") or not aim.is_tensorrt:
            return None
        if source is None or source.dtype is None or source.dtype.name not in ("BOOL", "UINT8"):
            return None
        lacking = f"TensorRT has no {node.op_type} of {source.dtype.name}"
        shape = static_shape(source)
        if shape is None:
            return Refusal(
                node.name or "", f"{lacking}, and its shape is not known; --shape would tell"
            )
        steps = _Steps(node, shape)
        return Plan(
            nodes=(node,),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=(Candidate("reshape and transpose", steps),),
            why=lacking,
            required=True,
        )


class _Steps:
    """Builds the two reshapes and the transpose between them."""

    def __init__(self, node: ir.Node, shape: Sequence[int]) -> None:
        n, c, h, w = shape
        b = int(attribute(node, "blocksize", 1))
        by_depth = attribute(node, "mode", "DCR") == "DCR"
        if node.op_type == "DepthToSpace":
            rest = c // (b * b)
            self._split = [n, b, b, rest, h, w] if by_depth else [n, rest, b, b, h, w]
            self._perm = [0, 3, 4, 1, 5, 2] if by_depth else [0, 1, 4, 2, 5, 3]
            self._joined = [n, rest, h * b, w * b]
        else:
            self._split = [n, c, h // b, b, w // b, b]
            self._perm = [0, 3, 5, 1, 2, 4] if by_depth else [0, 1, 3, 5, 2, 4]
            self._joined = [n, c * b * b, h // b, w // b]

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        split = build.op("Reshape", [*inputs, build.constant(self._split, np.int64)])
        woven = build.op("Transpose", [split], {"perm": self._perm})
        return [build.op("Reshape", [woven, build.constant(self._joined, np.int64)])]

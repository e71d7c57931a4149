"""Operators that only move elements, in a type that TensorRT does not move: moved as int32.

::

    x -> Transpose -> y      becomes      x -> Cast(int32) -> Transpose -> Cast(back) -> y

1. uint8: TensorRT has it at the border of a network and in Cast, from 9.0, and nowhere else
   (TensorRT for RTX 1.7.1, each operator of the table parsed).
2. bool: Where and Gather before 8.5 (onnx-tensorrt's importers, 8.0 to 8.5).
3. Every number of both types is an int32, so nothing is rounded.
4. Between two such operators the numbers stay int32: Cast(uint8) then Cast(int32) is nothing for
   numbers that were uint8 before they were moved, and TensorRT takes no uint8 inside a network.
5. Refused: uint8 before 9.0, where Cast does not take it either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import constant, is_onnx
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

CAST_UINT8_SINCE = (9, 0)
MOVED_BOOL_SINCE = (8, 5)
_MOVES = (
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Pad",
    "Reshape",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
)


class MovedTypes:
    """Casts around operators that move elements."""

    name = "moved-types"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not aim.is_tensorrt:
            return None
        if is_onnx(node, "Cast"):
            return _round_trip(node)
        if not is_onnx(node, *_MOVES):
            return None
        dtype = node.outputs[0].dtype
        name = "" if dtype is None else dtype.name
        if name == "BOOL":
            if not is_onnx(node, "Where", "Gather") or not older(aim, MOVED_BOOL_SINCE):
                return None
        elif name != "UINT8":
            return None
        elif older(aim, CAST_UINT8_SINCE):
            return Refusal(
                node.name or "",
                f"this TensorRT has no {node.op_type} of uint8, and no Cast from it; "
                f"feed the network int32 or float",
            )
        inputs = [v for v in dict.fromkeys(node.inputs) if v is not None and constant(v) is None]
        return Plan(
            nodes=(node,),
            inputs=tuple(inputs),
            outputs=(node.outputs[0],),
            candidates=(Candidate("as int32", _Writer(node, inputs)),),
            why=f"TensorRT has no {node.op_type} of {name.lower()}",
            required=True,
        )


def _round_trip(node: ir.Node) -> Plan | None:
    """Rule 4."""
    first = None if node.inputs[0] is None else node.inputs[0].producer()
    if first is None or not _casts(first, "UINT8") or not _casts(node, "INT32"):
        return None
    source = first.inputs[0]
    if source is None or not _was_uint8(source):
        return None
    return Plan(
        nodes=(first, node),
        inputs=(source,),
        outputs=(first.outputs[0], node.outputs[0]),
        candidates=(Candidate("nothing", _skip),),
        why="uint8 between two operators that move it as int32",
        required=True,
    )


def _skip(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
    import onnx_ir as ir

    # The first Cast stays for other users; the clean-up removes it where there are none.
    return [build.op("Cast", inputs, {"to": ir.DataType.UINT8}), build.op("Identity", inputs)]


def _casts(node: ir.Node, dtype: str) -> bool:
    made = node.outputs[0].dtype
    return is_onnx(node, "Cast") and made is not None and made.name == dtype


def _was_uint8(value: ir.Value) -> bool:
    """Whether the numbers of an int32 value come from uint8, and were only moved."""
    node = value.producer()
    numbers = constant(value)
    if numbers is not None:
        return bool(((numbers >= 0) & (numbers <= 255)).all())
    if node is None or value.dtype is None or value.dtype.name != "INT32":
        return False
    if is_onnx(node, "Cast"):
        source = node.inputs[0]
        return source is not None and source.dtype is not None and source.dtype.name == "UINT8"
    data = [v for v in node.inputs if v is not None and v.dtype == value.dtype]
    return is_onnx(node, "Identity", *_MOVES) and all(_was_uint8(v) for v in data)


class _Writer:
    """Builds the operator between casts."""

    def __init__(self, node: ir.Node, inputs: Sequence[ir.Value]) -> None:
        self._node = node
        self._inputs = list(inputs)

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        import onnx_ir as ir

        node, dtype = self._node, self._node.outputs[0].dtype
        given = dict(zip(self._inputs, inputs, strict=True))
        made: dict[ir.Value, ir.Value] = {}
        # The condition is bool, and stays so.
        condition = node.inputs[0] if node.op_type == "Where" else None
        for value in dict.fromkeys(node.inputs):
            if value is None:
                continue
            numbers = constant(value)
            moved = value.dtype == dtype and value is not condition
            if numbers is not None:
                made[value] = build.constant(numbers.astype(np.int32) if moved else numbers)
            elif moved:
                made[value] = build.op("Cast", [given[value]], {"to": ir.DataType.INT32})
            else:
                made[value] = given[value]
        reads = [None if value is None else made[value] for value in node.inputs]
        result = build.op(node.op_type, reads, node.attributes)
        return [build.op("Cast", [result], {"to": dtype})]

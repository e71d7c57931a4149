"""The IR version of a file: what the container may hold, beside the opset's operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

OLDEST_IR = 4
"""Before IR 4 every weight also had to be a graph input."""

# Element types that a reader of an older IR version does not know (onnx/onnx.in.proto).
_TYPES_SINCE = {
    9: ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
    10: ("INT4", "UINT4"),
    11: ("FLOAT4E2M1",),
    12: ("FLOAT8E8M0",),
    13: ("INT2", "UINT2"),
}


def least_ir_version(opset: int) -> int:
    """The IR version that was current when ``opset`` came out: its readers know that one."""
    from onnx.helper import OP_SET_ID_VERSION_MAP

    return int(OP_SET_ID_VERSION_MAP[("ai.onnx", opset)])


def check_ir_version(model: ir.Model, ir_version: int) -> None:
    """Refuse an IR version that lacks something which ``model`` holds.

    Raises:
        EdgeupError: the version is unknown, or older than a part of the model.
    """
    import onnx

    newest = int(onnx.IR_VERSION)
    if not OLDEST_IR <= ir_version <= newest:
        raise EdgeupError(f"IR version {ir_version} is not between {OLDEST_IR} and {newest}")
    if model.functions and ir_version < 8:
        raise EdgeupError(f"local functions need IR version 8; {ir_version} was asked for")
    for since, names in _TYPES_SINCE.items():
        if ir_version >= since:
            continue
        for value in _values(model):
            if value.dtype is not None and value.dtype.name in names:
                raise EdgeupError(
                    f"{value.name} is {value.dtype.name}, which IR version {ir_version} does "
                    f"not know; it came with {since}"
                )


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs

"""What a site costs by its shapes: multiply-accumulates, and bytes read and written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgeup.export.cost import macs

if TYPE_CHECKING:
    import onnx_ir as ir


def macs_of(model: ir.Model) -> int | None:
    """Multiply-accumulates of one run; None where a shape is unknown."""
    return macs(model).total


def bytes_of(model: ir.Model) -> int | None:
    """Bytes that the nodes read and write, constants included; None where a shape is unknown.

    Each node counts by itself: what a backend fuses is not known here.
    """
    total = 0
    for node in model.graph:
        for value in (*node.inputs, *node.outputs):
            if value is None:
                continue
            size = value_bytes(value)
            if size is None:
                return None
            total += size
    return total


def value_bytes(value: ir.Value) -> int | None:
    """The size of a tensor in bytes; None where its shape or type is unknown."""
    if value.const_value is not None:
        return int(value.const_value.nbytes)
    if value.shape is None or value.dtype is None:
        return None
    dims = [dim for dim in value.shape if isinstance(dim, int)]
    if len(dims) != len(value.shape):
        return None
    return math.ceil(math.prod(dims) * value.dtype.itemsize)

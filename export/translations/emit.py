"""Recording ONNX operators while the exporter traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxscript import opset18

from edgeup.errors import EdgeupError

# onnxscript annotates its operators for eager evaluation; under the exporter they take and give
# values of the graph.
op: Any = opset18


def constant(array: npt.NDArray[Any]) -> ir.Value:
    """A constant of the graph."""
    value: ir.Value = op.Constant(value=ir.tensor(array))
    return value


def dims(x: ir.Value) -> list[int | ir.SymbolicDim]:
    """The shape of ``x``.

    Raises:
        EdgeupError: not even the rank is known.
    """
    if x.shape is None:
        raise EdgeupError(f"the tensor {x.name!r} has no known rank; export with example inputs")
    return list(x.shape)


def describe(y: ir.Value, shape: list[int | ir.SymbolicDim], like: ir.Value) -> ir.Value:
    """``y`` with its shape and type, for the translations that read them further on.

    The exporter itself infers them only once the graph is whole.
    """
    y.shape = ir.Shape(shape)
    y.type = like.type
    return y


def add_batch(x: ir.Value) -> ir.Value:
    """c d... to 1 c d..."""
    return describe(op.Unsqueeze(x, constant(np.array([0], np.int64))), [1, *dims(x)], x)


def drop_batch(x: ir.Value) -> ir.Value:
    """1 c d... to c d..."""
    squeezed: ir.Value = op.Squeeze(x, constant(np.array([0], np.int64)))
    return squeezed


def batched(x: ir.Value, spatial: int, compute: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """``compute`` of ``x`` as n c d...: PyTorch's pooling also takes c d..., ONNX's does not."""
    if len(dims(x)) == spatial + 2:
        return compute(x)
    return drop_batch(compute(add_batch(x)))

"""Resampling as constant matrices: one MatMul per axis.

Every static resampling is linear in the pixels and separable: y = A_h x A_w^T per channel. The
matrix of an axis is PyTorch's own, read off a run on the unit vectors, so it holds PyTorch's
coefficients, borders and float32 rounding. It is for what no ONNX operator computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from edgeup.errors import EdgeupError
from edgeup.export.translations.emit import constant, describe, dims, op

Matrix = npt.NDArray[Any]
"""The resampling of one axis: output length x input length."""


def matrix_of(resample: Callable[[torch.Tensor], torch.Tensor], length: int, rank: int) -> Matrix:
    """The matrix of a linear operator along the first spatial axis.

    Args:
        resample: the operator, on a tensor n c d... whose other spatial axes it leaves alone.
        length: of the input along the first spatial axis.
        rank: how many spatial axes the operator has.
    """
    # Two pixels along the other axes: PyTorch's CPU kernels for antialias repeat the first row's
    # window in every row of an image that is one pixel wide (PyTorch 2.13).
    others = [2] * (rank - 1)
    units = torch.eye(length).reshape(1, length, length, *[1] * (rank - 1))
    resampled = resample(units.expand(1, length, length, *others).contiguous())
    columns = resampled.flatten(3)[0, :, :, 0] if others else resampled[0]
    matrix: Matrix = columns.T.numpy()
    return matrix


def multiply(x: ir.Value, matrices: Mapping[int, Matrix]) -> ir.Value:
    """``x`` (n c d...) with each axis of ``matrices`` resampled; identities are left out."""
    changed = {
        axis: matrix
        for axis, matrix in matrices.items()
        if not (matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))))
    }
    # The axes that shrink most first, so that the later products are small.
    for axis in sorted(changed, key=lambda a: (changed[a].shape[0] / changed[a].shape[1], a)):
        x = _along(x, axis, changed[axis])
    if not changed:
        x = op.Identity(x)
    return x


def _along(x: ir.Value, axis: int, matrix: Matrix) -> ir.Value:
    shape = dims(x)
    assert x.dtype is not None  # noqa: S101 - the exporter types every value it passes
    matrix = matrix.astype(x.dtype.numpy())
    if axis == len(shape) - 1:
        y = op.MatMul(x, constant(np.ascontiguousarray(matrix.T)))
    elif axis == len(shape) - 2:
        y = op.MatMul(constant(matrix), x)
    else:
        y = _along_outer(x, axis, matrix)
    return describe(y, [*shape[:axis], matrix.shape[0], *shape[axis + 1 :]], x)


def _along_outer(x: ir.Value, axis: int, matrix: Matrix) -> ir.Value:
    """n c d h w as n c d (h w): 0 keeps a dimension, dynamic or not."""
    shape = dims(x)
    behind = [d for d in shape[axis + 1 :] if isinstance(d, int)]
    if axis + 1 + len(behind) < len(shape):
        raise EdgeupError(
            f"resampling axis {axis} of a tensor with shape {x.shape} needs fixed sizes behind "
            f"that axis; export with a fixed spatial shape"
        )
    kept = [0] * axis
    flat = op.Reshape(x, constant(np.array([*kept, shape[axis], -1], np.int64)))
    flat = op.MatMul(constant(matrix), flat)
    y: ir.Value = op.Reshape(flat, constant(np.array([*kept, len(matrix), *behind], np.int64)))
    return y

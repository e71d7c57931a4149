"""Squeeze of one axis, which undoes an unsqueeze of the same axis.

max_unpool1d is unsqueeze, max_unpool2d, squeeze in PyTorch; its translation ends in an Unsqueeze
that this takes back.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeup.export.translations.emit import constant, dims, op


def translate_squeeze(x: ir.Value, dim: int) -> ir.Value:
    """aten::squeeze.dim(Tensor self, int dim) -> Tensor: no change where that axis is not 1."""
    shape = dims(x)
    if not shape or (isinstance(shape[dim], int) and shape[dim] != 1):
        same: ir.Value = op.Identity(x)
        return same
    unsqueezed = _source_of_unsqueeze(x, dim % len(shape))
    if unsqueezed is not None:
        same = op.Identity(unsqueezed)
        return same
    squeezed: ir.Value = op.Squeeze(x, constant(np.array([dim], np.int64)))
    return squeezed


def _source_of_unsqueeze(x: ir.Value, axis: int) -> ir.Value | None:
    """What ``x`` was before this very axis was added; None where it was not."""
    producer = x.producer()
    if producer is None or producer.op_type != "Unsqueeze":
        return None
    source, axes = producer.inputs
    added = None if axes is None else ir.convenience.get_const_tensor(axes)
    if added is None or [int(a) % len(dims(x)) for a in added.numpy()] != [axis]:
        return None
    return source

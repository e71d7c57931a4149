"""Operators of newer opsets, said with those of opset 13.

Each formula is the operator's own definition in the ONNX text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.opset_build import CannotMove, Replacement, attribute, input_of, rank_of, size_of

if TYPE_CHECKING:
    import onnx_ir as ir


def _type(value: ir.Value | None) -> ir.DataType:
    if value is None or value.dtype is None:
        raise CannotMove("the type of the input must be known to rewrite it")
    return value.dtype


def _dtype(value: ir.Value | None) -> np.dtype[np.generic]:
    return _type(value).numpy()


def decompose_gelu(node: ir.Node) -> bool:
    """Gelu (20): ``x / 2 * (1 + erf(x / sqrt 2))``, or its tanh approximation."""
    x, dtype, new = node.inputs[0], _dtype(node.inputs[0]), Replacement(node)
    half, one = new.constant(0.5, dtype), new.constant(1.0, dtype)
    if attribute(node, "approximate", "none") == "tanh":
        cubed = new.op("Mul", x, new.op("Mul", x, x))
        inner = new.op("Add", x, new.op("Mul", cubed, new.constant(0.044715, dtype)))
        gate = new.op("Tanh", new.op("Mul", inner, new.constant(math.sqrt(2 / math.pi), dtype)))
    else:
        gate = new.op("Erf", new.op("Mul", x, new.constant(math.sqrt(0.5), dtype)))
    new.op("Mul", new.op("Mul", x, half), new.op("Add", gate, one))
    new.finish()
    return True


def decompose_hard_swish(node: ir.Node) -> bool:
    """HardSwish (14): ``x * max(0, min(1, x / 6 + 1 / 2))``."""
    x, new = node.inputs[0], Replacement(node)
    gate = new.op("HardSigmoid", x, attributes={"alpha": 1.0 / 6.0, "beta": 0.5})
    new.op("Mul", x, gate)
    new.finish()
    return True


def decompose_mish(node: ir.Node) -> bool:
    """Mish (18): ``x * tanh(softplus(x))``."""
    x, new = node.inputs[0], Replacement(node)
    new.op("Mul", x, new.op("Tanh", new.op("Softplus", x)))
    new.finish()
    return True


def decompose_layer_normalization(node: ir.Node) -> bool:
    """LayerNormalization (17): normalise over the axes from ``axis`` on, in ``stash_type``."""
    import onnx_ir as ir

    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise CannotMove("its mean or inverse deviation is used, which has no equal before 17")
    x, scale, bias = node.inputs[0], node.inputs[1], input_of(node, 2)
    rank, dtype = rank_of(x, "the input"), _dtype(x)
    axes = list(range(attribute(node, "axis", -1) % rank, rank))
    stash = ir.DataType(attribute(node, "stash_type", int(ir.DataType.FLOAT)))
    new = Replacement(node)
    same = stash.numpy() == dtype
    wide = x if same else new.op("Cast", x, attributes={"to": int(stash)})
    # ReduceMean takes its axes as an attribute below opset 18, and this is below 17.
    over = {"axes": axes, "keepdims": 1}
    centred = new.op("Sub", wide, new.op("ReduceMean", wide, attributes=over))
    variance = new.op("ReduceMean", new.op("Mul", centred, centred), attributes=over)
    epsilon = new.constant(attribute(node, "epsilon", 1e-5), stash.numpy())
    y = new.op("Div", centred, new.op("Sqrt", new.op("Add", variance, epsilon)))
    if not same:
        y = new.op("Cast", y, attributes={"to": int(_type(x))})
    y = new.op("Mul", y, scale)
    if bias is not None:
        new.op("Add", y, bias)
    new.finish()
    return True


def decompose_group_normalization(node: ir.Node) -> bool:
    """GroupNormalization (18, 21): InstanceNormalization of each group seen as one channel.

    ``n c h w`` is seen as ``n groups -1`` and back. Scale and bias are per group (18) or per
    channel (21): the length of a constant or shaped scale says which.
    """
    x, scale, bias = node.inputs
    groups = attribute(node, "num_groups", 1)
    rank, dtype = rank_of(x, "the input"), _dtype(x)
    channels = size_of(x, 1, "the input")
    per_group = size_of(scale, 0, "scale") == groups and channels != groups
    new = Replacement(node)
    grouped = new.op("Reshape", x, new.constant([0, groups, -1], np.int64))
    epsilon = {"epsilon": attribute(node, "epsilon", 1e-5)}
    if per_group:
        normal = new.op("InstanceNormalization", grouped, scale, bias, attributes=epsilon)
        new.op("Reshape", normal, new.op("Shape", x))
    else:
        ones, zeros = np.ones(groups), np.zeros(groups)
        normal = new.op(
            "InstanceNormalization",
            grouped,
            new.constant(ones, dtype),
            new.constant(zeros, dtype),
            attributes=epsilon,
        )
        y = new.op("Reshape", normal, new.op("Shape", x))
        column = new.constant([channels] + [1] * (rank - 2), np.int64)
        y = new.op("Mul", y, new.op("Reshape", scale, column))
        new.op("Add", y, new.op("Reshape", bias, column))
    new.finish()
    return True

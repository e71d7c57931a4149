"""Which nodes act on each place of a map by itself, so that a resize can move past them.

`fits` answers for a node whose resized inputs are known: None, or the reason why not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgeup.export.passes.facts import attribute, is_onnx, rank, static_shape
from edgeup.export.passes.resampling import SPATIAL

if TYPE_CHECKING:
    import onnx_ir as ir

# fmt: off
_ELEMENTWISE = (
    "Abs", "Cast", "Ceil", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu",
    "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu",
    "Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum",
)
# fmt: on

_LINEAR = frozenset({"Add", "BatchNormalization", "Concat", "Conv", "Neg", "Sub", "Sum"})
"""These also commute with interpolation, whose weights add up to one at each place, borders
included: what a constant adds is the same before and after."""


def is_pointwise(node: ir.Node) -> bool:
    """Whether the node is of a kind that may act on each place by itself."""
    if is_onnx(node, "Conv"):
        kernel = static_shape(node.inputs[1])
        return kernel is not None and math.prod(kernel[SPATIAL:]) == 1
    return is_onnx(node, *_ELEMENTWISE, *_BY_CHANNEL)


def commutes_with(node: ir.Node, mode: str, resized: frozenset[ir.Value]) -> bool:
    """Whether a resize in this mode may move past the operator."""
    if mode == "nearest" or node.op_type in _LINEAR:
        return True
    maps = sum(value in resized for value in node.inputs)
    return maps == 1 and (
        node.op_type == "Mul" or (node.op_type == "Div" and node.inputs[0] in resized)
    )


def fits(node: ir.Node, resized: frozenset[ir.Value]) -> str | None:
    """Why the node does not act on each place by itself; None where it does."""
    by_channel = _BY_CHANNEL.get(node.op_type)
    if by_channel is not None:
        return by_channel(node, resized)
    axes = max(rank(value) or 0 for value in resized)
    for value in node.inputs:
        if value is None or value in resized:
            continue
        shape = static_shape(value)
        if shape is None:
            return f"the shape of {value.name} is not known: --shape would fix it"
        if len(shape) > axes or math.prod(shape[max(0, SPATIAL - axes + len(shape)) :]) != 1:
            return f"it also reads {value.name} {list(shape)}, which is not resized"
    return None


def _convolution(node: ir.Node, resized: frozenset[ir.Value]) -> str | None:
    strides, pads = attribute(node, "strides", ()), attribute(node, "pads", ())
    if resized != {node.inputs[0]}:
        return "its weight is resized"
    if any(s != 1 for s in strides) or any(pads):
        return f"its strides are {list(strides)} and its pads {list(pads)}: wanted 1 and 0"
    return None


def _batch_norm(node: ir.Node, resized: frozenset[ir.Value]) -> str | None:
    if attribute(node, "training_mode", 0) or len(node.outputs) > 1:
        return "it is in training mode: the statistics are of the whole map"
    if resized != {node.inputs[0]} or rank(node.inputs[1]) != 1:
        return "it has not one parameter per channel"
    return None


def _concat(node: ir.Node, resized: frozenset[ir.Value]) -> str | None:
    axis = _axis(node, resized, 0)
    plain = [v.name for v in node.inputs if v is not None and v not in resized]
    if axis >= SPATIAL:
        return f"it joins along axis {axis}, which is resized"
    return f"it also joins {', '.join(map(str, plain))}, not resized" if plain else None


def _quantize(node: ir.Node, resized: frozenset[ir.Value]) -> str | None:
    scale = static_shape(node.inputs[1])
    if resized != {node.inputs[0]} or scale is None:
        return "the shape of its scales is not known, or they are resized"
    if math.prod(scale) != 1 and (len(scale) > 1 or _axis(node, resized, 1) >= SPATIAL):
        return f"its scales {list(scale)} differ along a resized axis"
    return None


def _axis(node: ir.Node, resized: frozenset[ir.Value], default: int) -> int:
    axes = max(rank(value) or 1 for value in resized)
    return int(attribute(node, "axis", default)) % axes


_BY_CHANNEL: Mapping[str, Callable[[ir.Node, frozenset[ir.Value]], str | None]] = {
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "DequantizeLinear": _quantize,
    "QuantizeLinear": _quantize,
}

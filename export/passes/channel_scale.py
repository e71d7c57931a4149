"""A scale and a shift per channel, whatever node applies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import Array, attribute, constant, input_of, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class ChannelScale:
    """``factor x + shift``, one of each per channel, in float64."""

    source: ir.Value
    factor: Array
    shift: Array


def read_scale(node: ir.Node) -> ChannelScale | Refusal | None:
    """BatchNormalization in inference mode, or Mul, Div, Add, Sub with a constant per channel.

    None where the node is something else, or scales other than by channel.
    """
    if is_onnx(node, "BatchNormalization"):
        return _batch_norm(node)
    return _arithmetic(node) if is_onnx(node, "Mul", "Div", "Add", "Sub") else None


def _batch_norm(node: ir.Node) -> ChannelScale | Refusal | None:
    name = node.name or ""
    if attribute(node, "training_mode", 0) or len(node.outputs) > 1:
        return Refusal(name, "it normalizes by the batch (training mode)")
    if attribute(node, "spatial", 1) != 1:
        return Refusal(name, "it normalizes each pixel by itself (spatial=0)")
    held = [constant(input_of(node, index)) for index in range(1, 5)]
    known = [array.astype(np.float64) for array in held if array is not None]
    source = node.inputs[0]
    if len(known) != len(held) or source is None:
        return Refusal(name, "its parameters are not constant")
    gamma, beta, mean, variance = known
    factor = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    return ChannelScale(source, factor, beta - mean * factor)


def _arithmetic(node: ir.Node) -> ChannelScale | None:
    left, right = node.inputs[0], node.inputs[1]
    on_right = constant(right)
    held = constant(left) if on_right is None else on_right
    source = right if on_right is None else left
    if held is None or source is None:
        return None
    numbers = _per_channel(held, source)
    if numbers is None:
        return None
    ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
    if is_onnx(node, "Mul"):
        return ChannelScale(source, numbers, zeros)
    if is_onnx(node, "Add"):
        return ChannelScale(source, ones, numbers)
    if is_onnx(node, "Sub"):
        if on_right is None:
            return ChannelScale(source, -ones, numbers)
        return ChannelScale(source, ones, -numbers)
    if on_right is None or not numbers.all():
        return None  # a reciprocal of the map, or a division by 0
    return ChannelScale(source, 1 / numbers, zeros)


def _per_channel(held: Array, source: ir.Value) -> Array | None:
    """A constant as one number per channel; None where it varies otherwise."""
    if source.shape is None or held.ndim > len(source.shape) or held.dtype.kind != "f":
        return None
    channels = source.shape[1] if len(source.shape) > 1 else None
    if not isinstance(channels, int):
        return None
    aligned = held.reshape(*[1] * (len(source.shape) - held.ndim), *held.shape)
    others = [size for axis, size in enumerate(aligned.shape) if axis != 1]
    if set(others) - {1} or aligned.shape[1] not in (1, channels):
        return None
    return np.broadcast_to(aligned.reshape(-1).astype(np.float64), (channels,))

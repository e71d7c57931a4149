"""A scale and shift per channel goes into the convolutions before it.

::

    x -> Conv -> BatchNormalization -> y             becomes   x -> Conv -> y
    x -> Conv \\
    x -> Conv  Concat -> DepthToSpace -> Mul -> y    becomes   x -> Conv \\ Concat -> DTS -> y

1. A scale is BatchNormalization in inference mode, or Mul, Div, Add or Sub with a constant per
   channel (or one for all).
2. It may follow its convolutions through nodes that only move elements, as long as each channel of
   a convolution ends in one channel of the map.
3. Conv and ConvTranspose; products are made in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.channel_scale import ChannelScale, read_scale
from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.conv_nodes import read_weights
from edgeup.export.passes.copy_nodes import copy_nodes
from edgeup.export.passes.data_movement import moves, sources_of
from edgeup.export.passes.facts import Array, attribute, is_onnx, sole_user
from edgeup.export.passes.interleaving import interleaved_sources

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


@dataclass(frozen=True, eq=False)
class _Leaf:
    """A convolution, and which channel of the scaled map each of its channels ends in."""

    node: ir.Node
    owners: Array


class FoldScale:
    """Folds scales into the convolutions before them."""

    name = "fold-scale"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module; ``node`` is the scale."""
        scale = read_scale(node)
        if not isinstance(scale, ChannelScale):
            return scale if scale is not None and _leaves(node.inputs[0]) else None
        found = _leaves(scale.source)
        if not found or sole_user(scale.source) is not node:
            return None
        leaves, moving = found
        name = node.name or ""
        for leaf in leaves:
            users = {usage.node for usage in leaf.node.outputs[0].uses()}
            if leaf.node.outputs[0].is_graph_output() or not users <= {*moving, node}:
                return Refusal(name, f"something else reads what {leaf.node.name} gives")
        held = [_scaled(leaf, scale) for leaf in leaves]
        ready = [weights for weights in held if not isinstance(weights, Refusal)]
        for weights in held:
            if isinstance(weights, Refusal):
                return weights
        inputs = tuple(dict.fromkeys(v for leaf in leaves if (v := leaf.node.inputs[0])))
        return Plan(
            nodes=(*(leaf.node for leaf in leaves), *moving, node),
            inputs=inputs,
            outputs=(node.outputs[0],),
            candidates=(Candidate("folded", _writer(leaves, ready, moving, scale.source, inputs)),),
            why=f"{node.op_type} scales each channel of what {leaves[0].node.name} gives",
            simpler=True,
        )


def _leaves(value: ir.Value | None) -> tuple[list[_Leaf], tuple[ir.Node, ...]] | None:
    """The convolutions that make a map, and what moves their outputs into place."""
    node = None if value is None else value.producer()
    if value is None or node is None:
        return None
    if is_onnx(node, "Conv", "ConvTranspose"):
        return [_Leaf(node, np.arange(_channels(node)))], ()
    if not moves(node):
        return None
    makers = [source.producer() for source in sources_of(value)]
    if not makers or not all(is_onnx(maker, "Conv", "ConvTranspose") for maker in makers):
        return None
    found = interleaved_sources(value)  # rule 2
    if found is None:
        return None
    count = found.channels.max() + 1
    owners = np.full(count, -1)
    index = np.broadcast_to(
        np.arange(len(found.channels)).reshape(-1, *[1] * (found.channels.ndim - 1)),
        found.channels.shape,
    )
    owners[found.channels] = index
    if (owners[found.channels] != index).any() or (owners < 0).any():
        return None
    leaves, first = [], 0
    for source in found.sources:
        maker = source.producer()
        if maker is None:
            return None
        width = _channels(maker)
        leaves.append(_Leaf(maker, owners[first : first + width]))
        first += width
    return leaves, found.nodes


def _channels(node: ir.Node) -> int:
    """Output channels of a convolution; 0 where its weights are not known."""
    weight = node.inputs[1]
    dims = [] if weight is None or weight.shape is None else list(weight.shape)
    if len(dims) < 2 or not isinstance(dims[0], int) or not isinstance(dims[1], int):
        return 0
    return dims[0] if is_onnx(node, "Conv") else dims[1] * int(attribute(node, "group", 1))


def _scaled(leaf: _Leaf, scale: ChannelScale) -> tuple[Array, Array] | Refusal:
    read = read_weights(leaf.node)
    if isinstance(read, Refusal):
        return read
    weight, bias = read
    factor, shift = scale.factor[leaf.owners], scale.shift[leaf.owners]
    spatial = [1] * (weight.ndim - 2)
    if is_onnx(leaf.node, "Conv"):
        columns = factor.reshape(-1, 1, *spatial)
    else:  # ci co/g *k: each group of inputs makes its own outputs
        group = int(attribute(leaf.node, "group", 1))
        columns = np.repeat(factor.reshape(group, -1), len(weight) // group, 0)
        columns = columns.reshape(*columns.shape, *spatial)
    start = 0.0 if bias is None else bias.astype(np.float64)
    with np.errstate(over="ignore"):
        made = (
            (weight * columns).astype(weight.dtype),
            (start * factor + shift).astype(weight.dtype),
        )
    if not all(np.isfinite(array).all() for array in made):
        return Refusal(leaf.node.name or "", f"its scaled weights do not fit {weight.dtype}")
    return made


def _writer(
    leaves: Sequence[_Leaf],
    weights: Sequence[tuple[Array, Array]],
    moving: Sequence[ir.Node],
    result: ir.Value,
    inputs: Sequence[ir.Value],
) -> Callable[[Builder, Sequence[ir.Value]], Sequence[ir.Value]]:
    def write(build: Builder, given: Sequence[ir.Value]) -> Sequence[ir.Value]:
        values = dict(zip(inputs, given, strict=True))
        for leaf, (weight, bias) in zip(leaves, weights, strict=True):
            source = leaf.node.inputs[0]
            if source is None:
                raise ValueError(f"{leaf.node.name} has no input")
            reads = [values[source], build.constant(weight)]
            if bias.any() or leaf.node.inputs[2:]:
                reads.append(build.constant(bias))
            values[leaf.node.outputs[0]] = build.op(leaf.node.op_type, reads, leaf.node.attributes)
        return [copy_nodes(build, moving, values)[result]]

    return write

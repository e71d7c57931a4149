"""Convolutions of one map whose outputs are interleaved become one filter, in its best form.

::

    x -> Conv -> Unsqueeze \\
    x -> Conv -> Unsqueeze  Concat -> Reshape -> Transpose -> Reshape -> y
    x -> Conv -> Unsqueeze /
    x -> Conv -> Unsqueeze
                  becomes   x -> ConvTranspose -> y,  or any other form of the same filter

FCRN's fast up-convolution (Laina et al. 2016), sub-pixel convolution (Shi et al. 2016), and what
people wrote for either.

1. What interleaves is not matched, but read (`interleaving`): any movement of elements that puts
   channel c of each convolution at one phase of the blocks.
2. The convolutions have stride 1, constant weights and the same groups, and read the same map.
   Their kernels, pads and dilations may differ. A Pad of zeros before one is part of it.
3. A 1x1 block is only an order of channels: left alone.
4. The same activation behind each convolution acts on single numbers, wherever they stand: it
   stays right behind the new convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.activation import Activation, activation
from edgeup.export.passes.contract import Aim, Plan, Refusal
from edgeup.export.passes.conv_nodes import SPATIAL, read_conv, read_pad
from edgeup.export.passes.data_movement import moves, sources_of
from edgeup.export.passes.facts import is_onnx, opset_of, sole_user, static_shape
from edgeup.export.passes.forms import Part, candidates, is_chosen
from edgeup.export.passes.interleaving import Interleaved, interleaved_sources
from edgeup.polyphase import Conv, Interleave, InterleavedConvs, PolyphaseFilter, taps

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class _Leaf:
    """A convolution, with the Pad before it."""

    source: ir.Value
    conv: Conv
    nodes: tuple[ir.Node, ...]
    activation: Activation | None


class InterleavedConvolutions:
    """Puts one filter in the place of interleaved convolutions."""

    name = "interleaved-convs"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module; ``node`` is the last that moves elements."""
        if not moves(node) or is_chosen(node) or len(node.outputs) != 1:
            return None
        value = node.outputs[0]
        if not value.is_graph_output() and all(moves(usage.node) for usage in value.uses()):
            return None
        makers = [_convolved(source).producer() for source in sources_of(value)]
        if not makers or not all(is_onnx(maker, "Conv") for maker in makers):
            return None
        name = node.name or ""
        found = interleaved_sources(value)
        if found is None:
            unknown = any(static_shape(source) is None for source in sources_of(value))
            reason = "the shapes of what it moves are not known: --shape would fix them"
            return Refusal(name, reason) if unknown and is_onnx(node, "DepthToSpace") else None
        if set(found.strides) == {1}:
            return None  # rule 3
        leaves = [_leaf(source, found) for source in found.sources]
        read = [leaf for leaf in leaves if isinstance(leaf, _Leaf)]
        for leaf in leaves:
            if isinstance(leaf, Refusal):
                return leaf
        if len({leaf.source for leaf in read}) != 1:
            return Refusal(name, "the convolutions that it interleaves read different maps")
        if len({leaf.conv.group for leaf in read}) != 1:
            return Refusal(name, "the convolutions that it interleaves differ in their groups")
        kinds = [None if leaf.activation is None else leaf.activation.kind for leaf in read]
        if any(kind != kinds[0] for kind in kinds):
            return Refusal(name, "the convolutions that it interleaves have different activations")
        return self._plan(node, aim, found, read)

    def _plan(
        self, node: ir.Node, aim: Aim, found: Interleaved, leaves: list[_Leaf]
    ) -> Plan | None:
        source = leaves[0].source
        shape = static_shape(source)
        if shape is None:
            return None
        nodes = (*(n for leaf in leaves for n in leaf.nodes), *found.nodes)
        forms = candidates(
            [
                Part(
                    _filter(found, [leaf.conv for leaf in leaves]),
                    activation=leaves[0].activation,
                )
            ],
            shape[SPATIAL:],
            opset_of(node, aim),
            nodes,
        )
        if not forms:
            return None
        what = "a convolution" if len(leaves) == 1 else f"{len(leaves)} convolutions"
        return Plan(
            nodes=nodes,
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=forms,
            why=f"{what} + interleave by {'x'.join(map(str, found.strides))} is one polyphase "
            "filter",
        )


def _convolved(value: ir.Value) -> ir.Value:
    """The value before an activation."""
    active = activation(value)
    return value if active is None else active.source


def _leaf(value: ir.Value, found: Interleaved) -> _Leaf | Refusal:
    active, made = activation(value), _convolved(value)
    node = made.producer()
    if node is None or node.inputs[0] is None:
        raise ValueError(f"{made.name} was a convolution's output")
    name = node.name or ""
    after = () if active is None else (active.node,)
    for given, readers in {made: after or found.nodes, value: found.nodes}.items():
        if given.is_graph_output() or any(use.node not in readers for use in given.uses()):
            return Refusal(name, "something else reads a convolution that is interleaved")
    read = read_conv(node)
    if isinstance(read, Refusal):
        return read
    if set(read.strides) != {1}:
        return Refusal(name, f"a convolution of stride {list(read.strides)} is interleaved")
    source, conv = node.inputs[0], read.conv
    nodes: tuple[ir.Node, ...] = (node, *after)
    before = source.producer()
    pad = None if before is None else read_pad(before)
    if before is not None and pad is not None and not isinstance(pad, Refusal):
        inner = before.inputs[0]
        if pad.mode == "constant" and inner is not None and sole_user(source) is node:
            added = (*pad.begins, *pad.ends)
            pads = tuple(a + p for a, p in zip(added, conv.pads, strict=True))
            source, nodes, conv = inner, (before, *nodes), replace(conv, pads=pads)
    return _Leaf(source, conv, nodes, active)


def _filter(found: Interleaved, convs: list[Conv]) -> PolyphaseFilter:
    """The convolutions' rows over common taps, put in the order channel, then phase."""
    begins = [conv.pads[: len(conv.reach)] for conv in convs]
    lasts = [
        tuple(r - 1 - b for r, b in zip(conv.reach, begin, strict=True))
        for conv, begin in zip(convs, begins, strict=True)
    ]
    begin = tuple(max(axis) for axis in zip(*begins, strict=True))
    last = tuple(max(axis) for axis in zip(*lasts, strict=True))
    rows = [
        taps.fit(
            taps.spread(conv.weight, conv.dilations),
            [most - own for most, own in zip(begin, mine, strict=True)],
            [most - own for most, own in zip(last, mine_last, strict=True)],
        )
        for conv, mine, mine_last in zip(convs, begins, lasts, strict=True)
    ]
    order = found.channels.reshape(-1)
    weight = np.concatenate(rows)[order]
    group = convs[0].group
    owners = [np.repeat(np.arange(group), len(conv.weight) // group) for conv in convs]
    owner = np.concatenate(owners)[order]
    if len(owner) % group or (owner != np.repeat(np.arange(group), len(owner) // group)).any():
        weight, group = taps.dense_from_grouped(weight, owner, group), 1
    bias = None
    if any(conv.bias is not None for conv in convs):
        held = [
            np.zeros(len(conv.weight), conv.weight.dtype) if conv.bias is None else conv.bias
            for conv in convs
        ]
        bias = np.concatenate(held)[order]
    growth = convs[0].growth
    reach = [b + la + 1 for b, la in zip(begin, last, strict=True)]
    ends = [g + r - 1 - b for g, r, b in zip(growth, reach, begin, strict=True)]
    whole = Conv(np.ascontiguousarray(weight), bias, (*begin, *ends), group=group)
    return PolyphaseFilter.from_interleaved_convs(
        InterleavedConvs((whole,), Interleave(found.strides, "CRD", found.crops))
    )

"""Convolutions that read the same map with the same geometry are one convolution.

::

    x -> Conv -> a                becomes      x -> Conv -> Split -> a
    x -> Conv -> b                                             +---> b

1. Output channels are independent, so kernels stack along them; a missing bias is zeros.
2. Kernel extents, strides, pads, dilations (and output padding of transposed convolutions) are
   equal; one group, since groups would have to be woven.
3. Split copies what the convolution wrote. In ONNX Runtime on one x86 core this costs more than
   one call instead of two saves, but for deep layers (measured: FCRN's 5x5 pairs as polyphase
   filters, 1024 channels 1.03 to 1.10 times faster, 64 channels 0.95), so costs decide.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.conv_nodes import ReadConv, read_conv, read_conv_transpose
from edgeup.export.passes.facts import Array, is_onnx, opset_of
from edgeup.export.passes.forms import write_conv, write_conv_transpose
from edgeup.polyphase import Conv, ConvTranspose

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

_Read: TypeAlias = "ReadConv | ConvTranspose"


class MergeSiblings:
    """Merges all convolutions of one geometry that read a map."""

    name = "merge-siblings"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rules 1 to 3 of the module; ``node`` is the last of its siblings."""
        siblings = _siblings(node)
        if len(siblings) < 2 or node is not siblings[-1]:
            return None
        reads: dict[ir.Node, _Read] = {}
        for sibling in siblings:
            read = _read(sibling)
            if isinstance(read, Refusal):
                return read
            reads[sibling] = read
        alike = [s for s in siblings if _geometry(reads[s]) == _geometry(reads[node])]
        name = node.name or ""
        if len(alike) < 2:
            return Refusal(name, "the other convolutions of its input have another geometry")
        if _filter(reads[node]).group != 1:
            return Refusal(name, f"its {_filter(reads[node]).group} groups cannot be stacked")
        return _plan(alike, [reads[s] for s in alike], opset_of(node, aim))


def _siblings(node: ir.Node) -> list[ir.Node]:
    """The nodes of the same operator that read the same map, in the order of the graph."""
    source = node.inputs[0] if is_onnx(node, "Conv", "ConvTranspose") else None
    if source is None:
        return []
    readers = {use.node for use in source.uses() if use.idx == 0}
    wanted = {n for n in readers if is_onnx(n, node.op_type) and n.graph is node.graph}
    return [n for n in node.graph or () if n in wanted] if len(wanted) > 1 else list(wanted)


def _read(node: ir.Node) -> _Read | Refusal:
    return read_conv(node) if node.op_type == "Conv" else read_conv_transpose(node)


def _filter(read: _Read) -> Conv | ConvTranspose:
    return read.conv if isinstance(read, ReadConv) else read


def _geometry(read: _Read) -> Hashable:
    form = _filter(read)
    more = () if isinstance(form, Conv) else form.output_padding
    strides = read.strides  # of the node; the convolution of the algebra has none
    return form.weight.shape[2:], form.weight.dtype, form.pads, form.dilations, strides, more


def _plan(nodes: Sequence[ir.Node], reads: Sequence[_Read], opset: int) -> Plan:
    forms = [_filter(read) for read in reads]
    channels_axis = 0 if isinstance(forms[0], Conv) else 1
    channels = [form.weight.shape[channels_axis] for form in forms]
    merged = replace(
        forms[0],
        weight=np.concatenate([form.weight for form in forms], channels_axis),
        bias=_stacked_bias(forms, channels),
    )

    def build(builder: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        if isinstance(merged, Conv):
            joined = write_conv(builder, inputs[0], merged, reads[0].strides)
        else:
            joined = write_conv_transpose(builder, inputs[0], merged)
        return _split(builder, joined, channels, opset)

    source = nodes[0].inputs[0]
    return Plan(
        nodes=tuple(nodes),
        inputs=() if source is None else (source,),
        outputs=tuple(node.outputs[0] for node in nodes),
        candidates=(Candidate("one convolution, split", build),),
        why=f"{len(nodes)} convolutions of one map, of {channels} channels",
    )


def _stacked_bias(forms: Sequence[Conv | ConvTranspose], channels: Sequence[int]) -> Array | None:
    if all(form.bias is None for form in forms):
        return None
    dtype = forms[0].weight.dtype
    given = zip(forms, channels, strict=True)
    return np.concatenate([np.zeros(c, dtype) if f.bias is None else f.bias for f, c in given])


def _split(
    build: Builder, value: ir.Value, channels: Sequence[int], opset: int
) -> Sequence[ir.Value]:
    outputs = len(channels)
    if opset < 13:
        return build.ops("Split", [value], {"axis": 1, "split": channels}, outputs=outputs)
    sizes = build.constant(channels, np.int64)
    return build.ops("Split", [value, sizes], {"axis": 1}, outputs=outputs)

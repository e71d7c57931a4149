"""A convolution of joined maps is a sum of convolutions, and those of resized maps fuse.

::

    a -> Resize nearest --+
                          +-> Concat -> Conv -> y
    b --------------------+
                                        becomes      a -> polyphase filter --+
                                                                             +-> Add -> y
                                                     b -> Conv --------------+

The neck of U-Net, FPN, DBNet and YOLO.

1. Convolution is linear, so it is the sum over the joined maps, each with its own slice of the
   kernel. Zero pads are joined as the maps are. The bias is added once.
2. The slice of a map resized by whole factors is a polyphase filter of the small map, in any of
   its forms (for ONNX Runtime also with a box behind it, as in `fuse_upsample_conv`); strides have
   to divide the factors. Plain maps stay joined.
3. A 1x1 kernel is better applied to the small map, and its result resized.
4. The sum costs an addition of a whole map, so the split alone never pays; costs decide.
5. Refused: groups (slices would cut them), another reader of the joined or of a resized map
   (both would have to be made anyway).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgeup.export.passes.builder import Builder
from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.conv_nodes import SPATIAL, ReadConv, read_conv
from edgeup.export.passes.facts import (
    attribute,
    is_onnx,
    opset_of,
    rank,
    sole_user,
    static_shape,
)
from edgeup.export.passes.forms import BOXED, Part, candidates, write_conv
from edgeup.export.passes.resampling import write_nearest
from edgeup.export.passes.upsampled import Upsampled, upsampled_source
from edgeup.polyphase import Conv, PolyphaseFilter, split_box

if TYPE_CHECKING:
    import onnx_ir as ir

_Write: TypeAlias = Callable[[Builder, "ir.Value"], "ir.Value"]


@dataclass(frozen=True, eq=False)
class _Resized:
    """One joined map that is resized, and its slice of the convolution."""

    up: Upsampled
    conv: Conv


class SplitConcatConv:
    """Splits a convolution by linearity where some of what it reads was resized."""

    name = "split-concat-conv"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rules 1 to 5 of the module."""
        concat = _joined_before(node)
        if concat is None:
            return None
        values = [value for value in concat.inputs if value is not None]
        ups = [_nearest(value) for value in values]
        if not any(ups):
            return None
        name, read = node.name or "", read_conv(node)
        if isinstance(read, Refusal):
            return read
        if reason := _why_not(node, concat, ups, read):
            return Refusal(name, reason)
        slices = _slices(values, read.conv)
        if isinstance(slices, str):
            return Refusal(name, slices)
        plain = [(v, s) for v, s, up in zip(values, slices, ups, strict=True) if up is None]
        resized = [_Resized(up, s) for s, up in zip(slices, ups, strict=True) if up is not None]
        if read.conv.bias is not None and not plain:  # rule 1: once
            resized[0] = replace(resized[0], conv=replace(resized[0].conv, bias=read.conv.bias))
        forms = _forms(resized, read, opset_of(node, aim), boxes=aim.backend == "onnxruntime")
        if isinstance(forms, str):
            return Refusal(name, forms)
        return _plan(node, concat, plain, resized, read, forms)


def _joined_before(node: ir.Node) -> ir.Node | None:
    """The Concat of channels that a Conv reads."""
    if not is_onnx(node, "Conv") or node.inputs[0] is None:
        return None
    concat = node.inputs[0].producer()
    axes = rank(node.inputs[0])
    if concat is None or not is_onnx(concat, "Concat") or axes is None:
        return None
    return concat if int(attribute(concat, "axis", 0)) % axes == 1 else None


def _nearest(value: ir.Value) -> Upsampled | None:
    up = upsampled_source(value)
    return up if isinstance(up, Upsampled) and up.kind == "nearest" else None


def _why_not(
    node: ir.Node, concat: ir.Node, ups: Iterable[Upsampled | None], read: ReadConv
) -> str | None:
    if read.conv.group != 1:
        return f"its {read.conv.group} groups would be cut by the joined maps"
    if sole_user(concat.outputs[0]) is not node or concat.graph is not node.graph:
        return f"{concat.outputs[0].name}, the joined map, is read elsewhere as well"
    for up in ups:
        if up is None:
            continue
        if any(made.graph is not node.graph for made in up.nodes):
            return "a map is resized outside of its subgraph"
        if sole_user(big := up.nodes[-1].outputs[0]) is not concat:
            return f"{big.name}, a resized map, is read elsewhere as well"
        if static_shape(up.source) is None:
            return f"the shape of {up.source.name} is not known: --shape would fix it"
    return None


def _slices(values: Sequence[ir.Value], conv: Conv) -> list[Conv] | str:
    """The convolution of each joined map, without bias."""
    slices, begin = [], 0
    for value in values:
        channels = None if value.shape is None else value.shape[1]
        if not isinstance(channels, int):
            return f"the channels of {value.name} are not known: --shape would fix them"
        weight = conv.weight[:, begin : begin + channels]
        slices.append(replace(conv, weight=weight, bias=None))
        begin += channels
    return slices


def _forms(
    resized: Sequence[_Resized], read: ReadConv, opset: int, *, boxes: bool
) -> dict[str, list[_Write]] | str:
    """What to write for each resized map, by the name of the form."""
    if read.conv.weight[0, 0].size == 1 and not any(read.conv.pads) and set(read.strides) == {1}:
        return {"resize after a 1x1 convolution": [_small_first(r, opset) for r in resized]}
    found: list[dict[str, _Write]] = []
    for one in resized:
        whole = PolyphaseFilter.from_nearest_conv(one.conv, one.up.factors)
        kept = whole.decimate(read.strides)
        if not isinstance(kept, PolyphaseFilter):
            return kept.reason
        extents = (static_shape(one.up.source) or ())[SPATIAL:]
        forms = candidates([Part(kept)], extents, opset, ())
        if boxes and set(read.strides) == {1}:
            inner, box = split_box(one.conv, one.up.factors)
            forms += candidates([Part(inner, box=box)], extents, opset, (), suffix=BOXED)
        found.append({form.form: _only_output(form) for form in forms})
    names = [name for name in found[0] if all(name in forms for forms in found)]
    return {name: [forms[name] for forms in found] for name in names}


def _small_first(one: _Resized, opset: int) -> _Write:
    def write(build: Builder, source: ir.Value) -> ir.Value:
        return write_nearest(build, write_conv(build, source, one.conv), one.up.factors, opset)

    return write


def _only_output(form: Candidate) -> _Write:
    return lambda build, source: form.build(build, [source])[0]


def _plan(
    node: ir.Node,
    concat: ir.Node,
    plain: Sequence[tuple[ir.Value, Conv]],
    resized: Sequence[_Resized],
    read: ReadConv,
    forms: dict[str, list[_Write]],
) -> Plan:
    inputs = tuple(dict.fromkeys([r.up.source for r in resized] + [v for v, _ in plain]))
    rest = None
    if plain:
        rest = replace(read.conv, weight=np.concatenate([c.weight for _, c in plain], 1))

    def form_of(writes: Sequence[_Write]) -> Callable[..., Sequence[ir.Value]]:
        def build(builder: Builder, given: Sequence[ir.Value]) -> Sequence[ir.Value]:
            outside = dict(zip(inputs, given, strict=True))
            terms = [w(builder, outside[r.up.source]) for w, r in zip(writes, resized, strict=True)]
            if rest is not None:
                maps = [outside[value] for value, _ in plain]
                joined = maps[0] if len(maps) == 1 else builder.op("Concat", maps, {"axis": 1})
                terms.insert(0, write_conv(builder, joined, rest, read.strides))
            return [reduce(lambda a, b: builder.op("Add", [a, b]), terms)]

        return build

    made = dict.fromkeys(n for one in resized for n in one.up.nodes)
    return Plan(
        nodes=(*made, concat, node),
        inputs=inputs,
        outputs=(node.outputs[0],),
        candidates=tuple(Candidate(f"split, {name}", form_of(w)) for name, w in forms.items()),
        why=f"{len(resized)} of {len(concat.inputs)} joined maps were resized before the Conv",
    )

"""Upsampling, then convolution, becomes one of the forms of a polyphase filter.

::

    x -> Resize nearest -> [Pad] -> Conv -> y      becomes      x -> ConvTranspose -> y
    x -> zero insertion -> [Pad] -> Conv -> y             or    x -> Conv -> DepthToSpace -> y
                                                          or    x -> 4 Conv -> Concat -> DTS -> y

1. The upsampling is what `upsampled` knows: nearest by whole factors, or zero insertion.
2. A Pad of zeros adds to the convolution's pads.
3. A Pad by ``p`` of the map's edge, after nearest by ``f``: rows -p to -1 repeat row 0, which is
   pixel 0. Padding the small map by ``ceil(p / f)`` of its edge, then resizing, gives
   ``f ceil(p / f)`` such rows; what is too much of them is cropped, by a negative pad of the
   convolution. Where it has zero pads of its own, they would have to begin after the crop: refused
   unless nothing is cropped.
4. A Pad that reflects by ``p < f`` after nearest by ``f``: row -r mirrors row r, and rows 0 to
   f - 1 are all pixel 0; so it is rule 3. The same holds at the end.
5. A convolution with strides keeps every t-th output: done where the strides divide the factors.
6. Nearest resize is zero insertion and a box of ones: the filter may be that of the zero insertion,
   which has fewer taps, and the box a depthwise convolution behind it (`polyphase.split_box`). For
   ONNX Runtime alone, where it was measured: of 8 dense sites it was the fastest form in all, by
   1.0 to 1.5 times over the best form without it. What TensorRT makes of it is not known.
7. Several convolutions may read the map: they change together. Whatever else reads the map keeps
   it: the upsampling is then written again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeup import polyphase
from edgeup.export.passes.contract import Aim, Plan, Refusal
from edgeup.export.passes.conv_nodes import SPATIAL, ReadPad, read_conv, read_pad
from edgeup.export.passes.copy_nodes import copy_nodes
from edgeup.export.passes.facts import in_order, is_onnx, opset_of, sole_user, static_shape
from edgeup.export.passes.forms import BOXED, Part, candidates
from edgeup.export.passes.upsampled import Upsampled, upsampled_source
from edgeup.polyphase import Conv, PolyphaseFilter

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


@dataclass(frozen=True, eq=False)
class _Branch:
    """A convolution of an upsampled map, with the Pad before it.

    ``conv`` reads zero insertion to ``corner``, or nearest resize, of the source padded by
    ``edges``; its pads hold what the Pad and the map's own window add.
    """

    up: Upsampled
    nodes: tuple[ir.Node, ...]
    conv: Conv
    steps: tuple[int, ...]
    corner: tuple[int, ...]
    edges: tuple[int, ...]

    def filter(self) -> PolyphaseFilter | polyphase.Refusal:
        """The operator from the source to the convolution's output (rule 5)."""
        if self.up.kind == "nearest":
            whole = PolyphaseFilter.from_nearest_conv(self.conv, self.up.factors)
        else:
            whole = PolyphaseFilter.from_zero_insertion_conv(
                self.conv, self.up.factors, self.corner
            )
        return whole if set(self.steps) == {1} else whole.decimate(self.steps)

    @property
    def may_box(self) -> bool:
        """Whether rule 6 saves work: a dense kernel of more than one tap."""
        dense = self.conv.group == 1 and math.prod(self.conv.weight.shape[SPATIAL:]) > 1
        return dense and self.up.kind == "nearest" and set(self.steps) == {1}

    def boxed(self) -> Part:
        """The filter of the zero insertion, and the box behind it (rule 6)."""
        whole, box = polyphase.split_box(self.conv, self.up.factors)
        return Part(whole, self.edges, box=box)


class FuseUpsampleConv:
    """Puts a polyphase filter in the place of upsampling and convolution."""

    name = "fuse-upsample-conv"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module; ``node`` is the last convolution that reads the map."""
        mine = _branch(node)
        if not isinstance(mine, _Branch):
            return mine
        big = mine.up.nodes[-1].outputs[0]
        found = {}
        for usage in big.uses():
            for conv in (usage.node, *_readers(usage.node)):
                branch = _branch(conv) if conv.graph is node.graph else None
                if isinstance(branch, _Branch) and branch.up.source is mine.up.source:
                    found[conv] = branch
        convs = in_order(found)
        if node is not convs[-1]:
            return None
        branches = [found[conv] for conv in convs]
        inside = {n for branch in branches for n in branch.nodes}
        stays = big.is_graph_output() or any(usage.node not in inside for usage in big.uses())
        nodes = (*mine.up.nodes, *in_order(inside))
        shape = static_shape(mine.up.source)
        parts = [
            Part(whole, branch.edges)
            for branch in branches
            if isinstance(whole := branch.filter(), PolyphaseFilter)
        ]
        spatial, opset = None if shape is None else shape[SPATIAL:], opset_of(node, aim)
        keep = _again(mine.up) if stays else lambda build, source: ()
        forms = candidates(parts, spatial, opset, nodes, keep)
        if aim.backend == "onnxruntime" and all(branch.may_box for branch in branches):
            boxed = [branch.boxed() for branch in branches]
            forms += candidates(boxed, spatial, opset, nodes, keep, BOXED)
        if not forms:
            return Refusal(node.name or "", "no other form of it differs from what is written")
        what = "convolution" if len(convs) == 1 else f"{len(convs)} convolutions"
        return Plan(
            nodes=nodes,
            inputs=(mine.up.source,),
            outputs=(*(conv.outputs[0] for conv in convs), *((big,) if stays else ())),
            candidates=forms,
            why=f"{mine.up.words} + {what} is one polyphase filter",
        )


def _branch(node: ir.Node) -> _Branch | Refusal | None:
    if not is_onnx(node, "Conv") or node.inputs[0] is None:
        return None
    big, pad = node.inputs[0], None
    before = big.producer()
    if is_onnx(before, "Pad") and before is not None and before.inputs[0] is not None:
        pad, big = before, before.inputs[0]
    up = upsampled_source(big)
    if up is None and pad is not None:
        pad, up = None, upsampled_source(node.inputs[0])  # a Pad that is part of zero insertion
    if not isinstance(up, Upsampled):
        return up
    if any(made.graph is not node.graph for made in up.nodes):
        return Refusal(node.name or "", "its input is upsampled outside of its subgraph")
    if pad is not None and sole_user(pad.outputs[0]) is not node:
        return Refusal(node.name or "", f"another node reads what {pad.name} pads")
    read = read_conv(node)
    padded = None if pad is None else read_pad(pad)
    if isinstance(read, Refusal):
        return read
    if isinstance(padded, Refusal):
        return padded
    if read.conv.weight.ndim - SPATIAL != len(up.factors):
        return Refusal(node.name or "", "its kernel has other axes than the map")
    window = _window(up, padded, read.conv.pads)
    if isinstance(window, str):
        return Refusal(node.name or "", window)
    pads, edges = window
    branch = _Branch(
        up,
        (node,) if pad is None else (pad, node),
        replace(read.conv, pads=pads),
        read.strides,
        tuple(p % f for p, f in zip(up.places, up.factors, strict=True)),
        edges,
    )
    kept = None if set(read.strides) == {1} else branch.filter()
    if isinstance(kept, polyphase.Refusal):
        return Refusal(node.name or "", kept.reason)
    return branch


def _window(
    up: Upsampled, pad: ReadPad | None, pads: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    """The convolution's pads around the whole map, and the small map's edges (rules 2 to 4)."""
    axes = len(up.factors)
    begins, ends = list(pads[:axes]), list(pads[axes:])
    edges = [0] * (2 * axes)
    if pad is not None and pad.mode == "constant":  # rule 2
        begins = [b + p for b, p in zip(begins, pad.begins, strict=True)]
        ends = [e + p for e, p in zip(ends, pad.ends, strict=True)]
    elif pad is not None:
        for half, own, given in ((0, begins, pad.begins), (axes, ends, pad.ends)):
            for axis, (p, factor) in enumerate(zip(given, up.factors, strict=True)):
                if why := _no_edge(up, pad.mode, p, factor, own[axis]):
                    return why
                edges[half + axis] = -(-p // factor)
                own[axis] += p - factor * edges[half + axis]  # rule 3
    if up.kind == "zeros":
        # A map whose first pixel is at place p begins with p - p mod f zeros more than a cell has.
        shifts = [p - p % f for p, f in zip(up.places, up.factors, strict=True)]
        begins = [b + s for b, s in zip(begins, shifts, strict=True)]
        ends = [e + x - s for e, x, s in zip(ends, up.extra, shifts, strict=True)]
    return (*begins, *ends), tuple(edges)


def _no_edge(up: Upsampled, mode: str, pad: int, factor: int, zeros: int) -> str | None:
    """Why an end of an axis cannot be padded on the small map; None where it can."""
    if pad == 0:
        return None
    if up.kind != "nearest":
        return f"a {mode} Pad of a zero-inserted map has no low-resolution form"
    if mode not in ("edge", "reflect"):
        return f"a {mode} Pad has no low-resolution form"
    if mode == "reflect" and pad >= factor:
        return f"it reflects by {pad}: at factor {factor} that is an edge only up to {factor - 1}"
    if zeros and pad % factor:
        return f"{zeros} zeros beyond an edge of {pad} are no whole pixels of factor {factor}"
    return None


def _readers(node: ir.Node) -> tuple[ir.Node, ...]:
    """What reads a Pad."""
    if not is_onnx(node, "Pad"):
        return ()
    return tuple(usage.node for usage in node.outputs[0].uses())


def _again(up: Upsampled) -> Callable[[Builder, ir.Value], Sequence[ir.Value]]:
    def write(build: Builder, source: ir.Value) -> Sequence[ir.Value]:
        return [copy_nodes(build, up.nodes, {up.source: source})[up.nodes[-1].outputs[0]]]

    return write

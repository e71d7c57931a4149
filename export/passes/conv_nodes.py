"""Conv, ConvTranspose and Pad nodes, read into the fields of the algebra, defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import Array, attribute, constant, input_of, is_onnx, static_shape
from edgeup.polyphase import Conv, ConvTranspose

if TYPE_CHECKING:
    import onnx_ir as ir

SPATIAL = 2
"""The first spatial axis of ``n c h w``."""


@dataclass(frozen=True, eq=False)
class ReadConv:
    """A Conv: the convolution at stride 1, and every how many outputs are kept."""

    conv: Conv
    strides: tuple[int, ...]


@dataclass(frozen=True)
class ReadPad:
    """A Pad of spatial axes: ``constant`` (of zeros), ``edge`` or ``reflect``."""

    mode: str
    begins: tuple[int, ...]
    ends: tuple[int, ...]


def read_conv(node: ir.Node) -> ReadConv | Refusal:
    """Read a Conv; refused where its numbers can change at run time."""
    held = read_weights(node)
    if isinstance(held, Refusal):
        return held
    weight, bias = held
    axes = weight.ndim - SPATIAL
    strides = attribute(node, "strides", (1,) * axes)
    dilations = attribute(node, "dilations", (1,) * axes)
    pads = attribute(node, "pads", (0,) * (2 * axes))
    auto = attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        resolved = _same_pads(node, weight, strides, dilations, lower=auto == "SAME_LOWER")
        if isinstance(resolved, Refusal):
            return resolved
        pads = resolved
    elif auto == "VALID":
        pads = (0,) * (2 * axes)
    return ReadConv(Conv(weight, bias, pads, dilations, attribute(node, "group", 1)), strides)


def read_conv_transpose(node: ir.Node) -> ConvTranspose | Refusal:
    """Read a ConvTranspose; ``auto_pad`` and ``output_shape`` are resolved where shapes are known.

    ONNX: the total padding is split, and the odd element goes to the end for SAME_UPPER, to the
    begin otherwise.
    """
    held = read_weights(node)
    if isinstance(held, Refusal):
        return held
    weight, bias = held
    axes = weight.ndim - SPATIAL
    form = ConvTranspose(
        weight,
        bias,
        attribute(node, "strides", (1,) * axes),
        attribute(node, "pads", ()),
        attribute(node, "dilations", (1,) * axes),
        attribute(node, "output_padding", ()),
        attribute(node, "group", 1),
    )
    auto = attribute(node, "auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER") and "output_shape" not in node.attributes:
        return form if auto == "NOTSET" else _without_pads(form)
    before = static_shape(node.inputs[0])
    if before is None:
        return Refusal(node.name or "", _unknown_shape("its pads follow from its output's extents"))
    spatial = before[SPATIAL:]
    same = [n * s for n, s in zip(spatial, form.strides, strict=True)]
    wanted = attribute(node, "output_shape", same)[-axes:]
    full = _without_pads(form).output_spatial(spatial)
    totals = [f - w for f, w in zip(full, wanted, strict=True)]
    if min(totals) < 0:
        return Refusal(node.name or "", f"output_shape asks for {-min(totals)} more than it makes")
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    pads = (*small, *large) if auto == "SAME_UPPER" else (*large, *small)
    return _with_pads(form, pads)


def read_pad(node: ir.Node) -> ReadPad | Refusal | None:
    """Read a Pad of spatial axes; None where it is another node, or pads with something else."""
    if not is_onnx(node, "Pad"):
        return None
    name = node.name or ""
    mode = attribute(node, "mode", "constant")
    given = attribute(node, "pads", None)
    value = input_of(node, 1)
    pads = given if value is None else constant(value)
    if pads is None:
        return Refusal(name, _unknown_shape("its pads are computed"))
    filled = input_of(node, 2)
    held = attribute(node, "value", 0.0) if filled is None else constant(filled)
    if mode == "constant" and (held is None or np.any(held)):
        return Refusal(name, "it pads with something else than zeros")
    axes = constant(input_of(node, 3))
    rank = len(pads) // 2 if axes is None else _rank(node)
    if rank is None:
        return Refusal(name, "the rank of what it pads is not known")
    begins, ends = [0] * rank, [0] * rank
    named = range(rank) if axes is None else [int(a) % rank for a in axes]
    for place, axis in enumerate(named):
        begins[axis], ends[axis] = int(pads[place]), int(pads[place + len(pads) // 2])
    if any(begins[:SPATIAL] + ends[:SPATIAL]):
        return Refusal(name, "it pads the batch or the channels")
    if min(begins + ends) < 0:
        return Refusal(name, f"it crops: pads {begins} and {ends}")
    return ReadPad(mode, tuple(begins[SPATIAL:]), tuple(ends[SPATIAL:]))


def read_weights(node: ir.Node) -> tuple[Array, Array | None] | Refusal:
    """Kernel and bias of a Conv or ConvTranspose; refused where they can change at run time."""
    name = node.name or ""
    weight = constant(input_of(node, 1))
    if weight is None:
        return Refusal(name, "its weights are not constant")
    if weight.ndim <= SPATIAL or weight.size == 0:
        return Refusal(name, f"its kernel has shape {weight.shape}")
    given = input_of(node, 2)
    bias = constant(given)
    if given is not None and bias is None:
        return Refusal(name, "its bias is not constant")
    return weight, bias


def _same_pads(
    node: ir.Node,
    weight: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    lower: bool,
) -> tuple[int, ...] | Refusal:
    reach = [d * (k - 1) + 1 for k, d in zip(weight.shape[SPATIAL:], dilations, strict=True)]
    totals = [r - 1 for r in reach]
    if any(s != 1 for s in strides):
        shape = static_shape(node.inputs[0])
        if shape is None:
            return Refusal(node.name or "", _unknown_shape("its pads are SAME at a stride"))
        sizes = zip(shape[SPATIAL:], strides, reach, strict=True)
        totals = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in sizes]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*large, *small) if lower else (*small, *large)


def _without_pads(form: ConvTranspose) -> ConvTranspose:
    return _with_pads(form, (0,) * len(form.pads))


def _with_pads(form: ConvTranspose, pads: tuple[int, ...]) -> ConvTranspose:
    return ConvTranspose(
        form.weight,
        form.bias,
        form.strides,
        pads,
        form.dilations,
        form.output_padding,
        form.group,
    )


def _rank(node: ir.Node) -> int | None:
    value = node.inputs[0]
    return None if value is None or value.shape is None else len(value.shape)


def _unknown_shape(why: str) -> str:
    return f"{why}, and its shapes are not known: --shape would fix them"

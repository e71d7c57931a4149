"""ConvTranspose, by version; the facts are the passes' (`passes.accept_conv_transpose`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.ranks import rank_rule
from edgeup.export.capability.versions.sources import importer
from edgeup.export.passes.accept_conv_transpose import (
    BUILDS_STRIDED_AND_DILATED,
    lacking,
    strided_and_dilated,
)
from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.conv_nodes import read_conv_transpose
from edgeup.export.passes.facts import attribute, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_ISSUE = "onnx/onnx-tensorrt#1042 (10.13)"
_SPATIAL = 2


def _form(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None:
        return None
    form = read_conv_transpose(node)
    lack = None if isinstance(form, Refusal) else lacking(form, aim)
    if lack is None:
        return None
    verdict = Verdict.DIFFERENT if lack.silent else Verdict.REFUSED
    return Fault(verdict, lack.reason, lack.evidence)


def _both_above_one(node: ir.Node, aim: Aim) -> Fault | None:
    words = strided_and_dilated(node)
    if aim.tensorrt is None or words is None:
        return None
    return Fault(
        Verdict.WARNING, f"{words}: so with RTX, not known here", BUILDS_STRIDED_AND_DILATED
    )


def _implied_pads(node: ir.Node, aim: Aim) -> Fault | None:
    """``output_shape``: the odd element of the padding goes to the other side than ONNX's."""
    if aim.tensorrt is None or "output_shape" not in node.attributes:
        return None
    evidence = f"{importer(aim)}, generatePadding; {_ISSUE}"
    known = _totals(node)
    if known is None:
        return Fault(
            Verdict.DIFFERENT,
            "output_shape with an open shape: TensorRT may divide the padding otherwise than ONNX",
            evidence,
            "fix the input's shape (--shape), or write pads instead of output_shape",
        )
    wanted, same = known
    auto = attribute(node, "auto_pad", "NOTSET")
    # TensorRT looks at output_shape with NOTSET alone, and puts the odd element at the end.
    totals = {"NOTSET": wanted, "VALID": [0] * len(wanted)}.get(auto, same)
    begins, ends = _divided(totals, odd_at_end=auto != "SAME_LOWER")
    if min(begins) < 0:
        return Fault(
            Verdict.REFUSED,
            "output_shape asks for more than the operator makes: a negative pad at the begin",
            f"{importer(aim)}: TensorRT does not support negative pre-padding",
            "write output_padding, or pad behind it",
        )
    onnx = _divided(wanted, odd_at_end=auto == "SAME_UPPER")
    # What is missing is added at the end, by both.
    onnx_begins = [0 if total < 0 else begin for total, begin in zip(wanted, onnx[0], strict=True)]
    if begins == onnx_begins and [*map(sum, zip(begins, ends, strict=True))] == wanted:
        return None
    return Fault(
        Verdict.DIFFERENT,
        f"from output_shape, TensorRT reads begin pads {begins} and ONNX {onnx_begins}",
        evidence,
        "write pads instead of output_shape",
    )


def _totals(node: ir.Node) -> tuple[list[int], list[int]] | None:
    """The padding per axis that output_shape asks for, and the one of SAME."""
    shape, weight = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    if shape is None or weight is None:
        return None
    axes = len(shape) - _SPATIAL
    strides = attribute(node, "strides", (1,) * axes)
    dilations = attribute(node, "dilations", (1,) * axes)
    more = attribute(node, "output_padding", (0,) * axes)
    output = attribute(node, "output_shape", ())[-axes:]
    reaches = [(k - 1) * d + 1 for k, d in zip(weight[_SPATIAL:], dilations, strict=True)]
    made = [
        s * (n - 1) + m + r
        for s, n, m, r in zip(strides, shape[_SPATIAL:], more, reaches, strict=True)
    ]
    wanted = [whole - size for whole, size in zip(made, output, strict=True)]
    return wanted, [max(0, r - s) for r, s in zip(reaches, strides, strict=True)]


def _divided(totals: Sequence[int], *, odd_at_end: bool) -> tuple[list[int], list[int]]:
    """Begin and end pads per axis."""
    small = [int(total / 2) for total in totals]  # as in C++, towards zero
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return (small, large) if odd_at_end else (large, small)


CONV_TRANSPOSE_RULES = (
    rank_rule(
        "conv-transpose-rank",
        ("ConvTranspose",),
        "TensorRT has transposed convolutions on 1 to 3 axes",
        "TensorRT only supports 1D, 2D or 3D deconvolutions!",
    ),
    Rule("conv-transpose-form", ("ConvTranspose",), _form),
    Rule("conv-transpose-output-shape", ("ConvTranspose",), _implied_pads),
    Rule("conv-transpose-strided-and-dilated", ("ConvTranspose",), _both_above_one),
)

"""A ConvTranspose that TensorRT lacks, with zero taps in place of what it lacks.

::

    x -> ConvTranspose(auto_pad, output_shape) -> y    becomes    ConvTranspose(pads)        1
    x -> ConvTranspose(...) -> y                       becomes    ConvTranspose(other w)     2-5

Input ``i`` adds ``w[t] x[i]`` to output ``s i + d t - begin``: a zero tap before the kernel moves
``begin`` by one, one behind it moves ``end``, and a dilated kernel is one with zeros between.

1. ``auto_pad`` and ``output_shape`` become pads. TensorRT reads both, but the odd element goes to
   one side or the other by a rule that changed between opsets: here it is ONNX Runtime's.
2. Stride and dilation both above 1: TensorRT for RTX 1.7 does not build them ("Strided & Dilated
   Deconv are currently not supported"); not known of other versions, so done for all.
3. Asymmetric pads on three axes: refused before 8.4.
4. Output padding beyond the end pad: 8.0 takes it on two axes only; from 8.2 it costs seven
   layers, so zero taps are offered instead.
5. One axis with output padding: wrong before 8.5 (TensorRT CHANGELOG 8.5).
6. Refused: weights or bias that are computed, and pads that follow from unknown shapes.

Sources: onnx-tensorrt, builtin_op_importers.cpp 8.0 to 10.1; TensorRT for RTX 1.7.1, built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.conv_nodes import read_conv_transpose
from edgeup.export.passes.facts import attribute, is_onnx, rank
from edgeup.export.passes.trt_resize import Lack, older
from edgeup.polyphase import ConvTranspose, taps

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

ASYMMETRIC_3D_SINCE = (8, 4)
OUTPUT_PADDING_ND_SINCE = (8, 2)
OUTPUT_PADDING_1D_SINCE = (8, 5)
BUILDS_STRIDED_AND_DILATED = (
    "run: TensorRT for RTX 1.7.1, Strided & Dilated Deconv are currently not supported"
)


class AcceptConvTranspose:
    """Rewrites what TensorRT's deconvolution lacks."""

    name = "accept-conv-transpose"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not is_onnx(node, "ConvTranspose") or not aim.is_tensorrt or node.inputs[0] is None:
            return None
        form = read_conv_transpose(node)
        if isinstance(form, Refusal):
            why = strided_and_dilated(node)
            return Refusal(form.node, f"{why}, and {form.reason}") if why else None
        lack = lacking(form, aim)
        why = strided_and_dilated(node) or (None if lack is None else lack.reason)
        implicit = attribute(node, "auto_pad", "NOTSET") != "NOTSET" or (
            "output_shape" in node.attributes
        )
        if why is not None or _padding_beyond(form):
            made = _with_zero_taps(form, symmetric=_is_3d(form) and older(aim, ASYMMETRIC_3D_SINCE))
            candidate = Candidate("zero taps", _Writer(made))
        elif implicit:
            candidate = Candidate("explicit pads", _Writer(form))
        else:
            return None
        return Plan(
            nodes=(node,),
            inputs=(node.inputs[0],),
            outputs=(node.outputs[0],),
            candidates=(candidate,),
            why=why or ("pads follow from auto_pad or output_shape" if implicit else _BEYOND),
            required=why is not None,
            simpler=why is None and candidate.form == "explicit pads",
        )


_BEYOND = "output padding beyond the end pad, which TensorRT makes of seven layers"


def strided_and_dilated(node: ir.Node) -> str | None:
    """Rule 2: the words for it, or None."""
    axes = max(0, (rank(node.inputs[1]) or 0) - taps.FIRST_SPATIAL)
    strides = attribute(node, "strides", (1,) * axes)
    dilations = attribute(node, "dilations", (1,) * axes)
    if any(s > 1 for s in strides) and any(d > 1 for d in dilations):
        return f"TensorRT does not build strides {list(strides)} with dilations {list(dilations)}"
    return None


def lacking(form: ConvTranspose, aim: Aim) -> Lack | None:
    """Rules 3, 4 and 5."""
    begins, ends = _net_pads(form)
    axes = len(begins)
    if _is_3d(form) and begins != ends and older(aim, ASYMMETRIC_3D_SINCE):
        reason = f"this TensorRT has no pads {begins} and {ends} on three axes"
        return Lack(reason, evidence="onnx-tensorrt 8.0 and 8.2: asymmetrical padding for 3D")
    if axes != 2 and _padding_beyond(form) and older(aim, OUTPUT_PADDING_ND_SINCE):
        reason = f"this TensorRT has no output padding beyond the end pad on {axes} axes"
        return Lack(reason, evidence="onnx-tensorrt 8.0: 2D padding on the outermost dimensions")
    if axes == 1 and any(form.output_padding) and older(aim, OUTPUT_PADDING_1D_SINCE):
        reason = "this TensorRT computes output padding on one axis wrongly"
        return Lack(reason, silent=True, evidence="onnx-tensorrt docs/Changelog.md, 8.5")
    return None


def _is_3d(form: ConvTranspose) -> bool:
    return len(form.strides) == 3


def _net_pads(form: ConvTranspose) -> tuple[list[int], list[int]]:
    """What is cropped at the begin and the end of each axis, less what is added there."""
    axes = len(form.strides)
    ends = [e - p for e, p in zip(form.pads[axes:], form.output_padding, strict=True)]
    return list(form.pads[:axes]), ends


def _padding_beyond(form: ConvTranspose) -> bool:
    return min(_net_pads(form)[1]) < 0


def _with_zero_taps(form: ConvTranspose, *, symmetric: bool) -> ConvTranspose:
    """The same operator without output padding, and dilated at stride 1 only."""
    begins, ends = _net_pads(form)
    wanted = [(max(b, 0), max(e, 0)) for b, e in zip(begins, ends, strict=True)]
    if symmetric:
        wanted = [(max(pair), max(pair)) for pair in wanted]
    before = [w - b for (w, _), b in zip(wanted, begins, strict=True)]
    after = [w - e for (_, w), e in zip(wanted, ends, strict=True)]
    weight, dilations = form.weight, form.dilations
    if any(before) or any(after) or any(s > 1 for s in form.strides):
        weight, dilations = taps.spread(weight, dilations), ()
    return replace(
        form,
        weight=taps.fit(weight, before, after),
        pads=(*(w for w, _ in wanted), *(w for _, w in wanted)),
        dilations=dilations,
        output_padding=(),
    )


class _Writer:
    """Builds one transposed convolution."""

    def __init__(self, form: ConvTranspose) -> None:
        self._form = form

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        form = self._form
        attributes = {
            "strides": list(form.strides),
            "dilations": list(form.dilations),
            "pads": list(form.pads),
            "group": form.group,
        }
        if any(form.output_padding):
            attributes["output_padding"] = list(form.output_padding)
        constants = [form.weight] if form.bias is None else [form.weight, form.bias]
        reads = [*inputs, *(build.constant(numbers) for numbers in constants)]
        return [build.op("ConvTranspose", reads, attributes)]

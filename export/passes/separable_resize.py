"""A Resize that TensorRT lacks, as a linear operator per axis that it has.

::

    x -> Resize -> y      becomes      x -> Resize (plain) -> y               1
                                       x -> Gather -> Gather -> y             2
                                       x -> AveragePool | Conv -> y           3
                                       x -> MatMul(W_h, .) -> MatMul(., W_w^T) -> y    4

Resize of known sizes is linear along each axis, W_h x W_w^T per channel (ONNX, Resize-19). So
tf_crop_and_resize, half_pixel_symmetric, antialias, keep_aspect_ratio_policy and axes are no cases
of their own: they are a matrix, and what has the same matrix is equal.

1. A spelling that TensorRT has and that gives the same matrix (`resize_forms.plain_resize`).
2. Nearest copies pixels, so any type will do: one Gather per axis.
3. Where every row is the same row moved on by a stride: one pooling or depthwise convolution.
4. Otherwise one product per axis, outer axes by Transpose.
5. A crop beyond the input gives a constant: Where.
6. Refused: sizes that are not known before run time, unless an axis keeps its own, as an open batch
   does; linear and cubic of integers, which round by the backend's own rule; places where ONNX
   Runtime leaves ONNX's definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import constant, opset_of
from edgeup.export.passes.resize_axes import Resize, is_resize, read_resize
from edgeup.export.passes.resize_forms import gathers, plain_resize, pooling, products
from edgeup.export.passes.trt_resize import settings_lacking, sizes_lacking

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class SeparableResize:
    """Rewrites what TensorRT's Resize lacks."""

    name = "separable-resize"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not is_resize(node) or not aim.is_tensorrt:
            return None
        lacking = settings_lacking(node, aim)
        resize = read_resize(node)
        if isinstance(resize, Refusal):
            if lacking is None:
                return None
            return Refusal(resize.node, f"{lacking}, and {resize.reason}")
        lacking = lacking or sizes_lacking(resize, aim)
        if lacking is None:
            return None
        reason = _not_equal(resize)
        if reason is not None:
            return Refusal(node.name or "", f"{lacking}, and {reason}")
        return Plan(
            nodes=(node,),
            inputs=(resize.source, *_measured(node)),
            outputs=(node.outputs[0],),
            candidates=tuple(map(_of_source, _forms(resize, aim, opset_of(node, aim)))),
            why=str(lacking),
            required=True,
        )


def _measured(node: ir.Node) -> Sequence[ir.Value]:
    """Sizes that are computed from an open batch; what they come to is known, and is not read."""
    return [value for value in node.inputs[1:] if value is not None and constant(value) is None]


def _of_source(form: Candidate) -> Candidate:
    return Candidate(form.form, lambda build, inputs: form.build(build, inputs[:1]))


def _not_equal(resize: Resize) -> str | None:
    """Rule 6, once the sizes are known."""
    sampling, dtype = resize.sampling, resize.source.dtype
    if not resize.axes:
        return None
    if sampling.mode != "nearest" and dtype is not None and not dtype.is_floating_point():
        return f"{sampling.mode} of {dtype.name} rounds by the backend's own rule"
    if sampling.antialias and sampling.coordinates == "tf_half_pixel_for_nn":
        return "ONNX Runtime reads beyond the input for antialias with tf_half_pixel_for_nn"
    if sampling.antialias and sampling.crops:
        return "ONNX Runtime's antialias of a cropped region is not ONNX's"
    return None


def _forms(resize: Resize, aim: Aim, opset: int) -> Sequence[Candidate]:
    if not resize.axes:
        return [Candidate("nothing", _pass_on)]
    dtype = resize.source.dtype
    is_float = dtype is None or dtype.is_floating_point()
    plain = plain_resize(resize, aim, opset) if is_float else None
    if resize.sampling.mode == "nearest":
        return [form for form in (plain, gathers(resize)) if form is not None]
    return [form for form in (plain, pooling(resize), products(resize)) if form is not None]


def _pass_on(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
    return [build.op("Identity", inputs)]

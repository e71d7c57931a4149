"""What a deep learning accelerator asks of each operator that it has.

A limit looks at a node and answers with a reason and where it was read, or with None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import attribute, constant, input_of, rank, static_shape
from edgeup.export.passes.resize_axes import read_resize

if TYPE_CHECKING:
    import onnx_ir as ir

Answer: TypeAlias = "tuple[str, str] | None"

FREE_STRIDE_SINCE = (8, 4)
"""Before, a deconvolution's stride had to equal its kernel, and Resize was nearest alone."""
SLICE_SINCE = (8, 6)
XAVIER = 1
_SPATIAL, _PLANE, _NCHW = 2, 2, 4
_LONG = (64, 96, 128)
"""Beyond 32, a deconvolution may have these in one direction, with 1 in the other."""


@dataclass(frozen=True)
class Part:
    """The software and the hardware: TensorRT (major, minor), generation of the accelerator."""

    tensorrt: tuple[int, int]
    generation: int


def _fits(_node: ir.Node, _part: Part) -> Answer:
    return None


def _within(what: str, numbers: Sequence[int], least: int, most: int, layer: str) -> Answer:
    if all(least <= number <= most for number in numbers):
        return None
    reason = f"{what} {'x'.join(map(str, numbers))}, and DLA has {least} to {most}"
    return reason, f"NvInfer.h 8.2 to 10.3, {layer}"


def _plane(node: ir.Node, layer: str) -> Answer:
    dims = rank(node.inputs[0])
    if dims == _NCHW:
        return None
    return f"its input has {dims} dimensions, not n c h w", f"NvInfer.h, {layer}: 2D alone"


def _convolution(node: ir.Node, _part: Part) -> Answer:
    layer = "IConvolutionLayer"
    kernel, outputs = _kernel(node, outputs_axis=0)
    pads = attribute(node, "pads", (0, 0, 0, 0))
    return (
        _plane(node, layer)
        or _constant_weights(node, layer)
        or _within("kernel", kernel, 1, 32, layer)
        or _within("strides", attribute(node, "strides", (1, 1)), 1, 8, layer)
        or _within("pads", pads, 0, 31, layer)
        or _within("dilations", attribute(node, "dilations", (1, 1)), 1, 32, layer)
        or _within("output channels", (outputs,), 1, 8192, layer)
    )


def _deconvolution(node: ir.Node, part: Part) -> Answer:
    layer = "IDeconvolutionLayer"
    kernel, outputs = _kernel(node, outputs_axis=1)
    strides = attribute(node, "strides", (1, 1))
    group = attribute(node, "group", 1)
    answer = (
        _plane(node, layer)
        or _constant_weights(node, layer)
        or _within("pads", attribute(node, "pads", (0, 0, 0, 0)), 0, 0, layer)
        or _within("groups", (group,), 1, 1, layer)
        or _within("output channels", (outputs * group,), 1, 8192, layer)
        or _extent("kernel", kernel, layer)
        or _extent("strides", strides, layer)
    )
    if answer is not None:
        return answer
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET" or "output_shape" in node.attributes:
        return "its pads follow from auto_pad or output_shape", f"NvInfer.h, {layer}: padding 0"
    if part.tensorrt < FREE_STRIDE_SINCE and tuple(strides) != tuple(kernel):
        reason = f"strides {list(strides)} differ from the kernel {list(kernel)}"
        return reason, f"NvInfer.h 8.2, {layer}: stride equal to kernel"
    return None


def _extent(what: str, numbers: Sequence[int], layer: str) -> Answer:
    if sorted(numbers)[0] == 1 and sorted(numbers)[-1] in _LONG:
        return None
    return _within(what, numbers, 1, 32, layer)


def _kernel(node: ir.Node, *, outputs_axis: int) -> tuple[tuple[int, ...], int]:
    shape = static_shape(input_of(node, 1)) or ()
    return shape[_SPATIAL:], shape[outputs_axis] if shape else 0


def _constant_weights(node: ir.Node, layer: str) -> Answer:
    if constant(input_of(node, 1)) is not None:
        return None
    return "its weights are computed", f"NvInfer.h, {layer}: kernel weights"


def _pooling(node: ir.Node, part: Part) -> Answer:
    layer = "IPoolingLayer"
    pads = attribute(node, "pads", (0, 0, 0, 0))
    answer = (
        _plane(node, layer)
        or _within("window", attribute(node, "kernel_shape", ()), 1, 8, layer)
        or _within("strides", attribute(node, "strides", (1, 1)), 1, 16, layer)
        or _within("pads", pads, 0, 7, layer)
    )
    padded = any(pads) or attribute(node, "auto_pad", "NOTSET").startswith("SAME")
    excluded = node.op_type == "AveragePool" and not attribute(node, "count_include_pad", 0)
    if answer is None and padded and excluded and part.generation == XAVIER:
        return "Xavier's DLA counts the padding in an average", f"NvInfer.h, {layer}: inclusive"
    return answer


def _global_pooling(node: ir.Node, _part: Part) -> Answer:
    shape = static_shape(node.inputs[0]) or ()
    return _plane(node, "IPoolingLayer") or _within(
        "window", shape[_SPATIAL:], 1, 8, "IPoolingLayer"
    )


def _resize(node: ir.Node, part: Part) -> Answer:
    layer = "NvInfer.h, IResizeLayer"
    resize = read_resize(node)
    if isinstance(resize, Refusal):
        return resize.reason, layer
    if resize.has_sizes:
        return "it has sizes; DLA takes scales", f"{layer}: setOutputDimensions() not supported"
    if resize.rank != _NCHW or any(axis < _SPATIAL for axis in resize.axes):
        return "it resizes more than height and width", f"{layer}: exactly four scales, 1 and 1"
    sampling = resize.sampling
    how = (sampling.mode, sampling.coordinates, sampling.rounding)
    old = part.tensorrt < FREE_STRIDE_SINCE
    if not _is_sampled(how, old=old):
        return f"DLA does not resize by {', '.join(how)}", f"{layer}: combinations for DLA"
    most = 4 if sampling.mode == "linear" else 32
    for axis in resize.axes.values():
        if axis.scale != int(axis.scale) or not 1 <= axis.scale <= most:
            reason = f"scale {float(axis.scale):g}, and DLA has whole ones from 1 to {most}"
            return reason, f"{layer}: setScales"
    return None


def _is_sampled(how: tuple[str, str, str], *, old: bool) -> bool:
    mode, coordinates, rounding = how
    if mode == "nearest":
        floor = coordinates == "asymmetric" and rounding in ("floor", "simple")
        halves = coordinates == "half_pixel" and rounding in (
            "round_prefer_floor",
            "round_prefer_ceil",
        )
        return floor or (halves and not old)
    return mode == "linear" and not old and coordinates in ("half_pixel", "pytorch_half_pixel")


def _concat(node: ir.Node, _part: Part) -> Answer:
    dims = rank(node.outputs[0]) or 0
    if dims and attribute(node, "axis", 0) % dims == dims - 1 - _PLANE:
        return None
    return "it joins another axis than the channels", "NvInfer.h, IConcatenationLayer"


def _slice(node: ir.Node, part: Part) -> Answer:
    layer = "NvInfer.h 8.6, ISliceLayer"
    if part.tensorrt < SLICE_SINCE:
        return "no Slice before TensorRT 8.6", layer
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    steps = constant(input_of(node, 4))
    if before is None or after is None or len(before) != _NCHW:
        return "its input is not n c h w", layer
    if before[0] != after[0] or (steps is not None and (steps != 1).any()):
        return "it slices the batch, or in steps", layer
    return None


def _softmax(_node: ir.Node, part: Part) -> Answer:
    if part.generation == XAVIER:
        return "no Softmax on Xavier's DLA", "NvInfer.h, ISoftMaxLayer"
    return None


def _orin_alone(node: ir.Node, part: Part) -> Answer:
    if part.generation == XAVIER:
        return f"no {node.op_type} on Xavier's DLA", "Deep-Learning-Accelerator-SW, operators"
    return None


LIMITS: Mapping[str, Callable[[ir.Node, Part], Answer]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "GlobalAveragePool": _global_pooling,
    "GlobalMaxPool": _global_pooling,
    "Resize": _resize,
    "Upsample": _resize,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _slice,
    "Softmax": _softmax,
    "LeakyRelu": _orin_alone,
    "PRelu": _orin_alone,
    **dict.fromkeys(
        (
            *("Add", "Sum", "Sub", "Mul", "Max", "Min", "Abs"),
            *("Relu", "Sigmoid", "Tanh", "Clip", "BatchNormalization", "LRN"),
            *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
        ),
        _fits,
    ),
}

"""Resize, pooling and convolutions: the facts are the passes', with what was run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.rtx.asked import is_rtx, ran, refused
from edgeup.export.passes.accept_conv_transpose import strided_and_dilated
from edgeup.export.passes.ceil_pooling import EVIDENCE, dropped_window
from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import attribute, rank, static_shape
from edgeup.export.passes.resize_axes import Resize, read_resize
from edgeup.export.passes.trt_resize import (
    TRAILING,
    Lack,
    is_harmless,
    settings_lacking,
    sizes_lacking,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_SPATIAL = 2
_ONE_AXIS, _THREE_AXES = 3, 5
"""As dimensions of the input."""
_AXES = {"LpPool": (2, 3)}
_USUAL_AXES = (1, 2, 3)


def _resize(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    lack = settings_lacking(node, aim)
    if lack is not None and not lack.silent:
        return _fault(lack)
    resize = read_resize(node)
    if isinstance(resize, Refusal):
        return None if lack is None else _fault(lack)
    sized = sizes_lacking(resize, aim)
    if sized is not None and not sized.silent:
        return _unlimited(sized) if _is_unlimited(resize) else _fault(sized)
    lack = lack or sized
    return None if lack is None or is_harmless(lack, resize, aim) else _fault(lack)


def _is_unlimited(resize: Resize) -> bool:
    """Of cubic, only the scales are looked at, in the order in which they are written."""
    if resize.sampling.mode != "cubic":
        return False
    if resize.has_sizes:
        return resize.sampling.coordinates != "tf_half_pixel_for_nn"
    named = [axis % resize.rank for axis in attribute(resize.node, "axes", ())]
    return resize.has_axes and not resize.axes.keys() & set(named[: -TRAILING["cubic"]])


def _unlimited(lack: Lack) -> Fault:
    return Fault(
        Verdict.WARNING,
        f"{lack.reason}: accepted as it is written, and what it computes was not seen",
        ran("parsed and built; NvInfer.h, IResizeLayer, documents the last axes alone"),
        "resize the other axes in a Resize of their own",
    )


def _fault(lack: Lack) -> Fault:
    verdict = Verdict.DIFFERENT if lack.silent else Verdict.REFUSED
    return Fault(verdict, lack.reason, lack.evidence)


def _dilated_pool(node: ir.Node, aim: Aim) -> Fault | None:
    dilations = attribute(node, "dilations", ())
    if not is_rtx(aim) or all(step == 1 for step in dilations):
        return None
    return refused(
        f"dilations {list(dilations)}: TensorRT pools over neighbours alone",
        "This version of TensorRT does not support dilations other than 1.",
    )


def _ceil_mode(node: ir.Node, aim: Aim) -> Fault | None:
    axis = dropped_window(node) if is_rtx(aim) else None
    if axis is None:
        return None
    return Fault(
        Verdict.DIFFERENT,
        f"on axis {axis} the last window of ceil_mode begins behind the map: ONNX drops it, and "
        f"TensorRT's output is one larger",
        EVIDENCE,
        "write ceil_mode=0 with the pads that give the same windows",
    )


def _bytes(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.inputs[0]
    if not is_rtx(aim) or value is None or value.dtype is None or value.dtype.name != "INT8":
        return None
    if rank(value) != _THREE_AXES:
        return None
    return refused("INT8 along three axes", "int8 3D pooling is not supported", "pool in float")


def _empty_average(node: ir.Node, aim: Aim) -> Fault | None:
    """A window that lies in the padding has nothing to average, unless that is counted."""
    shape = static_shape(node.inputs[0])
    if not is_rtx(aim) or shape is None or attribute(node, "count_include_pad", 0):
        return None
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    axes = len(shape) - _SPATIAL
    strides = attribute(node, "strides", (1,) * axes)
    pads = attribute(node, "pads", (0,) * 2 * axes)
    for axis, kernel in enumerate(attribute(node, "kernel_shape", ())):
        begin, end = pads[axis], pads[axes + axis]
        beyond = (shape[_SPATIAL + axis] + begin + end - kernel) % strides[axis]
        if attribute(node, "ceil_mode", 0) and beyond:
            end += strides[axis] - beyond
        if max(begin, end) >= kernel:
            return refused(
                f"on axis {axis + _SPATIAL} a window of {kernel} would average padding alone",
                "the padding size is larger than or equal to the filter size for "
                "exclusive-counting pooling",
                "write ceil_mode=0 with the pads that give the same windows",
            )
    return None


def _axes(node: ir.Node, aim: Aim) -> Fault | None:
    dims = rank(node.inputs[0])
    taken = _AXES.get(node.op_type, _USUAL_AXES)
    if not is_rtx(aim) or dims is None or dims - _SPATIAL in taken:
        return None
    return refused(
        f"{node.op_type} along {dims - _SPATIAL} axes; TensorRT has it along {taken[0]} to 3",
        "kernel_shape misaligns with the input; (windowSize).nbDims == 2 || 3",
    )


def _deconvolution(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    if why := strided_and_dilated(node):
        return refused(why, "Strided & Dilated Deconv are currently not supported")
    explicit = attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    if rank(node.inputs[0]) == _ONE_AXIS and explicit and "output_shape" in node.attributes:
        return refused(
            "output_shape along one axis",
            "TensorRT does not support negative pre-padding in the ConvTranspose operator!",
            "write pads instead of output_shape",
        )
    return None


def _samples(node: ir.Node, aim: Aim) -> Fault | None:
    types = {value.dtype for value in node.inputs if value is not None and value.dtype is not None}
    if not is_rtx(aim) or len(types) <= 1:
        return None
    return refused(
        f"input and grid of {' and '.join(sorted(map(str, types)))}",
        "IGridSampleLayer `input` and `grid` must be of same type",
        "cast the grid",
    )


RULES = (
    Rule("rtx-resize", ("Resize", "Upsample"), _resize),
    Rule("rtx-pool-dilations", ("MaxPool", "AveragePool", "LpPool"), _dilated_pool),
    Rule("rtx-pool-ceil", ("MaxPool", "AveragePool", "LpPool"), _ceil_mode),
    Rule("rtx-pool-int8", ("MaxPool",), _bytes),
    Rule("rtx-average", ("AveragePool",), _empty_average),
    Rule("rtx-axes", ("MaxPool", "AveragePool", "LpPool", "Conv", "ConvTranspose"), _axes),
    Rule("rtx-deconvolution", ("ConvTranspose",), _deconvolution),
    Rule("rtx-grid-sample", ("GridSample",), _samples),
)

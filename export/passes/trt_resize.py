"""What TensorRT's Resize lacks: what the parser refuses, and what it silently computes otherwise.

Sources: onnx-tensorrt's importer, builtin_op_importers.cpp, 8.0 to 10.1; TensorRT for RTX 1.7.1,
parsed and built. Versions between are taken to be like the older of their neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim
from edgeup.export.passes.facts import attribute
from edgeup.export.passes.resize_axes import Resize, Sampling, sampling_of
from edgeup.export.passes.resize_matrix import picks

if TYPE_CHECKING:
    import onnx_ir as ir

COORDINATES = (
    "half_pixel",
    "asymmetric",
    "align_corners",
    "pytorch_half_pixel",
    "tf_half_pixel_for_nn",
)
CUBIC_SINCE = (8, 5)
AXES_SINCE = (10, 0)
OLD_NEAREST_SINCE = (8, 2)
"""Before, Resize-10 became align_corners."""
TRAILING = {"linear": 3, "cubic": 2}
"""How many trailing axes may be resized, by mode."""
_TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8")


def older(aim: Aim, version: tuple[int, int]) -> bool:
    """Whether the aim is a TensorRT from before ``version``; TensorRT for RTX is the newest."""
    return aim.tensorrt is not None and aim.tensorrt < version


def settings_lacking(node: ir.Node, aim: Aim) -> str | None:
    """What TensorRT lacks of a node's attributes and type, whatever its sizes."""
    sampling = sampling_of(node)
    dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
    if dtype is not None and dtype.name not in _TYPES:
        return f"TensorRT does not resize {dtype.name}"
    if "antialias" in node.attributes and sampling.antialias:
        return "TensorRT has no antialias (8.5 to 9.3 ignore it without a word)"
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return "TensorRT has no keep_aspect_ratio_policy (8.5 to 9.3 ignore it without a word)"
    if "axes" in node.attributes and older(aim, AXES_SINCE):
        return "this TensorRT ignores axes without a word"
    return sampling_lacking(sampling, aim)


def sampling_lacking(sampling: Sampling, aim: Aim) -> str | None:
    """What TensorRT lacks of a mode with its coordinates."""
    if sampling.coordinates not in COORDINATES:
        return f"TensorRT has no {sampling.coordinates}"
    if sampling.mode == "cubic" and older(aim, CUBIC_SINCE):
        return "this TensorRT has no cubic"
    if sampling.coordinates == "tf_half_pixel_for_nn":
        if sampling.mode != "nearest":
            return "TensorRT computes half_pixel where tf_half_pixel_for_nn is written"
        if sampling.rounding != "round_prefer_floor":
            return f"TensorRT has no tf_half_pixel_for_nn with {sampling.rounding}"
    return None


def sizes_lacking(resize: Resize, aim: Aim) -> str | None:
    """What TensorRT lacks once the sizes are known."""
    sampling = resize.sampling
    if sampling.coordinates == "tf_half_pixel_for_nn" and resize.has_sizes:
        return "TensorRT does not read sizes with tf_half_pixel_for_nn"
    trailing = TRAILING.get(sampling.mode, resize.rank)
    first = min(resize.axes, default=resize.rank)
    if first < resize.rank - trailing:
        return (
            f"TensorRT resizes the last {trailing} axes in mode {sampling.mode}, and this is "
            f"axis {first} of {resize.rank}"
        )
    if sampling.mode == "nearest" and sampling.rounding == "simple":
        if older(aim, OLD_NEAREST_SINCE):
            return "this TensorRT takes a Resize of opset 10 for align_corners"
        floor = Sampling("nearest", "asymmetric", "floor")
        for index, axis in resize.axes.items():
            if not np.array_equal(picks(axis, sampling), picks(axis, floor)):
                return f"TensorRT rounds places down on axis {index}, which opset 10 rounds up"
    return None

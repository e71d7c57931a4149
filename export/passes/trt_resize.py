"""What TensorRT's Resize lacks: what the parser refuses, and what it silently computes otherwise.

Sources: onnx-tensorrt's importer, builtin_op_importers.cpp, 8.0 to 10.1; TensorRT for RTX 1.7.1,
parsed and built. Versions between are taken to be like the older of their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim
from edgeup.export.passes.facts import attribute, constant, input_of, static_shape
from edgeup.export.passes.resize_axes import Axis, Resize, Sampling, sampling_of
from edgeup.export.passes.resize_matrix import matrix, picks

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
SIZES_UNREAD_SINCE = (8, 5)
"""From here on, ``sizes`` with tf_half_pixel_for_nn is not looked at."""
READ_OR_REFUSED_SINCE = (10, 0)
"""axes is read, antialias and keep_aspect_ratio_policy are refused; before, nobody looks."""
OLD_NEAREST_SINCE = (8, 2)
"""Before, Resize-10 became align_corners."""
TRAILING = {"linear": 3, "cubic": 2}
"""How many trailing axes may be resized, by mode."""
_TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8")
_IMPORTER = "onnx-tensorrt 8.0 to 10.1, importer of Resize; TensorRT for RTX 1.7.1, run"


@dataclass(frozen=True)
class Lack:
    """What is lacking; ``silent``: it is accepted, and something else is computed."""

    reason: str
    silent: bool = False
    evidence: str = _IMPORTER

    def __str__(self) -> str:
        return self.reason


def older(aim: Aim, version: tuple[int, int]) -> bool:
    """Whether the aim is a TensorRT from before ``version``; TensorRT for RTX is the newest."""
    return aim.tensorrt is not None and aim.tensorrt < version


def settings_lacking(node: ir.Node, aim: Aim) -> Lack | None:
    """What TensorRT lacks of a node's attributes and type, whatever its sizes."""
    sampling = sampling_of(node)
    dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
    if dtype is not None and dtype.name not in _TYPES:
        return Lack(f"TensorRT does not resize {dtype.name}")
    unread = older(aim, READ_OR_REFUSED_SINCE)
    if "antialias" in node.attributes and sampling.antialias:
        return _attribute_lacking("antialias", unread)
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return _attribute_lacking("keep_aspect_ratio_policy", unread)
    if "axes" in node.attributes and unread:
        return _attribute_lacking("axes", unread)
    return sampling_lacking(sampling, aim)


def _attribute_lacking(name: str, unread: bool) -> Lack:
    if unread:
        return Lack(f"this TensorRT ignores {name} without a word", silent=True)
    return Lack(f"TensorRT has no {name}")


def sampling_lacking(sampling: Sampling, aim: Aim) -> Lack | None:
    """What TensorRT lacks of a mode with its coordinates."""
    if sampling.coordinates not in COORDINATES:
        return Lack(f"TensorRT has no {sampling.coordinates}")
    if sampling.mode == "cubic" and older(aim, CUBIC_SINCE):
        return Lack("this TensorRT has no cubic")
    if sampling.coordinates == "tf_half_pixel_for_nn":
        if sampling.rounding != "round_prefer_floor":
            return Lack(f"TensorRT has no tf_half_pixel_for_nn with {sampling.rounding}")
        if sampling.mode != "nearest":
            return Lack(
                "TensorRT computes half_pixel where tf_half_pixel_for_nn is written", silent=True
            )
    return None


def sizes_lacking(resize: Resize, aim: Aim) -> Lack | None:
    """What TensorRT lacks once the sizes are known."""
    sampling = resize.sampling
    unread = resize.has_sizes and not older(aim, SIZES_UNREAD_SINCE)
    if sampling.coordinates == "tf_half_pixel_for_nn" and unread:
        return Lack("TensorRT does not read sizes with tf_half_pixel_for_nn")
    trailing = TRAILING.get(sampling.mode, resize.rank)
    first = min(resize.axes, default=resize.rank)
    if first < resize.rank - trailing:
        return Lack(
            f"TensorRT resizes the last {trailing} axes in mode {sampling.mode}, and this is "
            f"axis {first} of {resize.rank}"
        )
    if sampling.mode == "nearest" and sampling.rounding == "simple":
        if resize.node.op_type == "Resize" and older(aim, OLD_NEAREST_SINCE):
            return Lack("this TensorRT takes a Resize of opset 10 for align_corners", silent=True)
        floor = Sampling("nearest", "asymmetric", "floor")
        for index, axis in resize.axes.items():
            if not np.array_equal(picks(axis, sampling), picks(axis, floor)):
                reason = f"TensorRT rounds places down on axis {index}, which opset 10 rounds up"
                return Lack(reason, silent=True)
    return None


def is_harmless(lack: Lack, resize: Resize, aim: Aim) -> bool:
    """Whether what TensorRT computes in silence is, at these sizes, what was written."""
    if not lack.silent or not _same_sizes(resize):
        return False
    read = _as_read(resize.sampling, aim)
    return all(
        np.array_equal(matrix(axis, resize.sampling), matrix(_as_given(axis, resize), read))
        for axis in resize.axes.values()
    )


def _same_sizes(resize: Resize) -> bool:
    """Whether axes and keep_aspect_ratio_policy could as well be left out."""
    if tuple(axis % resize.rank for axis in attribute(resize.node, "axes", ())) not in (
        (),
        tuple(range(resize.rank)),
    ):
        return False
    sizes = constant(input_of(resize.node, 3))
    if resize.policy == "stretch" or sizes is None:
        return True
    made = static_shape(resize.source)
    return made is not None and all(
        (resize.axes[axis].size if axis in resize.axes else made[axis]) == int(size)
        for axis, size in enumerate(sizes)
    )


def _as_given(axis: Axis, resize: Resize) -> Axis:
    """The axis without keep_aspect_ratio_policy, which gives all axes one scale."""
    if resize.policy == "stretch":
        return axis
    return replace(axis, scale=np.float32(axis.size) / np.float32(axis.length))


def _as_read(sampling: Sampling, aim: Aim) -> Sampling:
    """The sampling that TensorRT computes."""
    if sampling.mode == "nearest" and sampling.rounding == "simple":
        if older(aim, OLD_NEAREST_SINCE):
            return Sampling("nearest", "align_corners", "round_prefer_floor")
        return Sampling("nearest", "asymmetric", "floor")
    shifted = sampling.coordinates == "tf_half_pixel_for_nn" and sampling.mode != "nearest"
    return replace(
        sampling,
        coordinates="half_pixel" if shifted else sampling.coordinates,
        antialias=False,
    )

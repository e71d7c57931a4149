"""What a Resize or Upsample does, axis by axis, once its sizes are known.

===========  ==========================================
Upsample-7   ``x``; attribute ``scales``
Upsample-9   ``x scales``
Resize-10    ``x scales``; asymmetric
Resize-11    ``x roi scales sizes``
Resize-18    the same, with ``axes``, ``antialias`` and ``keep_aspect_ratio_policy``
===========  ==========================================

Where ONNX's text leaves something open, this is what ONNX Runtime does (1.32,
core/providers/cpu/tensor/upsamplebase.h): scales are float32, also those made from sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import Array, attribute, constant, input_of, is_onnx, rank
from edgeup.export.passes.shape_vectors import dims_of_vector, same_dims

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Axis:
    """One axis: input length, output size, scale, and the region that is read (begin, end)."""

    length: int
    size: int
    scale: np.float32
    region: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Sampling:
    """How output positions read the input, on every axis alike.

    Attributes:
        mode: "nearest", "linear" or "cubic".
        coordinates: ONNX's coordinate_transformation_mode.
        rounding: ONNX's nearest_mode, or "simple" (the opsets that had none).
        cubic: ONNX's cubic_coeff_a.
        exclude_outside: weights beyond the border are dropped, the others scaled up to one.
        antialias: the kernel widens where the axis shrinks.
    """

    mode: str
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False

    @property
    def crops(self) -> bool:
        """Whether it reads a region, and gives ``extrapolation`` beyond the input."""
        return self.coordinates == "tf_crop_and_resize"


@dataclass(frozen=True, eq=False)
class Resize:
    """A node, read. ``axes`` holds those that may change the numbers; the others keep them."""

    node: ir.Node
    source: ir.Value
    rank: int
    sampling: Sampling
    axes: Mapping[int, Axis]
    extrapolation: float
    has_sizes: bool
    has_axes: bool
    policy: str


def is_resize(node: ir.Node) -> bool:
    """Whether the node is a Resize or an Upsample."""
    return is_onnx(node, "Resize", "Upsample")


def read_resize(node: ir.Node) -> Resize | Refusal:
    """Read a node; refused where a number that it needs is not known before run time."""
    source = node.inputs[0]
    dims = rank(source)
    if source is None or source.shape is None or dims is None:
        return _refusal(node, "the rank of its input is not known; --shape would tell")
    sampling = sampling_of(node)
    named = [int(axis) % dims for axis in attribute(node, "axes", range(dims))]
    region = _region(node, dims, named) if sampling.crops else {}
    if region is None:
        return _refusal(node, "its region of interest is not constant")
    scales, sizes = _numbers(_scales_input(node)), _sizes(input_of(node, 3))
    policy = attribute(node, "keep_aspect_ratio_policy", "stretch")
    given = tuple(np.atleast_1d(attribute(node, "scales", ()))) if scales is None else scales
    if not len(given) and sizes is None:
        return _refusal(node, "its scales or sizes are computed at run time; --shape may fix them")
    wanted = dict(zip(named, sizes if sizes is not None else given, strict=True))
    plain = not sampling.crops and (sizes is None or policy == "stretch")
    axes: dict[int, Axis] = {}
    for index, number in wanted.items():
        length = source.shape[index]
        if not isinstance(length, int) or not isinstance(number, int | float):
            keeps = number == 1 if sizes is None else same_dims([length], [number])
            if keeps and plain:  # the batch, as a rule
                continue
            return _refusal(node, f"the length of axis {index} is not known; --shape would tell")
        axes[index] = (
            _by_scale(length, np.float32(number))
            if sizes is None
            else Axis(length, int(number), np.float32(number) / np.float32(length))
        )
    if sizes is not None and policy != "stretch":
        if any(axis < 0 for axis in attribute(node, "axes", ())):
            return _refusal(node, "ONNX Runtime does not see negative axes with a policy")
        axes = _keep_aspect_ratio(axes, policy)
    changing = {
        index: Axis(axis.length, axis.size, axis.scale, region.get(index, (0.0, 1.0)))
        for index, axis in axes.items()
        if axis.scale != 1 and not (sampling.antialias and axis.length == axis.size)
    }
    # ONNX Runtime copies a map, and with antialias an axis, that keeps its length, and reads an
    # axis of scale 1 whole, whatever the region.
    if all(axis.length == axis.size for axis in changing.values()):
        changing = {}
    return Resize(
        node,
        source,
        dims,
        sampling,
        changing,
        float(attribute(node, "extrapolation_value", 0.0)),
        sizes is not None,
        "axes" in node.attributes,
        policy,
    )


def sampling_of(node: ir.Node) -> Sampling:
    """How the node reads, which needs no sizes."""
    kind = attribute(node, "mode", "nearest")
    mode = {"bilinear": "linear"}.get(kind, kind)
    if _is_old(node):
        return Sampling(mode, "asymmetric", "simple")
    return Sampling(
        mode,
        attribute(node, "coordinate_transformation_mode", "half_pixel"),
        attribute(node, "nearest_mode", "round_prefer_floor"),
        float(attribute(node, "cubic_coeff_a", -0.75)),
        bool(attribute(node, "exclude_outside", 0)),
        bool(attribute(node, "antialias", 0)),
    )


def _is_old(node: ir.Node) -> bool:
    """Resize-11 and newer have at least three inputs: one of scales and sizes must be there."""
    return node.op_type == "Upsample" or len(node.inputs) == 2


def _scales_input(node: ir.Node) -> ir.Value | None:
    return input_of(node, 1 if _is_old(node) else 2)


def _numbers(value: ir.Value | None) -> tuple[float, ...] | None:
    """The numbers of a constant input; an empty tensor stands for an input that is left out."""
    array = constant(value)
    return None if array is None or not array.size else tuple(array.reshape(-1).tolist())


def _sizes(value: ir.Value | None) -> Sequence[Any] | None:
    """Numbers, and symbols where it repeats an open dimension; None where it is left out."""
    return _numbers(value) if constant(value) is not None else dims_of_vector(value)


def _region(
    node: ir.Node, dims: int, named: Sequence[int]
) -> dict[int, tuple[float, float]] | None:
    array: Array | None = constant(input_of(node, 1))
    if array is None or array.size != 2 * len(named):
        return None
    begins, ends = np.asarray(array, np.float32).reshape(2, -1)
    return {
        axis: (float(begin), float(end))
        for axis, begin, end in zip(named, begins, ends, strict=True)
    }


def _by_scale(length: int, scale: np.float32) -> Axis:
    return Axis(length, math.floor(scale * np.float32(length)), scale)


def _keep_aspect_ratio(axes: Mapping[int, Axis], policy: str) -> dict[int, Axis]:
    """One scale for all axes: the least or the largest of those that the sizes ask for."""
    pick = min if policy == "not_larger" else max
    scale = pick(axis.scale for axis in axes.values())
    return {
        index: Axis(
            axis.length, math.floor(scale * np.float32(axis.length) + np.float32(0.5)), scale
        )
        for index, axis in axes.items()
    }


def _refusal(node: ir.Node, reason: str) -> Refusal:
    return Refusal(node.name or "", reason)

"""The forms that a resize of known sizes can take; each is a candidate of `separable_resize`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate
from edgeup.export.passes.facts import Array
from edgeup.export.passes.resize_axes import Axis, Resize, Sampling
from edgeup.export.passes.resize_matrix import Bools, Floats, matrix, outside, picks, picks_robustly
from edgeup.export.passes.resize_stencil import Stencil, stencil_of
from edgeup.export.passes.trt_resize import COORDINATES, sampling_lacking, sizes_lacking

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

Build = Callable[["Builder", Sequence["ir.Value"]], Sequence["ir.Value"]]

_SAME_WEIGHT = 1e-6
"""Two spellings are one operator when no weight differs by more: float32 places round so."""
_ROUNDINGS = ("floor", "round_prefer_floor", "round_prefer_ceil", "ceil")


def plain_resize(resize: Resize, aim: Aim, opset: int) -> Candidate | None:
    """A Resize that TensorRT takes and that has the same matrices, if there is one."""
    if opset < 11 or not resize.axes or _beyond(resize) is not None:
        return None
    for sampling in _spellings(resize.sampling):
        spelled = {i: _plain_axis(axis) for i, axis in resize.axes.items()}
        same = replace(resize, sampling=sampling, axes=spelled, has_sizes=False)
        if sampling_lacking(sampling, aim) or sizes_lacking(same, aim):
            continue
        if all(_equal(resize, sampling, axis, spelled[i]) for i, axis in resize.axes.items()):
            build = _build_plain(resize, sampling, opset)
            return None if build is None else Candidate(f"plain {sampling.coordinates}", build)
    return None


def _spellings(sampling: Sampling) -> list[Sampling]:
    plain = replace(sampling, antialias=False)
    if sampling.mode != "nearest":
        return [replace(plain, coordinates=rule) for rule in COORDINATES]
    return [
        replace(plain, coordinates=rule, rounding=rounding)
        for rule in COORDINATES
        for rounding in _ROUNDINGS
    ]


def _plain_axis(axis: Axis) -> Axis:
    return Axis(axis.length, axis.size, np.float32(axis.size) / np.float32(axis.length))


def _equal(resize: Resize, sampling: Sampling, axis: Axis, plain: Axis) -> bool:
    if sampling.mode == "nearest":
        # TensorRT computes places in its own order: nothing may lie at a boundary.
        same = np.array_equal(picks(axis, resize.sampling), picks(plain, sampling))
        return same and picks_robustly(plain, sampling)
    had, has = matrix(axis, resize.sampling), matrix(plain, sampling)
    return bool(np.allclose(had, has, rtol=0, atol=_SAME_WEIGHT))


def _build_plain(resize: Resize, sampling: Sampling, opset: int) -> Build | None:
    # Scales rather than sizes: a DLA takes nothing else, and open dimensions stay open.
    scales = np.ones(resize.rank, np.float32)
    for index, axis in resize.axes.items():
        scales[index] = _plain_axis(axis).scale
        if math.floor(scales[index] * np.float32(axis.length)) != axis.size:
            return None
    attributes: dict[str, str | float | int] = {
        "mode": sampling.mode,
        "coordinate_transformation_mode": sampling.coordinates,
    }
    if sampling.mode == "nearest":
        attributes["nearest_mode"] = sampling.rounding
    if sampling.mode == "cubic":
        attributes["cubic_coeff_a"] = sampling.cubic
        attributes["exclude_outside"] = int(sampling.exclude_outside)

    def build(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        # Resize-11 does not allow roi to be left out; it is read for cropping only.
        roi = build.constant(np.zeros(0, np.float32)) if opset < 13 else None
        return [build.op("Resize", [*inputs, roi, build.constant(scales)], attributes)]

    return build


def gathers(resize: Resize) -> Candidate:
    """Nearest: one Gather per axis, for any type."""
    chosen = {i: picks(axis, resize.sampling) for i, axis in resize.axes.items()}

    def build(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        (x,) = inputs
        for index in _small_first(resize.axes):
            x = build.op("Gather", [x, build.constant(chosen[index])], {"axis": index})
        return [_extrapolated(build, x, resize)]

    return Candidate("gathers", build)


def products(resize: Resize) -> Candidate:
    """One MatMul per axis: from the right on the last, from the left on the others."""
    matrices = {i: matrix(axis, resize.sampling) for i, axis in resize.axes.items()}
    dtype = resize.source.dtype
    numpy_dtype = np.dtype(np.float32) if dtype is None else dtype.numpy()

    def build(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        (x,) = inputs
        for index in _small_first(resize.axes):
            x = _along(build, x, index, resize.rank, matrices[index].astype(numpy_dtype))
        return [_extrapolated(build, x, resize)]

    return Candidate("products", build)


def _along(build: Builder, x: ir.Value, axis: int, rank: int, numbers: Array) -> ir.Value:
    if axis == rank - 1:
        return build.op("MatMul", [x, build.constant(numbers.T)])
    perm = list(range(rank))
    perm[axis], perm[rank - 2] = perm[rank - 2], perm[axis]
    swaps = axis != rank - 2
    if swaps:
        x = build.op("Transpose", [x], {"perm": perm})
    x = build.op("MatMul", [build.constant(numbers), x])
    return build.op("Transpose", [x], {"perm": perm}) if swaps else x


def pooling(resize: Resize) -> Candidate | None:
    """One AveragePool, or one depthwise convolution, where every axis is a stencil."""
    if (
        resize.rank not in (3, 4, 5)
        or min(resize.axes, default=0) < 2
        or _beyond(resize) is not None
    ):
        return None
    stencils: list[Stencil] = []
    for index in range(2, resize.rank):
        axis = resize.axes.get(index)
        found = (
            Stencil(np.ones(1), 1) if axis is None else stencil_of(matrix(axis, resize.sampling))
        )
        if found is None:
            return None
        stencils.append(found)
    if all(stencil.is_mean for stencil in stencils):
        return Candidate("average pooling", _build_pooling(stencils))
    channels = None if resize.source.shape is None else resize.source.shape[1]
    if not isinstance(channels, int) or resize.source.dtype is None:
        return None
    taps: Floats = reduce(np.multiply.outer, [stencil.taps for stencil in stencils])
    weight = np.broadcast_to(taps, (channels, 1, *taps.shape)).astype(resize.source.dtype.numpy())
    return Candidate("depthwise convolution", _build_convolution(stencils, weight))


def _build_pooling(stencils: Sequence[Stencil]) -> Build:
    kernel, strides = _windows(stencils)

    def build(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        window = {"kernel_shape": kernel, "strides": strides}
        return [build.op("AveragePool", inputs, window)]

    return build


def _build_convolution(stencils: Sequence[Stencil], weight: Array) -> Build:
    kernel, strides = _windows(stencils)

    def build(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        window = {"kernel_shape": kernel, "strides": strides, "group": len(weight)}
        return [build.op("Conv", [*inputs, build.constant(weight)], window)]

    return build


def _windows(stencils: Sequence[Stencil]) -> tuple[list[int], list[int]]:
    return [len(stencil.taps) for stencil in stencils], [stencil.stride for stencil in stencils]


def _small_first(axes: Mapping[int, Axis]) -> list[int]:
    """The axes that shrink most come first, so that what follows is small."""
    return sorted(axes, key=lambda i: (axes[i].size / axes[i].length, i))


def _beyond(resize: Resize) -> Bools | None:
    """Where a crop reads beyond the input, broadcastable to the output; None where nowhere."""
    masks = []
    for index, axis in resize.axes.items():
        shape = [1] * resize.rank
        shape[index] = axis.size
        masks.append(outside(axis, resize.sampling).reshape(shape))
    if not any(mask.any() for mask in masks):
        return None
    return reduce(np.logical_or, masks)


def _extrapolated(build: Builder, x: ir.Value, resize: Resize) -> ir.Value:
    beyond = _beyond(resize)
    if beyond is None or resize.source.dtype is None:
        return x
    value = np.asarray(resize.extrapolation, resize.source.dtype.numpy())
    return build.op("Where", [build.constant(beyond), build.constant(value), x])

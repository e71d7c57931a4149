"""What schemas do not show: the table of steps between versions of an operator.

A step belongs to one operator and the opset that changed it. ``down`` takes a node from that
opset to the one before, ``up`` the other way. Each changes the node in place, or replaces it and
returns True, or raises `CannotMove` with the reason. Operators whose versions differ only in
types or in new attributes with neutral defaults need no step.

Sources: the operator texts of ONNX (docs/Changelog.md), versions 13 to 25, compared pairwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.opset_build import (
    CannotMove,
    Replacement,
    attribute,
    constant_of,
    input_of,
    rank_of,
    set_attribute,
    set_constant_input,
    size_of,
)
from edgeup.export.opset_decompose import (
    decompose_gelu,
    decompose_group_normalization,
    decompose_hard_swish,
    decompose_layer_normalization,
    decompose_mish,
)

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["STEPS", "CannotMove", "Step"]


def _nothing(node: ir.Node) -> None:
    """The other direction holds as it is."""


@dataclass(frozen=True)
class Step:
    """How one operator crosses the opset that changed it."""

    down: Callable[[ir.Node], bool | None] = _nothing
    up: Callable[[ir.Node], bool | None] = _nothing


def _axes_to_attribute(node: ir.Node) -> bool | None:
    """Reduce*: 18 made ``axes`` an input, and let "no axes" mean "reduce nothing"."""
    axes = input_of(node, 1)
    noop = attribute(node, "noop_with_empty_axes", 0)
    wanted = [] if axes is None else [int(a) for a in constant_of(axes, "axes")]
    set_attribute(node, "noop_with_empty_axes", None)
    if not wanted and noop:
        identity = Replacement(node)
        identity.op("Identity", node.inputs[0])
        identity.finish()
        return True
    node.resize_inputs(1)
    set_attribute(node, "axes", wanted or None)
    return None


def _axes_to_input(node: ir.Node) -> None:
    axes = attribute(node, "axes", None)
    if axes is not None:
        set_attribute(node, "axes", None)
        set_constant_input(node, 1, np.asarray(axes, np.int64), "axes")


def _split_by_sizes(node: ir.Node) -> None:
    """Split: 18 brought ``num_outputs``, with a smaller last part where it does not divide."""
    parts = attribute(node, "num_outputs", None)
    if parts is None:
        return
    set_attribute(node, "num_outputs", None)
    size = size_of(node.inputs[0], attribute(node, "axis", 0), "the input")
    each = -(-size // parts)
    sizes = [each] * (parts - 1) + [size - each * (parts - 1)]
    set_constant_input(node, 1, np.asarray(sizes, np.int64), "split")


def _split_by_number(node: ir.Node) -> None:
    """Before 18, neither sizes nor a number meant equal parts; from 18 one must be given."""
    if input_of(node, 1) is None:
        set_attribute(node, "num_outputs", len(node.outputs))


def _resize_all_axes(node: ir.Node) -> None:
    """Resize: 18 brought ``axes``, so that scales and sizes may name some axes alone."""
    axes = attribute(node, "axes", None)
    if axes is None:
        return
    if attribute(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise CannotMove("axes with a region of interest cannot be said before opset 18")
    rank = rank_of(node.inputs[0], "the input")
    places = [axis % rank for axis in axes]
    if input_of(node, 2) is not None:
        scales = np.ones(rank, np.float32)
        scales[places] = constant_of(node.inputs[2], "scales")
        set_constant_input(node, 2, scales, "scales")
    else:
        given = dict(zip(places, constant_of(input_of(node, 3), "sizes"), strict=True))
        sizes = [given[i] if i in given else _size(node, i) for i in range(rank)]
        set_constant_input(node, 3, np.asarray(sizes, np.int64), "sizes")
    set_attribute(node, "axes", None)


def _size(node: ir.Node, axis: int) -> int:
    return size_of(node.inputs[0], axis, "the input")


def _no_symmetric_half_pixel(node: ir.Node) -> None:
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "half_pixel_symmetric":
        raise CannotMove(f"coordinate_transformation_mode {mode} came with opset 19")


def _pad_all_axes(node: ir.Node) -> None:
    """Pad: 18 brought ``axes`` as a fourth input."""
    axes = input_of(node, 3)
    if axes is None:
        return
    rank = rank_of(node.inputs[0], "the input")
    given = constant_of(node.inputs[1], "pads").reshape(2, -1)
    pads = np.zeros((2, rank), np.int64)
    pads[:, [int(a) % rank for a in constant_of(axes, "axes")]] = given
    set_constant_input(node, 1, pads.reshape(-1), "pads")
    node.resize_inputs(3)


def _no_wrap(node: ir.Node) -> None:
    if attribute(node, "mode", "constant") == "wrap":
        raise CannotMove("mode wrap came with opset 19")


_OLD_MODES = {"linear": "bilinear", "cubic": "bicubic", "nearest": "nearest"}


def _two_dimensional_names(node: ir.Node) -> None:
    """GridSample: 20 renamed the modes, and allowed any number of spatial axes."""
    rank = rank_of(node.inputs[0], "the input")
    if rank != 4:
        raise CannotMove(f"before opset 20 the input has 4 axes (n c h w); this one has {rank}")
    set_attribute(node, "mode", _OLD_MODES[attribute(node, "mode", "linear")])


def _general_names(node: ir.Node) -> None:
    mode = attribute(node, "mode", "bilinear")
    set_attribute(node, "mode", {old: new for new, old in _OLD_MODES.items()}[mode])


def _slice_of_shape(node: ir.Node) -> bool | None:
    """Shape: 15 brought ``start`` and ``end``; before, the whole shape is sliced."""
    start, end = attribute(node, "start", 0), attribute(node, "end", None)
    if start == 0 and end is None:
        return None
    new = Replacement(node)
    shape = new.op("Shape", node.inputs[0])
    stop = np.iinfo(np.int64).max if end is None else end
    new.op("Slice", shape, new.constant([start], np.int64), new.constant([stop], np.int64))
    new.finish()
    return True


def _zero_copies(node: ir.Node) -> None:
    """Reshape: with ``allowzero`` (14) a 0 means a size of 0; before, it copies a size."""
    if attribute(node, "allowzero", 0):
        if 0 in constant_of(node.inputs[1], "the shape"):
            raise CannotMove("allowzero=1 with a 0 in the shape came with opset 14")
        set_attribute(node, "allowzero", None)


def _undilated(node: ir.Node) -> None:
    dilations = attribute(node, "dilations", None)
    if dilations is not None and any(d != 1 for d in dilations):
        raise CannotMove(f"dilations {list(dilations)} do not exist before opset 19")
    set_attribute(node, "dilations", None)


def _undilated_average(node: ir.Node) -> None:
    """AveragePool: 19 brought dilations and changed what ``ceil_mode`` counts of the padding."""
    _undilated(node)
    _same_count_of_padding(node)


def _same_count_of_padding(node: ir.Node) -> None:
    if attribute(node, "ceil_mode", 0) and attribute(node, "count_include_pad", 0):
        raise CannotMove("ceil_mode with count_include_pad counts differently from opset 19 on")


def _no_window_in_padding(node: ir.Node) -> None:
    """Pools: 22 leaves out windows that would start in the right padding (``ceil_mode``)."""
    if not attribute(node, "ceil_mode", 0):
        return
    kernel = attribute(node, "kernel_shape", None)
    axes = len(kernel)
    strides = attribute(node, "strides", [1] * axes)
    dilations = attribute(node, "dilations", [1] * axes)
    pads = attribute(node, "pads", [0] * (2 * axes))
    for i in range(axes):
        size = _size(node, i + 2)
        reach = (kernel[i] - 1) * dilations[i] + 1
        last = -(-(size + pads[i] + pads[i + axes] - reach) // strides[i])
        if last * strides[i] >= size + pads[i]:
            raise CannotMove(
                f"ceil_mode puts a window into the right padding of axis {i + 2}, "
                f"which opset 22 leaves out"
            )


def _no_max_min(node: ir.Node) -> None:
    reduction = attribute(node, "reduction", "none")
    if reduction in ("max", "min"):
        raise CannotMove(f"reduction {reduction} came with opset 18")


def _cast(node: ir.Node) -> bool:
    """CastLike (15): a Cast to the second input's type, which is known."""
    like = node.inputs[1]
    if like is None or like.dtype is None:
        raise CannotMove("the type to cast to must be known to rewrite it")
    new = Replacement(node)
    new.op("Cast", node.inputs[0], attributes={"to": int(like.dtype)})
    new.finish()
    return True


def _corner_aligned_only(node: ir.Node) -> None:
    """RoiAlign: 16 named the coordinate modes and made the other one the default."""
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode != "output_half_pixel":
        raise CannotMove(f"coordinate_transformation_mode {mode} came with opset 16")
    set_attribute(node, "coordinate_transformation_mode", None)


def _say_output_half_pixel(node: ir.Node) -> None:
    set_attribute(node, "coordinate_transformation_mode", "output_half_pixel")


def _refuse_axis(node: ir.Node) -> None:
    raise CannotMove("opset 20 made the axis an input; there is no rewrite for it")


_AXES_MOVED = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSumSquare"),
)

STEPS: Mapping[tuple[str, int], Step] = {
    **{(op, 18): Step(_axes_to_attribute, _axes_to_input) for op in _AXES_MOVED},
    ("AveragePool", 19): Step(_undilated_average, _same_count_of_padding),
    ("AveragePool", 22): Step(_no_window_in_padding, _no_window_in_padding),
    ("CastLike", 15): Step(down=_cast),
    ("DFT", 20): Step(_refuse_axis, _refuse_axis),
    ("Gelu", 20): Step(down=decompose_gelu),
    ("GridSample", 20): Step(_two_dimensional_names, _general_names),
    ("GroupNormalization", 18): Step(down=decompose_group_normalization),
    # From 21 on, scale and bias are per channel; before, per group.
    ("GroupNormalization", 21): Step(decompose_group_normalization, decompose_group_normalization),
    ("HardSwish", 14): Step(down=decompose_hard_swish),
    ("LayerNormalization", 17): Step(down=decompose_layer_normalization),
    ("LpPool", 18): Step(down=_undilated),
    ("MaxPool", 22): Step(_no_window_in_padding, _no_window_in_padding),
    ("Mish", 18): Step(down=decompose_mish),
    ("Pad", 18): Step(down=_pad_all_axes),
    ("Pad", 19): Step(down=_no_wrap),
    ("Reshape", 14): Step(down=_zero_copies),
    ("Resize", 18): Step(down=_resize_all_axes),
    ("Resize", 19): Step(down=_no_symmetric_half_pixel),
    ("RoiAlign", 16): Step(_corner_aligned_only, _say_output_half_pixel),
    ("ScatterElements", 18): Step(down=_no_max_min),
    ("ScatterND", 18): Step(down=_no_max_min),
    ("Shape", 15): Step(down=_slice_of_shape),
    ("Split", 18): Step(_split_by_sizes, _split_by_number),
}

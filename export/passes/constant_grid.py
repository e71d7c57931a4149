"""GridSample over a constant grid: a constant, sparse linear map.

::

    x, grid -> GridSample -> y      becomes

    x -> Reshape -> Gather (k neighbours) -> Mul (weights) -> ReduceSum -> Reshape -> y

1. Which pixels a place reads, and with which weights, follows from the grid alone: 1 neighbour for
   nearest, 2 per axis for linear, 4 per axis for cubic (ONNX, GridSample-16 and 20).
2. padding_mode zeros gives neighbours beyond the border the weight 0; border and reflection move
   them onto the map.
3. Grids of one batch that differ: channels come first, and the batch is one more axis of the map.

Needed where TensorRT has no GridSample (before 8.5; 5-D before 11.2.1, by its release notes, but
for TensorRT for RTX), and where it reads ``linear`` and ``cubic``, the names of opset
20, as nearest (importers 8.5 to 10.1; the version that mends it is not known).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import Array, attribute, constant, input_of, is_onnx, static_shape
from edgeup.export.passes.grid_taps import GridTaps, grid_taps
from edgeup.export.passes.trt_resize import Lack, older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

SINCE = (8, 5)
NEW_NAMES_SINCE = (10, 14)
"""The first version after 10.1 of which something is known: its operator table says opset 24."""
VOLUME = 5
VOLUMES_SINCE = (11, 3)
"""11.2.1 has GridSample of volumes, by its release notes; 11.2.0 has not."""
_IMPORTERS = "onnx-tensorrt 8.0 to 10.1, importer source"


class ConstantGrid:
    """Rewrites GridSample with a constant grid where TensorRT lacks it."""

    name = "constant-grid"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not is_onnx(node, "GridSample") or not aim.is_tensorrt:
            return None
        lacking = grid_sample_lacking(node, aim)
        if lacking is None:
            return None
        name, source = node.name or "", node.inputs[0]
        grid, shape = constant(input_of(node, 1)), static_shape(source)
        if grid is None:
            return Refusal(name, f"{lacking}, and its grid is not constant")
        if source is None or shape is None or source.dtype is None:
            return Refusal(name, f"{lacking}, and its shape is not known; --shape would tell")
        if not source.dtype.is_floating_point():
            return Refusal(name, f"{lacking}, and {source.dtype.name} rounds by its own rule")
        found = grid_taps(
            grid,
            shape[2:],
            attribute(node, "mode", "linear"),
            attribute(node, "padding_mode", "zeros"),
            aligned=bool(attribute(node, "align_corners", 0)),
        )
        return Plan(
            nodes=(node,),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=(
                Candidate("gathers", _Writer(found, shape, grid.shape[1:-1], source.dtype.numpy())),
            ),
            why=str(lacking),
            required=True,
        )


def grid_sample_lacking(node: ir.Node, aim: Aim) -> Lack | None:
    """What a TensorRT lacks of a GridSample; None where it takes all."""
    if older(aim, SINCE):
        return Lack("this TensorRT has no GridSample", evidence=_IMPORTERS)
    shape = static_shape(node.outputs[0])
    if shape is not None and len(shape) == VOLUME and older(aim, VOLUMES_SINCE):
        reason = "this TensorRT has GridSample on two axes only"
        evidence = "onnx-tensorrt docs/operators.md, 10.1 to 11.1; release notes of 11.2.1"
        return Lack(reason, evidence=evidence)
    written = attribute(node, "mode", "")
    if written in ("linear", "cubic") and older(aim, NEW_NAMES_SINCE):
        reason = f"this TensorRT takes mode {written} for nearest"
        return Lack(reason, silent=True, evidence=_IMPORTERS)
    return None


class _Writer:
    """Builds the gather and the weighted sum."""

    def __init__(
        self,
        found: GridTaps,
        shape: Sequence[int],
        places: Sequence[int],
        dtype: np.dtype[np.generic],
    ) -> None:
        self._batch, self._channels = shape[0], shape[1]
        self._pixels = math.prod(shape[2:])
        self._places = list(places)
        self._dtype = dtype
        self._shared = bool(
            (found.pixels == found.pixels[:1]).all() and (found.weights == found.weights[:1]).all()
        )
        pixels, weights = found.pixels, found.weights
        if self._shared:
            self._index, self._weight = pixels[0], weights[0]
        else:
            starts = np.arange(self._batch).reshape(-1, 1, 1) * self._pixels
            self._index = _side_by_side(pixels + starts)
            self._weight = _side_by_side(weights)

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        (x,) = inputs
        batch, channels = self._batch, self._channels
        axes = len(self._places)
        if self._shared:
            flat = build.op("Reshape", [x, build.constant([batch, channels, self._pixels])])
            y = self._sum(build, flat, axis=2)
            shape = [batch, channels, *self._places]
            return [build.op("Reshape", [y, build.constant(shape, np.int64)])]
        swap = {"perm": [1, 0, *range(2, 2 + axes)]}
        first = build.op("Transpose", [x], swap)
        flat = build.op("Reshape", [first, build.constant([channels, batch * self._pixels])])
        y = self._sum(build, flat, axis=1)
        shape = [channels, batch, *self._places]
        return [build.op("Transpose", [build.op("Reshape", [y, build.constant(shape)])], swap)]

    def _sum(self, build: Builder, flat: ir.Value, axis: int) -> ir.Value:
        near = build.op("Gather", [flat, build.constant(self._index, np.int64)], {"axis": axis})
        weighted = build.op("Mul", [near, build.constant(self._weight, self._dtype)])
        sums = [weighted, build.constant([axis], np.int64)]
        return build.op("ReduceSum", sums, {"keepdims": 0})


def _side_by_side(numbers: Array) -> Array:
    """``n k p`` as ``k (n p)``."""
    return np.concatenate(list(numbers), axis=1)

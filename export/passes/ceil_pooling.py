"""MaxPool with ceil_mode whose last window would begin behind the map.

::

    x -> MaxPool(ceil_mode=1, pads) -> y      becomes      x -> MaxPool(pads of the windows) -> y

ONNX drops such a window (the text of opset 22, and ONNX Runtime at any), TensorRT keeps it, and
its output is one larger (TensorRT for RTX 1.7.1, parsed; NvInfer.h, EXPLICIT_ROUND_UP). The pads
that the other windows need give exactly those without ceil_mode; padding is never a maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import attribute, is_onnx, static_shape
from edgeup.export.passes.pool_windows import Windows, windows_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

EVIDENCE = "run: TensorRT for RTX 1.7.1 against ONNX Runtime 1.32; NvInfer.h, EXPLICIT_ROUND_UP"
_SPATIAL = 2


def dropped_window(node: ir.Node) -> int | None:
    """The first axis whose last window would begin behind the map and its begin pad."""
    shape = static_shape(node.inputs[0])
    if shape is None or not attribute(node, "ceil_mode", 0):
        return None
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    axes = len(shape) - _SPATIAL
    kernel = attribute(node, "kernel_shape", ())
    strides = attribute(node, "strides", (1,) * axes)
    dilations = attribute(node, "dilations", (1,) * axes)
    pads = attribute(node, "pads", (0,) * 2 * axes)
    for axis, length in enumerate(shape[_SPATIAL:]):
        begin, reach = pads[axis], (kernel[axis] - 1) * dilations[axis] + 1
        steps = -(-(length + begin + pads[axes + axis] - reach) // strides[axis])
        if steps * strides[axis] >= length + begin:
            return axis + _SPATIAL
    return None


class CeilPooling:
    """Writes out the pads of the windows that are left."""

    name = "ceil-pooling"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rule of the module; a MaxPool with indices is `max_pooling`'s."""
        if not aim.is_tensorrt or not is_onnx(node, "MaxPool") or len(node.outputs) > 1:
            return None
        axis, source = dropped_window(node), node.inputs[0]
        if axis is None or source is None:
            return None
        windows = windows_of(node)
        if isinstance(windows, str):
            return Refusal(node.name or "", windows)
        return Plan(
            nodes=(node,),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=(Candidate("explicit pads", _Writer(node, windows)),),
            why=f"on axis {axis}, TensorRT keeps a window of ceil_mode that ONNX drops",
            required=True,
        )


class _Writer:
    """Builds the MaxPool without ceil_mode."""

    def __init__(self, node: ir.Node, windows: Windows) -> None:
        pads = [*(axis.begin for axis in windows.axes), *(axis.end for axis in windows.axes)]
        kept = {name: a for name, a in node.attributes.items() if name not in ("ceil_mode", "pads")}
        self._attributes = {**kept, "pads": pads}

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        return [build.op("MaxPool", list(inputs), self._attributes)]

"""A max pooling and what unpools by its indices, in the form that TensorRT takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.facts import constant
from edgeup.export.passes.first_maximum import first_maximum, maximum
from edgeup.export.passes.unpool_windows import lay_out, unpool

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder
    from edgeup.export.passes.index_paths import Scatter
    from edgeup.export.passes.pool_windows import Windows


@dataclass(frozen=True, eq=False)
class MaxPoolSite:
    """What is replaced, in the order of the graph, and with what.

    Attributes:
        x: what is pooled, ``n c d...``.
        leading: n and c; -1 where one is not fixed.
        scatters: by their nodes; all other nodes but the pool are index arithmetic or zeros.
    """

    pool: ir.Node
    x: ir.Value
    leading: tuple[int, ...]
    dtype: ir.DataType
    windows: Windows
    scatters: Mapping[ir.Node, Scatter]
    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]

    @property
    def numbers(self) -> bool:
        """Whether the indices, or what was computed from them, are read outside."""
        makers = {value.producer() for value in self.outputs if value is not self.pool.outputs[0]}
        return not makers <= set(self.scatters)

    def in_place(self, scatter: Scatter) -> bool:
        """Whether its values have the shape of the pooling's output."""
        shape = scatter.values.shape
        wanted = [*(self.x.shape or ())[:2], *self.windows.counts]
        return shape is not None and list(shape) == wanted

    def build(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        """Each node in its new form."""
        made = dict(zip(self.inputs, inputs, strict=True))
        code: ir.Value | None = None
        for node in self.nodes:
            if node is self.pool:
                code = self._pooled(build, made)
            elif node in self.scatters and code is not None:
                made[node.outputs[0]] = self._unpooled(build, made, code, self.scatters[node])
            elif self.numbers:
                made[node.outputs[0]] = _again(build, node, made)
        return [made[value] for value in self.outputs]

    def _pooled(self, build: Builder, made: dict[ir.Value, ir.Value]) -> ir.Value | None:
        """Write the values and indices that are read; return the code, where one is."""
        import onnx_ir as ir

        x, values = _new(build, self.x, made), self.pool.outputs[0]
        dtype, integer = self.dtype, self.dtype in (ir.DataType.INT8, ir.DataType.UINT8)
        if integer:
            dtype = ir.DataType.FLOAT
            x = build.op("Cast", [x], {"to": int(dtype)})
        if values.is_graph_output() or values.uses():
            pooled = _values(build, x, self.windows, dtype.numpy())
            cast = {"to": int(self.dtype)}
            made[values] = build.op("Cast", [pooled], cast) if integer else pooled
        if not self.scatters and not self.numbers:
            return None
        code = first_maximum(build, x, self.windows, dtype.numpy())
        if self.numbers:
            made[self.pool.outputs[1]] = self._indices(build, code)
        return code

    def _indices(self, build: Builder, code: ir.Value) -> ir.Value:
        """The indices as ONNX counts them: plane, first tap of the window, and code."""
        import onnx_ir as ir

        axes = self.windows.axes
        starts = np.zeros((1, 1, *self.windows.counts), np.int64)
        for i, (axis, pitch) in enumerate(zip(axes, self.windows.pitches, strict=True)):
            steps = (np.arange(axis.count) * axis.stride - axis.begin) * pitch
            starts += steps.reshape(-1, *[1] * (len(axes) - 1 - i))
        planes = np.arange(math.prod(self.leading)) * self.windows.plane
        planes = planes.reshape(*self.leading, *[1] * len(axes))
        within = build.op("Add", [code, build.constant(starts, np.int32)])
        flat = build.op("Add", [within, build.constant(planes, np.int32)])
        return build.op("Cast", [flat], {"to": int(ir.DataType.INT64)})

    def _unpooled(
        self,
        build: Builder,
        made: dict[ir.Value, ir.Value],
        code: ir.Value,
        scatter: Scatter,
    ) -> ir.Value:
        values = _new(build, scatter.values, made)
        if not self.in_place(scatter):
            shape = build.constant([*self.leading, *self.windows.counts], np.int64)
            values = build.op("Reshape", [values, shape])
        image = unpool(build, values, code, self.windows, scatter.dtype)
        if scatter.shape is None:
            return image
        planes = math.prod(self.leading)
        return lay_out(build, image, self.windows, planes, scatter)


def _values(build: Builder, x: ir.Value, windows: Windows, dtype: np.dtype[Any]) -> ir.Value:
    """Max pooling: TensorRT's own, unless it is dilated."""
    if windows.dilated:
        return maximum(build, x, windows, dtype)
    axes = windows.axes
    attributes = {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "pads": [*(axis.begin for axis in axes), *(axis.end for axis in axes)],
    }
    return build.op("MaxPool", [x], attributes)


def _again(build: Builder, node: ir.Node, made: Mapping[ir.Value, ir.Value]) -> ir.Value:
    """A step of the index arithmetic, on the new indices."""
    inputs = [None if value is None else _new(build, value, made) for value in node.inputs]
    return build.op(node.op_type, inputs, {k: a.value for k, a in node.attributes.items()})


def _new(build: Builder, value: ir.Value, made: Mapping[ir.Value, ir.Value]) -> ir.Value:
    """What stands for a value of the graph: made already, or a constant."""
    numbers = constant(value)
    return made[value] if numbers is None else build.constant(numbers)

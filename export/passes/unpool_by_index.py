"""Max unpooling whose indices come from nowhere that is known: a scatter.

::

    values  -> MaxUnpool -> y        becomes        values  -> Reshape (flat) -> ScatterElements
    indices -^                                      indices -> Reshape (flat) -^  -> Reshape -> y

1. The indices are a graph input, or computed by other than `index_paths` knows.
2. The output's shape may be computed at run time.
3. Refused: the shape follows from values whose own is not fixed; TensorRT 8.0, without scatter.

Equal where no index occurs twice: ONNX Runtime keeps the last value, TensorRT promises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import constant, dtype_of, input_of, is_onnx, opset_of
from edgeup.export.passes.index_paths import ARITHMETIC, SHAPERS, output_dims

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class UnpoolByIndex:
    """MaxUnpool as ScatterElements."""

    name = "unpool-by-index"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Look at a MaxUnpool that `MaxPooling` left."""
        if not aim.is_tensorrt or not is_onnx(node, "MaxUnpool") or _from_pool(node):
            return None
        name = node.name or ""
        values, indices, given = node.inputs[0], node.inputs[1], input_of(node, 2)
        dtype, dims = dtype_of(values), output_dims(node)
        shape = [dim for dim in dims or () if isinstance(dim, int)]
        known = dims is not None and len(shape) == len(dims)
        if values is None or indices is None or dtype is None or opset_of(node, aim) < 11:
            return Refusal(name, "ScatterElements needs opset 11 and a known type of its values")
        if not known and given is None:
            return Refusal(name, "the shape of its output is not fixed: fix it with --shape")
        if aim.tensorrt is not None and aim.tensorrt < (8, 2):
            return Refusal(
                name, "its indices come from no MaxPool, and TensorRT 8.0 has no scatter"
            )

        def build(builder: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
            flat = [
                builder.op("Reshape", [x, builder.constant([-1], np.int64)]) for x in inputs[:2]
            ]
            if known:
                whole = builder.constant(shape, np.int64)
                total = builder.constant([math.prod(shape)], np.int64)
            else:
                whole = inputs[-1]
                total = builder.op("ReduceProd", [whole], {"keepdims": 1})
            zeros = builder.op("Expand", [builder.constant([0], dtype), total])
            put = builder.op("ScatterElements", [zeros, flat[1], flat[0]], {"axis": 0})
            return [builder.op("Reshape", [put, whole])]

        computed = [] if given is None or constant(given) is not None else [given]
        return Plan(
            nodes=(node,),
            inputs=(values, indices, *computed),
            outputs=(node.outputs[0],),
            candidates=(Candidate("scatter", build),),
            why="a MaxUnpool whose indices come from no MaxPool that is known",
            required=True,
        )


def _from_pool(node: ir.Node) -> bool:
    """Whether its indices are still those of a MaxPool: that one's refusal says why."""
    value = node.inputs[1]
    while value is not None:
        maker = value.producer()
        if maker is None or not is_onnx(maker, *SHAPERS, *ARITHMETIC):
            return is_onnx(maker, "MaxPool")
        value = maker.inputs[0]
    return False

"""Max unpooling whose indices come from nowhere that is known: a scatter.

::

    values  -> MaxUnpool -> y        becomes        values  -> Reshape (flat) -> ScatterElements
    indices -^                                      indices -> Reshape (flat) -^  -> Reshape -> y

1. The indices are a graph input, or computed by other than `index_paths` knows.
2. The output's shape may be computed at run time.
3. TensorRT 8.0 has no scatter: by constant indices, each place gathers its value or a zero.
4. Refused: the shape follows from values whose own is not fixed; 8.0, and indices that are fed.

Equal where no index occurs twice: ONNX Runtime keeps the last value, TensorRT promises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import Array, constant, dtype_of, input_of, is_onnx, opset_of
from edgeup.export.passes.index_paths import ARITHMETIC, SHAPERS, output_dims
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


SCATTER_SINCE = (8, 2)


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
        if older(aim, SCATTER_SINCE):
            places = constant(indices)
            if places is None or not known:
                return Refusal(
                    name,
                    "its indices come from no MaxPool and are not constant, and TensorRT 8.0 has "
                    "no scatter",
                )
            return Plan(
                nodes=(node,),
                inputs=(values,),
                outputs=(node.outputs[0],),
                candidates=(Candidate("gather", _Gathered(places, shape, dtype)),),
                why="a MaxUnpool by constant indices",
                required=True,
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


class _Gathered:
    """Each place of the output reads its value, or a zero behind the last of them."""

    def __init__(self, places: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self._sources = np.full(math.prod(shape), places.size, np.int64)
        self._sources[places.reshape(-1)] = np.arange(places.size)
        self._shape, self._dtype = list(shape), dtype

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        flat = build.op("Reshape", [inputs[0], build.constant([-1], np.int64)])
        held = build.op("Concat", [flat, build.constant([0], self._dtype)], {"axis": 0})
        read = build.op("Gather", [held, build.constant(self._sources, np.int64)], {"axis": 0})
        return [build.op("Reshape", [read, build.constant(self._shape, np.int64)])]


def _from_pool(node: ir.Node) -> bool:
    """Whether its indices are still those of a MaxPool: that one's refusal says why."""
    value = node.inputs[1]
    while value is not None:
        maker = value.producer()
        if maker is None or not is_onnx(maker, *SHAPERS, *ARITHMETIC):
            return is_onnx(maker, "MaxPool")
        value = maker.inputs[0]
    return False

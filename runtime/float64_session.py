"""Runs an ONNX model in float64, by onnx's own ReferenceEvaluator: a reference for references.

ONNX Runtime has no float64 convolution. The evaluator is NumPy and slow: for small graphs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.spec import Feeds, ModelSource, Outputs, TensorSpec

if TYPE_CHECKING:
    import onnx


class Float64Session:
    """A model whose floating numbers, weights and values alike, are float64.

    A context manager with the shape of `OnnxRuntimeSession`. Inputs are taken in the file's own
    types and widened.

    Raises:
        EdgeupError: not an ONNX model, or one that the evaluator does not run.
    """

    def __init__(self, model: ModelSource) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        self._label = "the model" if isinstance(model, bytes) else os.fspath(model)
        try:
            proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
        except Exception as error:  # protobuf's errors share no base class across its backends
            raise EdgeupError(f"{self._label} is not an ONNX model: {_line(error)}") from error
        weights = {tensor.name for tensor in proto.graph.initializer}
        self.inputs = tuple(_spec(v) for v in proto.graph.input if v.name not in weights)
        self.outputs = tuple(_spec(value) for value in proto.graph.output)
        _widen_model(proto)
        try:
            self._evaluator: Any = ReferenceEvaluator(proto)
        except Exception as error:  # it raises whatever its operators raise
            raise self._refused(error) from error

    def __enter__(self) -> Float64Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._evaluator = None

    def run(self, feeds: Feeds) -> Outputs:
        """Every output by name; floating ones in float64.

        Raises:
            EdgeupError: an input is missing, or an operator that the evaluator lacks.
        """
        if missing := [spec.name for spec in self.inputs if spec.name not in feeds]:
            raise EdgeupError(f"{self._label} needs the input {missing[0]}")
        wide = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in feeds.items()
        }
        try:
            with np.errstate(all="ignore"):  # as every other backend does
                values = self._evaluator.run(None, wide)
        except Exception as error:  # it raises whatever its operators raise
            raise self._refused(error) from error
        return dict(zip([spec.name for spec in self.outputs], map(np.asarray, values), strict=True))

    def _refused(self, error: Exception) -> EdgeupError:
        return EdgeupError(
            f"{self._label} does not run in float64 by onnx's ReferenceEvaluator: {_line(error)}"
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    dims = tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or "?")
        for dim in tensor.shape.dim
    )
    return TensorSpec(value.name, dims, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)


def _widen_model(proto: onnx.ModelProto) -> None:
    """Make every floating tensor and type of the model double, in place."""
    for function in proto.functions:
        _widen_nodes(function.node)
    _widen_graph(proto.graph)


def _widen_graph(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _narrow():
            value.type.tensor_type.elem_type = _double()
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Any) -> None:
    import onnx

    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen_graph(attribute.g)
            elif attribute.name in ("to", "dtype") and attribute.i in _narrow():
                attribute.i = _double()
        if node.op_type == "ConstantOfShape" and not node.attribute:  # float32 zeros by default
            zero = onnx.numpy_helper.from_array(np.zeros(1), "value")
            node.attribute.append(onnx.helper.make_attribute("value", zero))
        if node.op_type == "Constant":
            _widen_constant(node)


def _widen_constant(node: onnx.NodeProto) -> None:
    """``value_float`` and ``value_floats`` are float32 by definition."""
    import onnx

    for attribute in list(node.attribute):
        if attribute.name in ("value_float", "value_floats"):
            numbers = onnx.helper.get_attribute_value(attribute)
            tensor = onnx.numpy_helper.from_array(np.asarray(numbers, np.float64), "value")
            node.attribute.remove(attribute)
            node.attribute.append(onnx.helper.make_attribute("value", tensor))


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    import onnx

    if tensor.data_type in _narrow():
        wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))


def _narrow() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def _double() -> int:
    from onnx import TensorProto

    return int(TensorProto.DOUBLE)

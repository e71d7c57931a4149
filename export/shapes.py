"""Shape inference, with what ONNX's own leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgeup.export.capability.known import MOST_ELEMENTS, numbers_given_by
from edgeup.export.passes.facts import Array, constant, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes in place; what cannot be inferred stays unknown.

    ONNX's inference does not read MaxUnpool's ``output_shape``, nor the sizes of a Resize that a
    graph computes from the shape of another map (as torch's older exporter writes them), and all
    that follows would stay unknown.
    """
    import onnx_ir as ir
    from onnx_ir.convenience import get_const_tensor
    from onnx_ir.passes.common import ShapeInferencePass

    ShapeInferencePass()(model)
    filled = False
    for node in model.graph.all_nodes():
        if node.op_type != "MaxUnpool" or len(node.inputs) < 3 or node.inputs[2] is None:
            continue
        wanted, output = get_const_tensor(node.inputs[2]), node.outputs[0]
        if wanted is not None and output.shape is None and output.type is not None:
            output.shape = ir.Shape([int(size) for size in wanted.numpy()])
            filled = True
    if filled:
        ShapeInferencePass()(model)
    if any(static_shape(v) is None for node in model.graph.all_nodes() for v in node.outputs):
        _infer_onward(model)


def _infer_onward(model: ir.Model) -> None:
    """Node by node in the graph's order, with the numbers that follow from what is fixed."""
    numbers: dict[ir.Value, Array] = {}

    def known(value: ir.Value | None) -> Array | None:
        return numbers[value] if value in numbers else constant(value)

    for node in model.graph.all_nodes():
        if any(static_shape(output) is None for output in node.outputs):
            _infer_node(node, model, known)
        numbers.update(zip(node.outputs, numbers_given_by(node, known), strict=False))


def _infer_node(
    node: ir.Node, model: ir.Model, known: Callable[[ir.Value | None], Array | None]
) -> None:
    """Fix the outputs' shapes, where the inputs' are fixed and the operator is ONNX's own."""
    import onnx
    import onnx_ir as ir

    given = [value for value in node.inputs if value is not None]
    nested = any(
        a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for a in node.attributes.values()
    )
    if nested or not is_onnx(node, node.op_type):
        return
    if any(static_shape(value) is None or value.dtype is None for value in given):
        return
    opset = model.opset_imports.get("", 0)
    held = {value.name or "": known(value) for value in given}
    try:
        found: Mapping[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, opset),
            ir.to_proto(node),
            {value.name or "": ir.to_proto(value).type for value in given},
            {
                name: onnx.numpy_helper.from_array(array)
                for name, array in held.items()
                if array is not None and array.size <= MOST_ELEMENTS
            },
            opset_imports=[onnx.helper.make_opsetid("", opset)],
            ir_version=model.ir_version,
        )
    except (
        *(onnx.shape_inference.InferenceError, onnx.checker.ValidationError),
        *(onnx.defs.SchemaError, RuntimeError, ValueError),
    ):
        return  # a node that does not fit its schema: others say so
    for output in node.outputs:
        proto = found.get(output.name or "")
        dims = [] if proto is None else list(proto.tensor_type.shape.dim)
        if proto is None or not proto.tensor_type.HasField("shape"):
            continue
        if static_shape(output) is None and all(dim.HasField("dim_value") for dim in dims):
            output.shape = ir.Shape([dim.dim_value for dim in dims])
            output.dtype = ir.DataType(proto.tensor_type.elem_type)

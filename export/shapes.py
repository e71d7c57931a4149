"""Shape inference, with what ONNX's own leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes in place; what cannot be inferred stays unknown.

    ONNX's inference does not read MaxUnpool's ``output_shape``, and all that follows it would
    stay unknown.
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

"""Shapes behind a max unpooling with an explicit output size are known."""

import onnx.parser
import onnx_ir as ir

from edgeup.export.cost import macs
from edgeup.export.shapes import infer_shapes

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,5,5] x) => (float[1,3,5,5] y)
<int64[4] size = {1, 2, 5, 5}, float[3,2,1,1] weight = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> {
  pooled, places = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
  wide = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(pooled, places, size)
  more = Relu(wide)
  y = Conv(more, weight)
}"""


def test_the_output_size_of_max_unpooling_is_read() -> None:
    model = ir.from_proto(onnx.parser.parse_model(TEXT))
    infer_shapes(model)
    shapes = {v.name: v.shape for node in model.graph for v in node.outputs}
    assert shapes["wide"] == shapes["more"] == ir.Shape([1, 2, 5, 5])


def test_multiply_accumulates_behind_it_are_counted() -> None:
    model = ir.from_proto(onnx.parser.parse_model(TEXT))
    model.graph.outputs[0].shape = None
    assert macs(model).total == 5 * 5 * 2 * 3

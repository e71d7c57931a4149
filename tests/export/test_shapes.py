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


AS_LARGE_AS = """<ir_version: 8, opset_import: ["" : 13]>
net (float[{size}] x) => (float[a,b,c,d] y)
<int64[1] zero = {{0}}, int64[1] two = {{2}}, int64[1] four = {{4}}, float[1,3,1,1] weight =
 {{1.0, 2.0, 3.0}}> {{
  low = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
  lower = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(low)
  s1 = Shape(low)
  size1 = Slice(s1, two, four)
  n1 = Shape(lower)
  lead1 = Slice(n1, zero, two)
  to1 = Concat<axis = 0>(lead1, size1)
  up1 = Resize<mode = "nearest">(lower, , , to1)
  more = Relu(up1)
  n2 = Shape(more)
  twice = Add(n2, n2)
  size2 = Slice(twice, two, four)
  lead2 = Slice(n2, zero, two)
  to2 = Concat<axis = 0>(lead2, size2)
  up2 = Resize<mode = "nearest">(more, , , to2)
  y = Conv(up2, weight)
}}"""


def test_sizes_that_are_computed_from_shapes_are_followed_through_the_graph() -> None:
    model = ir.from_proto(onnx.parser.parse_model(AS_LARGE_AS.format(size="2,3,8,12")))
    infer_shapes(model)
    shapes = {v.name: v.shape for node in model.graph for v in node.outputs}
    assert shapes["up1"] == shapes["more"] == ir.Shape([2, 3, 4, 6])
    assert shapes["up2"] == ir.Shape([2, 3, 8, 12])
    assert macs(model).total == 2 * 3 * 8 * 12


def test_sizes_of_an_open_shape_stay_open() -> None:
    model = ir.from_proto(onnx.parser.parse_model(AS_LARGE_AS.format(size="n,3,h,w")))
    infer_shapes(model)
    shapes = {v.name: v.shape for node in model.graph for v in node.outputs}
    assert all(shapes[n] is None or not shapes[n].is_static() for n in ("up1", "more", "up2"))

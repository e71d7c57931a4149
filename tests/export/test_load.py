"""Files that nobody vouches for: a model, or one clear line."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.export.load import external_files, freeze_shapes, input_specs, load_model
from edgeup.export.serialize import to_bytes
from edgeup.export.tensors import tensors_of
from edgeup.spec import TensorSpec

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
tiny (float[batch,3,h,w] image) => (float[batch,3,h2,w2] depth)
<float[1] zero = {0.0}> {
  more = Add(image, zero)
  depth = Relu(more)
}"""


def tiny() -> onnx.ModelProto:
    return onnx.parser.parse_model(TEXT)


def test_a_model_is_read_and_says_what_it_needs(tmp_path: Path) -> None:
    onnx.save(tiny(), tmp_path / "a.onnx")
    model = load_model(tmp_path / "a.onnx")
    assert input_specs(model) == (TensorSpec("image", ("batch", 3, "h", "w")),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html><body>404 Not Found</body></html>", "not an ONNX model, or was cut short"),
        (b"hello world, this is text\n" * 40, "not an ONNX model, or was cut short"),
        (b"\x08\x08", "holds no graph"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(EdgeupError, match=reason):
        load_model(tmp_path / "a.onnx")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeupError, match="there is no file"):
        load_model(tmp_path / "a.onnx")
    with pytest.raises(EdgeupError, match="is no file"):
        load_model(tmp_path)


@pytest.mark.parametrize(("opset", "known"), [(6, False), (7, True), (999, False)])
def test_an_unknown_opset_is_refused(tmp_path: Path, opset: int, known: bool) -> None:
    proto = tiny()
    proto.opset_import[0].version = opset
    onnx.save(proto, tmp_path / "a.onnx")
    if known:
        load_model(tmp_path / "a.onnx")
        return
    with pytest.raises(EdgeupError, match=f"has opset {opset}"):
        load_model(tmp_path / "a.onnx")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_damage_is_one_line_or_a_model(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(tiny().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    path = tmp_path_factory.mktemp("damaged") / "a.onnx"
    path.write_bytes(content)
    problem = ""
    try:
        load_model(path)
    except EdgeupError as error:
        problem = str(error)
    assert "\n" not in problem


def with_external(tmp_path: Path, location: str, offset: int = 0, length: int = 4) -> Path:
    proto = tiny()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.onnx").write_bytes(proto.SerializeToString())
    return folder


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    folder = with_external(tmp_path, "weights.bin")
    (folder / "weights.bin").write_bytes(np.float32(7).tobytes())
    model = load_model(folder / "a.onnx")
    held = model.graph.initializers["zero"].const_value
    assert held is not None
    assert held.numpy().tolist() == [7.0]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "sub/../../x"])
def test_external_data_outside_the_folder_is_not_read(tmp_path: Path, location: str) -> None:
    folder = with_external(tmp_path, location)
    (tmp_path / "secret.bin").write_bytes(b"1234")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "sub").mkdir()
    with pytest.raises(EdgeupError, match="outside the model's folder"):
        load_model(folder / "a.onnx")


def test_external_data_behind_links_in_a_circle_is_not_there(tmp_path: Path) -> None:
    folder = with_external(tmp_path, "circle.bin")
    (folder / "circle.bin").symlink_to("circle.bin")
    with pytest.raises(EdgeupError, match=r"weights file circle\.bin is not beside it"):
        load_model(folder / "a.onnx")


def test_external_data_that_is_missing_or_short_is_refused(tmp_path: Path) -> None:
    folder = with_external(tmp_path, "weights.bin", offset=2, length=4)
    with pytest.raises(EdgeupError, match="is not beside it"):
        load_model(folder / "a.onnx")
    (folder / "weights.bin").write_bytes(b"12345")
    with pytest.raises(EdgeupError, match=r"end at byte 6, and weights\.bin has 5"):
        load_model(folder / "a.onnx")


def test_freezing_sets_dimensions_and_refuses_what_does_not_fit() -> None:
    model = ir.from_proto(tiny())
    freeze_shapes(model, [TensorSpec("", (2, 3, 8, 8))])
    assert input_specs(model) == (TensorSpec("image", (2, 3, 8, 8)),)
    for spec, reason in (
        (TensorSpec("", (2, 4, 8, 8)), "does not fit"),
        (TensorSpec("", (2, 3, 8)), "does not fit"),
        (TensorSpec("imag", (2, 3, 8, 8)), "unknown input 'imag': did you mean image"),
    ):
        with pytest.raises(EdgeupError, match=reason):
            freeze_shapes(ir.from_proto(tiny()), [spec])


def pointing_out(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("float_data")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


NESTED = """<ir_version: 8, opset_import: ["" : 17, "house" : 1]>
net (float[1] image, bool which) => (float[1] depth) {
  a = house.shift(image)
  depth = If<
    then_branch = yes () => (float[1] b) { one = Constant<value = float[1] {1.0}>()
                                           b = Add(a, one) },
    else_branch = no () => (float[1] c) <float[1] two = {2.0}> { c = Add(a, two) }
  >(which)
}
<domain: "house", opset_import: ["" : 17]>
shift (x) => (y) { three = Constant<value = float[1] {3.0}>() y = Add(x, three) }"""


def nested_tensors(proto: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    branches = {attribute.name: attribute.g for attribute in proto.graph.node[1].attribute}
    many = proto.graph.node[0].attribute.add(name="many", type=onnx.AttributeProto.TENSORS)
    many.tensors.append(onnx.numpy_helper.from_array(np.float32([4.0]), "four"))
    return {
        "branch node": branches["then_branch"].node[0].attribute[0].t,
        "branch weight": branches["else_branch"].initializer[0],
        "function node": proto.functions[0].node[0].attribute[0].t,
        "list of tensors": many.tensors[0],
    }


@pytest.mark.parametrize(
    "place", ["branch node", "branch weight", "function node", "list of tensors"]
)
def test_external_data_is_checked_wherever_a_tensor_stands(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.float32(9).tobytes())
    (folder / "weights.bin").write_bytes(np.float32(7).tobytes())
    for location, reason in (("../secret.bin", "outside the model's folder"), ("weights.bin", "")):
        proto = onnx.parser.parse_model(NESTED)
        pointing_out(nested_tensors(proto)[place], location)
        (folder / "a.onnx").write_bytes(proto.SerializeToString())
        if reason:
            with pytest.raises(EdgeupError, match=reason):
                load_model(folder / "a.onnx")
            continue
        model = load_model(folder / "a.onnx")
        assert external_files(model) == {(folder / "weights.bin").resolve()}
        numbers = [tensor.numpy().tolist() for tensor in tensors_of(model)]
        assert [7.0] in numbers
        inlined = onnx.load_model_from_string(to_bytes(model))
        found = nested_tensors(inlined)[place] if place != "list of tensors" else None
        if found is not None:
            assert onnx.numpy_helper.to_array(found).tolist() == [7.0]
        assert b"weights.bin" not in inlined.SerializeToString()


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    proto = tiny()
    sparse = proto.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.float32([1]), "few"))
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.int64([2]), "places"))
    onnx.save(proto, tmp_path / "a.onnx")
    with pytest.raises(EdgeupError, match=r"holds sparse weights \(few\)"):
        load_model(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Add(x, nowhere)", "'nowhere' of node"),
        ("y = Relu(x) y = Neg(x)", "single static assignment"),
        ("q = Relu(x)", "y"),
    ],
)
def test_a_graph_whose_values_do_not_fit_together_is_one_line(
    tmp_path: Path, body: str, reason: str
) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "a.onnx")
    with pytest.raises(EdgeupError, match="holds a graph that cannot be read: ") as caught:
        load_model(tmp_path / "a.onnx")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def read(tmp_path: Path, body: str) -> tuple[ir.Model, list[str]]:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for node in proto.graph.node:
        node.name = f"make_{node.output[0]}"
    onnx.save(proto, tmp_path / "a.onnx")
    notices: list[str] = []
    return load_model(tmp_path / "a.onnx", notices.append), notices


def test_nodes_that_are_not_in_order_are_sorted_and_it_is_said(tmp_path: Path) -> None:
    model, notices = read(tmp_path, "y = Add(a, b) b = Neg(a) a = Relu(x)")
    assert [node.name for node in model.graph] == ["make_a", "make_b", "make_y"]
    assert notices == [
        "a.onnx: its nodes were not in an order in which they can run, which ONNX wants and some "
        "readers insist on; they were sorted"
    ]
    onnx.checker.check_model(onnx.load_model_from_string(to_bytes(model)), full_check=True)
    assert read(tmp_path, "a = Relu(x) b = Neg(a) y = Add(a, b)")[1] == []


def test_a_branch_that_reads_what_stands_behind_it_is_sorted(tmp_path: Path) -> None:
    branch = "g () => (float[4] {0}) {{ {0} = Neg(late) }}"
    body = (
        f"c = Constant<value = bool {{1}}>() "
        f"y = If(c) <then_branch = {branch.format('t')}, else_branch = {branch.format('e')}> "
        f"late = Relu(x)"
    )
    model, notices = read(tmp_path, body)
    assert [node.op_type for node in model.graph] == ["Constant", "Relu", "If"]
    assert len(notices) == 1


def test_a_circle_is_one_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EdgeupError, match="results in a circle") as caught:
        read(tmp_path, "y = Add(x, z) z = Relu(y)")
    assert "make_y <- make_z" in str(caught.value) or "make_z <- make_y" in str(caught.value)
    assert "\n" not in str(caught.value)

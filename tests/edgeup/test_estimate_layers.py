"""A graph as the layers that a backend runs: what is fused, what is counted, what is refused."""

from typing import Any

import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.errors import EdgeupError
from edgeup.export.roofline.layers import Layer, layers_of
from edgeup.export.shapes import infer_shapes

WEIGHTS = {"w": (4, 2, 3, 3), "v": (4, 4, 1, 1), "d": (4, 1, 5, 5), "t": (4, 6, 2, 2)}
PADS = "<pads = [1, 1, 1, 1]>"
MAP = 4 * 8 * 8
"""Numbers in a map of 4 channels."""


def layers(
    body: str,
    precision: str = "fp32",
    outputs: str = "float[1,4,8,8] y",
    inputs: str = "float[1,2,8,8] x",
    constants: str = "float[4] b = {1, 1, 1, 1}",
) -> list[Layer]:
    """The layers of a body whose weights are given by shape alone."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({outputs}) '
        f"<{constants}> {{ {body} }}"
    )
    for name, shape in WEIGHTS.items():
        size = 4
        for dim in shape:
            size *= dim
        tensor = onnx.helper.make_tensor(name, 1, shape, bytes(size), raw=True)
        proto.graph.initializer.append(tensor)
    model = ir.from_proto(proto)
    infer_shapes(model)
    return layers_of(model, precision)


def shapes(found: list[Layer]) -> list[tuple[str, ...]]:
    return [layer.operators for layer in found]


def test_pointwise_nodes_join_the_convolution_that_they_follow() -> None:
    found = layers(
        f"a = Conv {PADS} (x, w, b)\n m = BatchNormalization(a, b, b, b, b)\n r = Relu(m)\n"
        "s = Add(r, z)\n y = Relu(s)",
        inputs="float[1,2,8,8] x, float[1,4,8,8] z",
    )
    assert shapes(found) == [("Conv", "BatchNormalization", "Relu", "Add", "Relu")]
    work = found[0].work
    assert work.kind == "dense"
    assert work.macs == MAP * 2 * 9
    # x, w, b once, z, y; a, m, r and s stay in registers.
    assert work.moved == 4 * (2 * 64 + 4 * 2 * 9 + 4 + MAP + MAP)


def test_a_resize_is_a_layer_and_what_follows_it_another() -> None:
    found = layers(
        'u = Resize <mode = "nearest"> (x, , k)\n c = Concat <axis = 1> (u, u)\n'
        "s = Add(c, z)\n y = Relu(s)",
        outputs="float[1,4,16,16] y",
        inputs="float[1,2,8,8] x, float[1,4,16,16] z",
        constants="float[4] k = {1, 1, 2, 2}",
    )
    assert shapes(found) == [("Resize",), ("Concat",), ("Add", "Relu")]
    assert [layer.work.kind for layer in found] == ["resize", "copy", "elementwise"]
    assert all(layer.work.macs == 0 for layer in found)
    assert found[0].work.moved == 4 * (2 * 64 + 4 + 2 * 256)
    assert found[2].work.moved == 4 * 3 * 4 * 256


@pytest.mark.parametrize(
    ("body", "outputs", "wanted"),
    [
        # Another reader needs the convolution's own output.
        (
            f"a = Conv {PADS} (x, w)\n r = Relu(a)\n p = Sigmoid(a)\n y = Mul(r, p)",
            "float[1,4,8,8] y",
            [("Conv",), ("Relu",), ("Sigmoid", "Mul")],
        ),
        # So does the caller.
        (
            f"a = Conv {PADS} (x, w)\n y = Relu(a)",
            "float[1,4,8,8] y, float[1,4,8,8] a",
            [("Conv",), ("Relu",)],
        ),
        # Of two convolutions, the one that runs last adds.
        (
            f"a = Conv {PADS} (x, w)\n c = Conv {PADS} (x, w)\n y = Add(c, a)",
            "float[1,4,8,8] y",
            [("Conv",), ("Conv", "Add")],
        ),
        # An output that is larger than what was computed before is a pass of its own.
        (
            "a = Conv <strides = [8, 8]> (x, w)\n y = Add(a, z)",
            "float[1,4,8,8] y",
            [("Conv",), ("Add",)],
        ),
        # A reshape moves nothing, and a pool is not pointwise.
        (
            f"a = Conv {PADS} (x, w)\n f = Flatten(a)\n q = Reshape(f, n)\n"
            "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (q)",
            "float[1,4,8,8] y",
            [("Conv",), ("MaxPool",)],
        ),
    ],
)
def test_what_is_fused(body: str, outputs: str, wanted: list[tuple[str, ...]]) -> None:
    found = layers(
        body,
        outputs=outputs,
        inputs="float[1,2,8,8] x, float[1,4,8,8] z",
        constants="int64[4] n = {1, 4, 8, 8}",
    )
    assert shapes(found) == wanted


def test_what_follows_from_constants_or_known_shapes_is_no_layer() -> None:
    found = layers(
        "s = Shape(x)\n i = Constant <value = int64[1] {2}> ()\n h = Gather(s, i)\n"
        "e = Mul(w, two)\n y = Conv <pads = [1, 1, 1, 1]> (x, e)",
        outputs="float[1,4,8,8] y, int64[1] h",
        constants="float two = {2}",
    )
    assert shapes(found) == [("Conv",)]


def test_kinds_and_macs_of_convolutions() -> None:
    found = layers(
        f"a = Conv {PADS} (x, w)\n p = Conv(a, v)\n"
        "q = Conv <group = 4, pads = [2, 2, 2, 2]> (p, d)\n"
        "y = ConvTranspose <strides = [2, 2]> (q, t)",
        outputs="float[1,6,16,16] y",
    )
    assert [layer.work.kind for layer in found] == ["dense", "pointwise", "depthwise", "transposed"]
    macs = [MAP * 2 * 9, MAP * 4, MAP * 25, 64 * 4 * 6 * 4]
    assert [layer.work.macs for layer in found] == macs
    assert [layer.work.channels for layer in found] == [4, 4, 1, 6]


def test_numbers_are_as_large_as_the_precision_and_indices_as_they_are() -> None:
    body = "y, j = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)"
    sizes = {
        precision: layers(body, precision, outputs="float[1,2,4,4] y, int64[1,2,4,4] j")[
            0
        ].work.moved
        for precision in ("fp32", "fp16", "int8")
    }
    floats, indices = 2 * 64 + 2 * 16, 2 * 16
    assert sizes == {
        p: n * floats + 8 * indices for p, n in (("fp32", 4), ("fp16", 2), ("int8", 1))
    }


def test_a_slice_reads_what_it_keeps() -> None:
    found = layers(
        "y = Slice(x, s, e, ax)",
        outputs="float[1,2,2,8] y",
        constants="int64[1] s = {0}, int64[1] e = {2}, int64[1] ax = {2}",
    )
    assert found[0].work.moved == 2 * 4 * (2 * 2 * 8) + 3 * 8


@pytest.mark.parametrize(
    ("body", "given", "reason"),
    [
        ("y = Relu(x)", {"inputs": "float[1,2,h,8] x", "outputs": "float[1,2,h,8] y"}, "shape"),
        (
            "y = If <then_branch = a () => (float[1,2,8,8] o) { o = Relu(x) }, "
            "else_branch = c () => (float[1,2,8,8] q) { q = Neg(x) }> (k)",
            {"inputs": "float[1,2,8,8] x, bool k", "outputs": "float[1,2,8,8] y"},
            "branch or loop",
        ),
        ("y = Conv(x, b)", {}, "does not go with a weight of 4"),
        ("y = Conv(x, v)", {}, "an input of 1x2x8x8 does not go with a weight of 4x4x1x1"),
    ],
)
def test_what_cannot_be_estimated_is_refused_by_name(
    body: str, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EdgeupError, match=reason) as refused:
        layers(body, **given)
    assert "\n" not in str(refused.value)

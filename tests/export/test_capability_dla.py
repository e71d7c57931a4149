"""What a deep learning accelerator leaves to the GPU, by TensorRT version and generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.export.capability.dla import Fallback, find_fallbacks

ModelText = Callable[..., str]
X, Y = "float[1,4,8,8] x", "float[a,b,c,d] y"
OLD, NEW = (8, 2), (8, 5)
XAVIER, ORIN = 1, 2


def fallbacks(text: str, version: tuple[int, int], generation: int) -> list[Fallback]:
    return find_fallbacks(ir.from_proto(onnx.parser.parse_model(text)), version, generation)


def kernel(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones(shape, np.float32)


def scales(*numbers: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(numbers, np.float32)


def resize(attributes: str) -> str:
    return f"y = Resize<{attributes}>(x, , s)"


ASYMMETRIC = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'

CASES: dict[str, tuple[str, dict[str, Any], dict[tuple[tuple[int, int], int], str]]] = {
    # body, arrays, and per version and generation: words of the reason; "" where it fits
    "nearest, asymmetric": (
        resize(ASYMMETRIC),
        {"s": scales(1, 1, 2, 2)},
        {(OLD, XAVIER): "", (NEW, XAVIER): "", (NEW, ORIN): ""},
    ),
    "nearest, half pixel": (
        resize('mode="nearest"'),
        {"s": scales(1, 1, 2, 2)},
        {(OLD, XAVIER): "does not resize by nearest, half_pixel", (NEW, ORIN): ""},
    ),
    "linear, half pixel": (
        resize('mode="linear"'),
        {"s": scales(1, 1, 2, 2)},
        {(OLD, XAVIER): "does not resize by linear", (NEW, XAVIER): "", (NEW, ORIN): ""},
    ),
    "linear, aligned": (
        resize('mode="linear", coordinate_transformation_mode="align_corners"'),
        {"s": scales(1, 1, 2, 2)},
        {(NEW, ORIN): "align_corners"},
    ),
    "linear, times 8": (
        resize('mode="linear"'),
        {"s": scales(1, 1, 8, 8)},
        {(NEW, ORIN): "scale 8, and DLA has whole ones from 1 to 4"},
    ),
    "times one and a half": (
        resize(ASYMMETRIC),
        {"s": scales(1, 1, 1.5, 1.5)},
        {(NEW, ORIN): "scale 1.5, and DLA has whole ones from 1 to 32"},
    ),
    "sizes": (
        f"y = Resize<{ASYMMETRIC}>(x, , , s)",
        {"s": np.array([1, 4, 16, 16])},
        {(NEW, ORIN): "it has sizes"},
    ),
    "channels resized": (
        resize(ASYMMETRIC),
        {"s": scales(1, 2, 1, 1)},
        {(NEW, ORIN): "more than height and width"},
    ),
    "deconvolution, stride as kernel": (
        "y = ConvTranspose<strides=[2,2]>(x, w)",
        {"w": kernel(4, 4, 2, 2)},
        {(OLD, XAVIER): "", (NEW, ORIN): ""},
    ),
    "deconvolution, stride below kernel": (
        "y = ConvTranspose<strides=[2,2]>(x, w)",
        {"w": kernel(4, 4, 4, 4)},
        {(OLD, XAVIER): "differ from the kernel", (NEW, ORIN): ""},
    ),
    "deconvolution with pads": (
        "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, w)",
        {"w": kernel(4, 4, 4, 4)},
        {(NEW, ORIN): "pads 1x1x1x1, and DLA has 0 to 0"},
    ),
    "deconvolution in groups": (
        "y = ConvTranspose<group=2>(x, w)",
        {"w": kernel(4, 2, 1, 1)},
        {(NEW, ORIN): "groups 2"},
    ),
    "deconvolution with output_shape": (
        "y = ConvTranspose<strides=[2,2], output_shape=[16,16]>(x, w)",
        {"w": kernel(4, 4, 2, 2)},
        {(NEW, ORIN): "output_shape"},
    ),
    "deconvolution, 1 by 64": (
        "y = ConvTranspose(x, w)",
        {"w": kernel(4, 4, 1, 64)},
        {(NEW, ORIN): ""},
    ),
    "deconvolution, 64 by 64": (
        "y = ConvTranspose(x, w)",
        {"w": kernel(4, 4, 64, 64)},
        {(NEW, ORIN): "kernel 64x64"},
    ),
    "convolution": (
        "y = Conv<pads=[1,1,1,1]>(x, w)",
        {"w": kernel(4, 4, 3, 3)},
        {(OLD, XAVIER): "", (NEW, ORIN): ""},
    ),
    "convolution, stride 9": (
        "y = Conv<strides=[9,9]>(x, w)",
        {"w": kernel(4, 4, 3, 3)},
        {(OLD, XAVIER): "strides 9x9, and DLA has 1 to 8"},
    ),
    "convolution by what is fed": (
        "w = Reshape(x, t) y = Conv(x, w)",
        {"t": np.array([4, 4, 4, 4])},
        {(NEW, ORIN): "weights are computed"},
    ),
    "pooling, 9 wide": (
        "y = MaxPool<kernel_shape=[9,9], pads=[4,4,4,4]>(x)",
        {},
        {(NEW, ORIN): "window 9x9, and DLA has 1 to 8"},
    ),
    "an average that leaves padding out": (
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
        {},
        {(NEW, XAVIER): "counts the padding", (NEW, ORIN): ""},
    ),
    "global pooling": ("y = GlobalAveragePool(x)", {}, {(NEW, XAVIER): ""}),
    "Concat of channels": ("y = Concat<axis=1>(x, x)", {}, {(OLD, XAVIER): ""}),
    "Concat of rows": ("y = Concat<axis=2>(x, x)", {}, {(NEW, ORIN): "another axis"}),
    "Slice": (
        "y = Slice(x, b, e, c)",
        {"b": np.array([1]), "e": np.array([3]), "c": np.array([1])},
        {(OLD, XAVIER): "no Slice before TensorRT 8.6", ((8, 6), ORIN): ""},
    ),
    "Slice in steps": (
        "y = Slice(x, b, e, c, f)",
        {"b": np.array([0]), "e": np.array([4]), "c": np.array([1]), "f": np.array([2])},
        {((8, 6), ORIN): "in steps"},
    ),
    "Softmax": (
        "y = Softmax<axis=1>(x)",
        {},
        {(NEW, XAVIER): "no Softmax on Xavier", (NEW, ORIN): ""},
    ),
    "LeakyRelu": (
        "y = LeakyRelu(x)",
        {},
        {(NEW, XAVIER): "no LeakyRelu on Xavier", (NEW, ORIN): ""},
    ),
    "HardSwish": ("y = HardSwish(x)", {}, {(NEW, ORIN): "DLA has no HardSwish"}),
    "Pad": (
        "y = Pad(x, p)",
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        {(NEW, ORIN): "DLA has no Pad"},
    ),
}


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, case in CASES.items() for part in case[2]]
)
def test_a_limit(model_text: ModelText, name: str, part: tuple[tuple[int, int], int]) -> None:
    body, arrays, expected = CASES[name]
    text = model_text(body, inputs=X, output=Y, opset=17, **arrays)
    found = fallbacks(text, *part)
    if not expected[part]:
        assert found == []
        return
    assert len(found) == 1
    assert expected[part] in found[0].reason
    assert found[0].evidence
    assert found[0].to_json()["op"] == found[0].op


@pytest.mark.parametrize(
    ("inputs", "output", "reason"),
    [
        ("float[n,4,8,8] x", "float[n,4,8,8] y", "is not fixed"),
        ("int32[1,4,8,8] x", "int32[1,4,8,8] y", "is int32"),
        ("float[5000,4,8,8] x", "float[5000,4,8,8] y", "at most 4096 in a batch"),
        ("float[1,4,8,9000] x", "float[1,4,8,9000] y", "8192"),
    ],
)
def test_what_holds_for_every_layer(
    model_text: ModelText, inputs: str, output: str, reason: str
) -> None:
    text = model_text("y = Add(x, x)", inputs=inputs, output=output, opset=17)
    found = fallbacks(text, NEW, ORIN)
    assert [reason in fallback.reason for fallback in found] == [True]


def test_shape_arithmetic_is_no_layer(model_text: ModelText) -> None:
    body = "t = Shape(x) z = Relu(x) y = Reshape(z, t)"
    text = model_text(body, inputs=X, output=Y, opset=17)
    assert fallbacks(text, NEW, ORIN) == []


def test_the_model_stays(model_text: ModelText) -> None:
    model = ir.from_proto(
        onnx.parser.parse_model(model_text("y = Pad(x, x)", inputs=X, output=Y, opset=10))
    )
    before = ir.to_proto(model).SerializeToString()
    find_fallbacks(model, NEW, ORIN)
    assert ir.to_proto(model).SerializeToString() == before

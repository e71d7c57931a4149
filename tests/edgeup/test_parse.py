"""Shapes and dynamic dimensions as users write them."""

import pytest

from edgeup.cli.parse import parse_dynamic, parse_frozen, parse_image_shape, parse_shape
from edgeup.errors import EdgeupError
from edgeup.spec import TensorSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1x3x224x224", TensorSpec("", (1, 3, 224, 224))),
        ("image:1x3x224x224", TensorSpec("image", (1, 3, 224, 224))),
        ("x:[1,3,224,224]", TensorSpec("x", (1, 3, 224, 224))),
        ("1,3,8,8", TensorSpec("", (1, 3, 8, 8))),
        ("ids:2x16:int64", TensorSpec("ids", (2, 16), "int64")),
        ("7", TensorSpec("", (7,))),
    ],
)
def test_every_way_to_write_a_shape(text: str, spec: TensorSpec) -> None:
    assert parse_shape(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "224", "1x3x224", "1x3xHxW", "1x3x0x224", "1x3x-1x224", "1x3x224x224x1", "1x3x2.5x4"],
)
def test_what_is_not_four_numbers_is_refused(text: str) -> None:
    with pytest.raises(EdgeupError, match=r"is not a shape|an image has four"):
        parse_image_shape([text], (1, 3, 224, 224))


def test_an_image_is_float32_and_alone() -> None:
    with pytest.raises(EdgeupError, match="takes float32, not int64"):
        parse_image_shape(["x:1x3x8x8:int64"], (1, 3, 224, 224))
    with pytest.raises(EdgeupError, match="2 shapes were given"):
        parse_image_shape(["1x3x8x8", "1x3x8x8"], (1, 3, 224, 224))
    with pytest.raises(EdgeupError, match=r"unknown dtype .float31.*float32"):
        parse_shape("x:1x3:float31")


def test_the_default_image_is_called_image() -> None:
    assert parse_image_shape([], (1, 3, 224, 224)) == TensorSpec("image", (1, 3, 224, 224))
    assert parse_image_shape(["1x3x64x96"], (1, 3, 224, 224)) == TensorSpec("image", (1, 3, 64, 96))


@pytest.mark.parametrize(
    ("words", "batch", "spatial"),
    [
        ([], False, False),
        (["batch"], True, False),
        (["batch", "spatial"], True, True),
        (["batch,spatial"], True, True),
    ],
)
def test_dynamic_dimensions(words: list[str], batch: bool, spatial: bool) -> None:
    assert parse_dynamic(words) == (batch, spatial)


def test_an_unknown_dynamic_dimension_is_refused() -> None:
    with pytest.raises(EdgeupError, match="unknown dynamic dimension 'bach': did you mean batch"):
        parse_dynamic(["bach"])


def test_a_shape_to_freeze_has_no_type() -> None:
    assert parse_frozen("ids:1x16") == TensorSpec("ids", (1, 16))
    for text in ("ids:1x16:int64", "1x16:float32"):
        with pytest.raises(EdgeupError, match="the type of an input is the file's; leave :"):
            parse_frozen(text)

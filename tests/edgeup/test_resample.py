"""Resizing follows Pillow (antialiased) or ONNX Resize, OpenCV, torch (not antialiased)."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from PIL import Image

from edgeup.errors import EdgeupError
from edgeup.resample import nearest_indices, resize

sizes = st.integers(1, 700)


@settings(max_examples=150, deadline=None)
@given(source=sizes, goal=sizes)
def test_nearest_picks_the_pixels_that_pillow_picks(source: int, goal: int) -> None:
    row = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    wanted = np.asarray(row.resize((goal, 1), Image.Resampling.NEAREST))[0]
    np.testing.assert_array_equal(nearest_indices(source, goal), wanted)


def test_nearest_is_not_the_textbook_formula_where_sums_fall_short() -> None:
    exact = [(2 * i + 1) * 480 // (2 * 250) for i in range(250)]
    assert np.count_nonzero(nearest_indices(480, 250) != exact) == 4


@settings(max_examples=40, deadline=None)
@given(
    source=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    goal=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    name=st.sampled_from(["bilinear", "bicubic"]),
)
def test_antialiased_resizing_is_pillows(
    source: tuple[int, int], goal: tuple[int, int], name: str
) -> None:
    plane = np.random.default_rng(0).random(source, np.float32) * 255
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    wanted = np.asarray(Image.fromarray(plane).resize(goal[::-1], filters[name]))
    got = resize(plane[..., None], goal, name, True)[..., 0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=255 * 2e-6)


@pytest.mark.parametrize(("name", "mode"), [("bilinear", "linear"), ("bicubic", "cubic")])
@pytest.mark.parametrize("goal", [(5, 29), (40, 7), (13, 17)])
def test_plain_resizing_is_onnx_half_pixel(name: str, mode: str, goal: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).random((13, 17)).astype(np.float32)
    node = onnx.helper.make_node(
        "Resize", ["x", "", "", "s"], ["y"], mode=mode, coordinate_transformation_mode="half_pixel"
    )
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 1, 13, 17])
    y = onnx.helper.make_tensor_value_info("y", 1, None)
    s = onnx.numpy_helper.from_array(np.array([1, 1, *goal], np.int64), "s")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [s]))
    [wanted] = ReferenceEvaluator(model).run(None, {"x": plane[None, None]})
    got = resize(plane[..., None], goal, name, False)[..., 0]
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(got, wanted[0, 0], rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("goal", [(40, 30), (9, 90), (90, 9)])
def test_a_box_is_a_part_of_the_whole(name: str, goal: tuple[int, int]) -> None:
    image = np.random.default_rng(2).integers(0, 256, (31, 23, 3), np.uint8)
    box = (slice(2, 8), slice(1, 7))
    whole = resize(image, goal, name, True)
    np.testing.assert_allclose(resize(image, goal, name, True, box), whole[box], atol=1e-4)
    assert whole.shape == (*goal, 3)


def test_a_size_beyond_bounds_is_refused_before_memory_is_taken() -> None:
    dot = np.zeros((1, 60_000, 3), np.uint8)
    with pytest.raises(EdgeupError, match=r"1x60000.*resized to 250x15000000.*a side"):
        resize(dot, (250, 15_000_000), "bilinear", True)
    with pytest.raises(EdgeupError, match=r"resized to 60000x60000; at most 67,108,864 pixels"):
        resize(dot, (60_000, 60_000), "nearest", True)

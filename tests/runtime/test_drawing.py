"""Outputs as pictures: colours stand for values, and what cannot be drawn is said."""

import io
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.runtime.drawing import COLORMAPS, Drawing, Drawn, draw, png_bytes

MAGENTA = [255, 0, 255]
VIRIDIS = [[68, 1, 84], [253, 231, 37]]  # its first and last colour


def drawn(values: np.ndarray, drawing: Drawing | None = None, *, last: bool = False) -> Drawn:
    unit = lambda planes: planes.astype(float).transpose(1, 2, 0) * 255  # noqa: E731 (one use)
    return draw(values, drawing or Drawing(), channels_last=last, restore=unit)


def ramp(low: float = 1.0, high: float = 5.0) -> np.ndarray:
    return np.linspace(low, high, 256, dtype=np.float32).reshape(1, 1, 16, 16)


@pytest.mark.parametrize("name", [name for name in COLORMAPS if name != "grey"])
def test_a_ramp_goes_through_the_whole_colour_map(name: str) -> None:
    table = (np.asarray(matplotlib.colormaps[name].colors) * 255).round()
    done = drawn(ramp(), Drawing(colormap=name))
    np.testing.assert_array_equal(done.pixels.reshape(256, 3), table)
    assert done.facts["range"] == [1.0, 5.0]
    assert done.notes == ()
    upside = drawn(ramp(), Drawing(colormap=name, invert=True))
    np.testing.assert_array_equal(upside.pixels.reshape(256, 3), done.pixels.reshape(256, 3)[::-1])


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (1, 16, 16), (16, 16)])
def test_a_map_may_come_with_or_without_batch_and_channel(shape: tuple[int, ...]) -> None:
    done = drawn(ramp().reshape(shape))
    assert done.pixels.shape == (16, 16, 3)
    assert done.pixels[[0, -1], [0, -1]].tolist() == VIRIDIS


def test_values_that_are_not_finite_have_their_own_colour_and_no_say_in_the_range() -> None:
    values = ramp()
    values[0, 0, 3, :3] = [np.nan, np.inf, -np.inf]
    for colormap in ("viridis", "grey"):
        done = drawn(values, Drawing(colormap=colormap))
        assert done.pixels[3, :3].tolist() == [MAGENTA] * 3
        assert done.facts["range"] == [1.0, 5.0]
        assert done.notes == ("3 of 256 pixels are NaN or infinite; they are drawn magenta",)
    none = drawn(np.full((1, 1, 2, 2), np.nan, np.float32))
    assert none.pixels.reshape(-1, 3).tolist() == [MAGENTA] * 4
    assert "4 of 4" in none.notes[0]


def test_a_range_cuts_and_counts_what_it_cuts() -> None:
    done = drawn(ramp(), Drawing(limits=(2.0, 3.0)))
    levels = ramp().ravel()
    assert done.facts["outside_range"] == np.count_nonzero((levels < 2) | (levels > 3)) > 100
    assert done.pixels[[0, -1], [0, -1]].tolist() == VIRIDIS


def test_extremes_of_a_type_do_not_overflow() -> None:
    for dtype in (np.float16, np.float32):
        most = np.finfo(dtype).max
        done = drawn(np.array([[-most, 0, most]], dtype))
        assert done.pixels[0, [0, 2]].tolist() == VIRIDIS
        assert done.notes == ()


def test_a_constant_is_said() -> None:
    assert drawn(np.full((2, 2), 3.0)).notes == ("every value is 3: the picture has one colour",)


def test_classes_are_the_largest_channel_in_pascal_voc_colours() -> None:
    labels = np.array([[0, 1, 2], [15, 20, 1]])
    scores = np.eye(21, dtype=np.float32)[labels].transpose(2, 0, 1)[None]
    # PASCAL VOC: background, aeroplane, bicycle; person, tv monitor, aeroplane.
    wanted = [
        [[0, 0, 0], [128, 0, 0], [0, 128, 0]],
        [[192, 128, 128], [0, 64, 128], [128, 0, 0]],
    ]
    for values, last in (
        (scores, False),
        (scores.transpose(0, 2, 3, 1), True),
        (labels[None], False),
        (labels[None, None].astype(np.uint8), False),
    ):
        done = drawn(values, last=last)
        assert done.pixels.tolist() == wanted
        assert done.facts == {"kind": "classes", "classes_present": [0, 1, 2, 15, 20]}
    scores[0, 4, 0, 0] = np.nan
    assert drawn(scores).pixels[0, 0].tolist() == MAGENTA
    assert "colours repeat" in drawn(np.array([[300, 1]])).notes[0]


def test_three_channels_are_an_image_in_the_inputs_range() -> None:
    values = np.array([0.0, 0.5, 1.5], np.float32).reshape(1, 3, 1, 1)
    done = drawn(values)
    assert done.pixels.tolist() == [[[0, 128, 255]]]
    assert done.facts == {"kind": "image", "range": "of the input", "outside_range": 1}
    wider = drawn(values, Drawing(limits=(0.0, 3.0)))
    assert wider.pixels.tolist() == [[[0, 42, 128]]]
    bytes_out = drawn((values * 100).astype(np.uint8).transpose(0, 2, 3, 1), last=True)
    assert bytes_out.pixels.tolist() == [[[0, 50, 150]]]
    grey = drawn(values[:, 1:2], Drawing("image"))
    assert grey.pixels.tolist() == [[[128, 128, 128]]]
    assert drawn(values, Drawing("classes")).facts["classes_present"] == [2]


@pytest.mark.parametrize(
    ("shape", "kind", "reason"),
    [
        ((1, 1000), "auto", None),
        ((2, 1, 4, 4), "auto", r"2x1x4x4 cannot be drawn: wanted 1 c h w"),
        ((5,), "auto", r"output of 5 cannot be drawn"),
        ((), "auto", r"a scalar cannot be drawn"),
        ((1, 3, 0, 4), "auto", r"1x3x0x4 cannot be drawn"),
        ((1, 4, 4, 4), "map", r"one value per pixel, and the output has 4 channels"),
        ((1, 4, 4, 4), "image", r"1 or 3 channels, and the output 4"),
        ((1, 1, 4, 4), "classes", r"one channel of float32: draw it --as map"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    shape: tuple[int, ...], kind: str, reason: str | None
) -> None:
    values = np.zeros(shape, np.float32)
    if reason is None:
        assert drawn(values, Drawing(kind)).pixels.shape == (*shape, 3)
        return
    with pytest.raises(EdgeupError, match=reason):
        drawn(values, Drawing(kind))


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(EdgeupError, match=r"unknown colour map 'viridi': did you mean viridis"):
        Drawing(colormap="viridi")
    with pytest.raises(EdgeupError, match=r"unknown kind of drawing 'depth'"):
        Drawing("depth")
    for limits in ((2.0, 1.0), (1.0, 1.0), (0.0, np.inf), (np.nan, 1.0)):
        with pytest.raises(EdgeupError, match="wanted two finite numbers"):
            Drawing(limits=limits)


def test_png_bytes_hold_the_pixels() -> None:
    pixels = drawn(ramp()).pixels
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))), pixels)


def test_without_matplotlib_only_grey_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"matplotlib.*pip install 'edgeup\[image\]'"):
        drawn(ramp())
    grey = drawn(ramp(), Drawing(colormap="grey"))
    np.testing.assert_array_equal(grey.pixels[..., 0].ravel(), np.arange(256))

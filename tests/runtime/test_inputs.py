from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.inputs import CONSTANT_KINDS, DEFAULT_KINDS, KINDS, make_input, test_inputs
from edgeup.spec import TensorSpec

IMAGE = TensorSpec("image", (1, 3, 32, 48))


def _hash(spec: TensorSpec, kind: str, seed: int = 7) -> str:
    return hashlib.sha256(make_input(spec, seed, kind).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("natural", "fcb112af2c548e35"),
        ("noise", "1c7b3d2af9c42f94"),
        ("ramp", "a3cdeb36d06c4177"),
        ("impulse", "650a038a0cf542f9"),
        ("checkerboard", "35b6c8c12520cf8f"),
    ],
)
def test_bits_are_those_of_every_machine(kind, expected):
    assert _hash(IMAGE, kind) == expected


def test_seed_and_name_change_random_kinds():
    for kind in ("natural", "noise", "ramp", "impulse"):
        assert _hash(IMAGE, kind, 7) != _hash(IMAGE, kind, 8), kind
        assert _hash(IMAGE, kind) != _hash(TensorSpec("other", IMAGE.shape), kind), kind


def test_an_input_does_not_depend_on_its_neighbours():
    alone = next(test_inputs([IMAGE], 7, ["noise"])).feeds["image"]
    both = next(test_inputs([TensorSpec("mask", (1, 1, 4, 4)), IMAGE], 7, ["noise"])).feeds
    np.testing.assert_array_equal(alone, both["image"])


@pytest.mark.parametrize("kind", DEFAULT_KINDS)
def test_planes_differ_and_stay_in_range(kind):
    image = make_input(TensorSpec("x", (2, 3, 16, 20)), 0, kind).reshape(6, 16, 20)
    assert image.dtype == np.float32
    assert image.min() >= 0.0
    assert image.max() <= 1.0
    for first, second in pairwise(image):
        assert not np.array_equal(first, second)


def test_default_kinds_leave_the_constants_out():
    assert [case.kind for case in test_inputs([IMAGE], 0)] == list(DEFAULT_KINDS)
    assert set(KINDS) - set(DEFAULT_KINDS) == set(CONSTANT_KINDS)


def test_impulse_is_one_pixel_off_centre():
    for seed in range(20):
        image = make_input(TensorSpec("x", (1, 4, 9, 15)), seed, "impulse")
        for plane in image[0]:
            (row,), (column,) = np.nonzero(plane)
            assert plane[row, column] == 1.0
            assert 2 <= row <= 6
            assert row != 4
            assert 3 <= column <= 11
            assert column != 7


def test_ramp_is_linear_along_both_axes():
    image = make_input(TensorSpec("x", (1, 3, 9, 17), "float64"), 3, "ramp")
    for axis in (2, 3):
        steps = np.diff(image, axis=axis)
        assert steps.min() > 0.0
        np.testing.assert_allclose(np.diff(steps, axis=axis), 0.0, atol=1e-15)
    assert image[0, 0, 0, 0] == 0.0
    assert image[0, 0, -1, -1] == pytest.approx(1.0, abs=1e-15)


def test_checkerboard_alternates_by_pixel_and_channel():
    image = make_input(TensorSpec("x", (1, 2, 4, 6)), 0, "checkerboard")
    for axis in (1, 2, 3):
        np.testing.assert_array_equal(np.abs(np.diff(image, axis=axis)), 1.0)


def test_natural_has_the_spectrum_of_photographs():
    image = make_input(TensorSpec("x", (1, 3, 128, 128)), 1, "natural")[0]
    plane = image[0] - image[0].mean()
    amplitude = np.abs(np.fft.fft2(plane))
    radius = 128 * np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    octaves = [np.sqrt((amplitude[(radius >= f) & (radius < 2 * f)] ** 2).mean()) for f in (4, 32)]
    slope = np.log2(octaves[1] / octaves[0]) / 3
    assert -1.3 < slope < -0.8  # white noise has 0
    assert np.corrcoef(image.reshape(3, -1))[0, 1] > 0.8
    assert (image == 0.0).mean() > 0.002
    assert (image == 1.0).mean() > 0.002


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 3, 7), (1, 2, 1, 1), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float16", 0, 1),
        ("float64", 0, 1),
        ("uint8", 0, 255),
        ("int8", 0, 127),
        ("int64", 0, 7),
        ("bool", 0, 1),
    ],
)
def test_any_rank_and_dtype(shape, dtype, low, high):
    for case in test_inputs([TensorSpec("x", shape, dtype)], 5, tuple(KINDS)):
        array = case.feeds["x"]
        assert array.shape == shape
        assert array.dtype == dtype
        assert low <= array.min() <= array.max() <= high


def test_integers_use_their_range():
    assert make_input(TensorSpec("x", (1, 3, 16, 16), "uint8"), 0, "noise").max() > 240
    assert len(np.unique(make_input(TensorSpec("x", (1, 1, 16, 16), "int64"), 0, "noise"))) == 8


@pytest.mark.parametrize(
    ("spec", "kinds", "reason"),
    [
        (TensorSpec("x", (1, 3, "h", "w")), None, "input x:1x3xhxw has dynamic dimensions"),
        (TensorSpec("x", (1, 0, 4)), None, "every dimension must be at least 1"),
        (TensorSpec("x", (1,), "str"), None, "input x has dtype str"),
        (TensorSpec("x", (1,), "complex64"), None, "input x has dtype complex64"),
        (TensorSpec("x", (1,), "bfloat17"), None, "input x has dtype bfloat17"),
        (IMAGE, ["noize"], "did you mean noise"),
    ],
)
def test_refusals_come_at_the_call(spec, kinds, reason):
    with pytest.raises(EdgeupError, match=reason):
        test_inputs([spec], 0, kinds)

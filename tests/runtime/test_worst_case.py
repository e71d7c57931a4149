"""Pictures of the worst case: which case, which channel, and that a wrong pixel is seen."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from edgeup.runtime.inputs import Case
from edgeup.runtime.parity import run_parity
from edgeup.runtime.png import palette_png, rgb_png
from edgeup.runtime.worst_case import INFERNO, LARGEST, VIRIDIS
from edgeup.spec import Tolerance

STRICT = Tolerance(rtol=0.0, atol_of_peak=0.0, reason="planted errors")


def opened(entry) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["png"]))).convert("RGB"))


def worst(cases, wrong, shape=(1, 2, 40, 30)):
    """The views of an output that is ``x`` doubled, and then made ``wrong(kind, array)``."""
    kinds = iter([case.kind for case in cases])

    def candidate(feeds):
        output = feeds["x"] * 2
        wrong(next(kinds), output)
        return {"y": output}

    [parity] = run_parity(lambda feeds: {"y": feeds["x"] * 2}, candidate, cases, STRICT)
    return parity.views


def cases(*kinds: str, shape=(1, 2, 40, 30)) -> list[Case]:
    random = np.random.default_rng(7)
    return [Case(kind, {"x": random.random(shape, np.float32)}) for kind in kinds]


def test_the_worst_case_and_channel_are_shown_and_the_error_is_where_it_is() -> None:
    def wrong(kind, output):
        output[0, 1, 10, 20] += {"a": 0.25, "b": 4.0, "c": 1.0}[kind]

    views = worst(cases("a", "b", "c"), wrong)
    said = views.to_json()
    assert (said["case"], said["channel"], said["channels"], said["scale"]) == ("b", 1, 2, 1)
    shown = {picture["shows"]: picture for picture in said["pictures"]}
    assert list(shown) == ["input", "reference", "candidate", "error"]
    assert shown["input"]["name"] == "x"
    assert shown["error"]["range"] == [0.0, 4.0]
    error = opened(shown["error"])
    assert error.shape == (40, 30, 3)
    brightest = error.sum(axis=2)
    assert np.unravel_index(brightest.argmax(), brightest.shape) == (10, 20)
    assert tuple(error[10, 20]) == tuple(INFERNO[254])
    assert np.ptp(opened(shown["reference"])) > 0


def test_a_large_map_is_shrunk_and_its_one_wrong_pixel_stays() -> None:
    def wrong(kind, output):
        output[0, 0, 301, 77] += 3.0

    views = worst(cases("a", shape=(1, 1, 400, 131)), wrong)
    said = views.to_json()
    assert said["scale"] == 3
    error = next(p for p in said["pictures"] if p["shows"] == "error")
    assert max(error["height"], error["width"]) <= LARGEST
    assert error["range"][1] == pytest.approx(3.0)
    assert tuple(opened(error)[301 // 3, 77 // 3]) == tuple(INFERNO[254])


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("size", [300, 448, 640, 1100])
def test_a_pattern_of_every_other_pixel_is_seen_in_a_large_map(size: int, period: int) -> None:
    rows, columns = np.indices((size, size)) // (period // 2) % 2
    board = (rows ^ columns)[None, None].astype(np.float32)
    [parity] = run_parity(
        lambda feeds: {"y": feeds["x"] * 2},
        lambda feeds: {"y": feeds["x"] * 2},
        [Case("board", {"x": board})],
        STRICT,
    )
    shown = {picture["shows"]: opened(picture) for picture in parity.views.to_json()["pictures"]}
    assert max(shown["input"].shape) <= LARGEST < size
    for name in ("input", "reference", "candidate"):
        colours = shown[name][:-1, :-1]  # an edge's last pixel is that of no whole block
        kinds, counts = np.unique(colours.reshape(-1, 3), axis=0, return_counts=True)
        assert len(kinds) == 2, name
        assert 0.4 < counts[0] / counts.sum() < 0.6
        assert (colours[period:] == colours[:-period]).all()  # with the period that it has


def test_each_side_tells_its_own_range_and_both_have_the_same_colours() -> None:
    def wrong(kind, output):
        output *= 3

    views = worst(cases("a", shape=(1, 1, 400, 131)), wrong)
    shown = {picture["shows"]: picture for picture in views.to_json()["pictures"]}
    values = cases("a", shape=(1, 1, 400, 131))[0].feeds["x"] * 2
    own = [float(values.min()), float(values.max())]
    assert shown["reference"]["values"] == own
    assert shown["candidate"]["values"] == pytest.approx([3 * value for value in own])
    for side in ("reference", "candidate"):
        assert shown[side]["range"] == [own[0], shown["candidate"]["values"][1]]


def test_what_is_not_finite_is_magenta() -> None:
    def wrong(kind, output):
        output[0, 0, 3, 4] = np.nan

    said = worst(cases("a"), wrong).to_json()
    for picture in said["pictures"]:
        strange = tuple(opened(picture)[3, 4]) == (255, 0, 255)
        assert strange == (picture["shows"] in ("candidate", "error")), picture["shows"]


def test_a_vector_has_no_pictures() -> None:
    [parity] = run_parity(
        lambda feeds: {"y": feeds["x"].sum(axis=(2, 3))},
        lambda feeds: {"y": feeds["x"].sum(axis=(2, 3))},
        cases("a"),
        STRICT,
    )
    assert parity.views is None
    assert parity.passed


def test_png_files_are_read_back_as_they_were() -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(rgb_png(pixels)))), pixels)
    indices = random.integers(0, 256, (6, 9), np.uint8)
    read = Image.open(io.BytesIO(palette_png(indices, VIRIDIS))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(read), VIRIDIS[indices])

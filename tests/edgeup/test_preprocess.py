"""Preprocessing: FastDepth's exactly, JSON there and back, and nothing believed of a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeup.cli.preprocess_option import parse_preprocess, parse_range
from edgeup.errors import EdgeupError
from edgeup.preprocess import Preprocess
from edgeup.presets import PRESETS

GOOD = json.loads(PRESETS["fastdepth"].to_json())


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def imresize_nearest(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """scipy.misc.imresize(image, (height, width), 'nearest') of SciPy 1.0: Pillow's resize."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST))


@pytest.mark.parametrize("size", [(224, 224), (128, 160)])
def test_fastdepth_is_val_transform_of_its_dataloader_to_the_bit(size: tuple[int, int]) -> None:
    image = photo(480, 640)
    # imresize by a fraction truncates: (640, 480) * (250.0 / 480) is (333.33, 250).
    width, height = (np.array((640, 480)) * (250.0 / 480)).astype(int)
    assert (height, width) == (250, 333)
    cropped = imresize_nearest(image, height, width)[11 : 11 + 228, 14 : 14 + 304]
    wanted = (imresize_nearest(cropped, *size) / 255).astype(np.float32)
    got = PRESETS["fastdepth"].apply(image, size)
    np.testing.assert_array_equal(got, wanted.transpose(2, 0, 1)[None])


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (1080, 1920), (100, 100), (5, 700)])
def test_fastdepth_takes_a_picture_of_any_aspect(shape: tuple[int, int]) -> None:
    got = PRESETS["fastdepth"].apply(photo(*shape), (224, 224))
    assert got.shape == (1, 3, 224, 224)
    assert np.ptp(got) > 0.5


def test_every_preset_maps_black_and_white_to_what_its_name_says() -> None:
    ends = {}
    for name, preset in PRESETS.items():
        for level in (0, 255):
            flat = np.full((300, 400, 3), level, np.uint8)
            ends.setdefault(name, []).append(preset.apply(flat, (8, 8))[0, :, 3, 3].tolist())
    assert ends["fastdepth"] == [[0, 0, 0], [1, 1, 1]]
    wanted = {
        "fastdepth": [[0, 0, 0], [1, 1, 1]],
        "unit": [[0, 0, 0], [1, 1, 1]],
        "raw": [[0, 0, 0], [255, 255, 255]],
        "minus-one-to-one": [[-1, -1, -1], [1, 1, 1]],
        "imagenet": [[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], [2.2489, 2.42857, 2.64]],
    }
    assert ends.keys() == wanted.keys()
    for name, levels in wanted.items():
        np.testing.assert_allclose(ends[name], levels, rtol=1e-5, atol=1e-6)


def test_channels_layout_and_mean_go_in_the_models_order() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0] = 10  # red
    image[..., 2] = 30  # blue
    caffe = Preprocess(1.0, (1.0, 2.0, 3.0), channels="bgr", layout="nhwc", size="image")
    got = caffe.apply(image)
    assert got.shape == (1, 2, 2, 3)
    assert got[0, 0, 0].tolist() == [30 - 1, 0 - 2, 10 - 3]
    np.testing.assert_allclose(caffe.restore(got[0].transpose(2, 0, 1)), image)
    grey = Preprocess(1.0, channels="grey", size="image").apply(image)
    assert grey.shape == (1, 1, 2, 2)
    np.testing.assert_allclose(grey[0, 0, 0, 0], 0.299 * 10 + 0.114 * 30, rtol=1e-6)


def test_a_crop_is_centred_and_needs_a_large_enough_picture() -> None:
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7, 1).repeat(3, axis=2)
    crop = Preprocess(1.0, crop=(3, 4), size="image")
    # (7 - 4) / 2 is 1.5, which rounds to 2: half to even.
    np.testing.assert_array_equal(crop.apply(image)[0, 0], image[1:4, 2:6, 0])
    with pytest.raises(EdgeupError, match=r"picture is 5x7.*crop 3x8; cover=3x8"):
        replace(crop, crop=(3, 8)).apply(image)


def test_an_open_size_is_not_guessed() -> None:
    with pytest.raises(EdgeupError, match=r"pictures of any size.*add size=HEIGHTxWIDTH"):
        PRESETS["unit"].apply(photo(4, 4))


sides = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    preprocess=st.builds(
        Preprocess,
        scale=positive,
        mean=st.one_of(st.tuples(numbers), st.tuples(numbers, numbers, numbers)),
        std=st.one_of(st.tuples(positive), st.tuples(positive, positive, positive)),
        cover=st.none() | sides,
        crop=st.none() | sides,
        size=st.sampled_from(["model", "image"]) | sides,
        interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
        antialias=st.booleans(),
        channels=st.sampled_from(["rgb", "bgr"]),
        layout=st.sampled_from(["nchw", "nhwc"]),
    )
)
def test_json_there_and_back_is_the_same_value(preprocess: Preprocess) -> None:
    text = preprocess.to_json()
    assert "\n" not in text
    assert Preprocess.from_json(text) == preprocess
    assert str(preprocess)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 4000, "not JSON"),
        (" " * 5000, "5,000 characters"),
        ('{"version": 1, "version": 1}', "given twice"),
        (json.dumps({**GOOD, "version": 2}), "version is not 1"),
        (json.dumps({**GOOD, "version": True}), "version is not 1"),
        (json.dumps({**GOOD, "__class__": "os.system"}), "'__class__' is no field"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "mean"}), "'mean' is missing"),
        (json.dumps({**GOOD, "scale": float("nan")}), "scale nan: wanted a number"),
        (json.dumps({**GOOD, "mean": [float("nan")]}), "mean nan: wanted a number"),
        (json.dumps({**GOOD, "scale": 0}), "scale 0: wanted a number not zero"),
        (json.dumps({**GOOD, "scale": True}), "scale True: wanted a number"),
        (json.dumps({**GOOD, "scale": "1\n\x1b[2J"}), r"scale '1\\n\\x1b\[2J': wanted a number"),
        (json.dumps({**GOOD, "std": [1, 0, 1]}), "std 0: wanted a number not zero"),
        (json.dumps({**GOOD, "std": [1, 1]}), "std .*: wanted 1 or 3 numbers"),
        (json.dumps({**GOOD, "mean": [[0]]}), "mean .*wanted a number"),
        (json.dumps({**GOOD, "mean": 10**30}), "mean 1000"),
        (json.dumps({**GOOD, "size": [10**9, 10**9]}), "size .*at most 67,108,864 pixels"),
        (json.dumps({**GOOD, "size": [224, 224.0]}), "size .*wanted height x width"),
        (json.dumps({**GOOD, "crop": [0, 5]}), "crop .*wanted height x width"),
        (json.dumps({**GOOD, "cover": {"h": 1}}), "cover .*wanted height x width"),
        (json.dumps({**GOOD, "size": "modle"}), "size 'modle'"),
        (json.dumps({**GOOD, "interpolation": "nearset"}), "did you mean nearest"),
        (json.dumps({**GOOD, "layout": ["nchw"]}), "unknown layout"),
        (json.dumps({**GOOD, "antialias": 1}), "antialias 1: wanted true or false"),
        (json.dumps({**GOOD, "channels": "grey", "mean": [0, 0, 0]}), "mean .*wanted 1 number"),
    ],
)
def test_odd_metadata_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason) as refused:
        Preprocess.from_json(text)
    assert str(refused.value).startswith("the metadata edgeup.preprocess cannot be used: ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_an_option_is_a_preset_with_changes_or_all_of_it() -> None:
    fastdepth = PRESETS["fastdepth"]
    assert parse_preprocess("fastdepth").resolve(None) == fastdepth
    assert parse_preprocess("fastdepth,size=128x160,crop=none").resolve(None) == replace(
        fastdepth, size=(128, 160), crop=None
    )
    assert parse_preprocess("stored,size=image").resolve(fastdepth.to_json()) == replace(
        fastdepth, size="image"
    )
    text = "scale=1/255, mean=0.1,0.2,0.3, std=1,2,4, channels=bgr, antialias=false, layout=nhwc"
    assert parse_preprocess(text).resolve("never read") == Preprocess(
        1 / 255, (0.1, 0.2, 0.3), (1, 2, 4), antialias=False, channels="bgr", layout="nhwc"
    )
    assert parse_range("-1:2.5") == (-1.0, 2.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fastdpth", "unknown preset of --preprocess 'fastdpth': did you mean fastdepth"),
        ("mean=0.5", "needs a preset before the changes, or a scale"),
        ("unit,sise=3x3", "unknown key of --preprocess 'sise': did you mean size"),
        ("unit,size=3", "size=3: wanted HEIGHTxWIDTH, model or image"),
        ("unit,scale=1/0", "scale=1/0: wanted a number or a fraction"),
        ("unit,scale=1,2", "scale=1,2: wanted a number"),
        ("unit,scale=nan", "scale nan: wanted a number not zero"),
        ("unit,antialias=maybe", "antialias=maybe: wanted true or false"),
        ("unit,size=3x3,size=4x4", "size is given twice"),
        ("unit,imagenet", "'imagenet' is no key=value"),
        ("stored", "nothing is stored in this model"),
        ("", "unknown preset of --preprocess ''"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(text: str, reason: str) -> None:
    with pytest.raises(EdgeupError, match=reason):
        parse_preprocess(text).resolve(None)

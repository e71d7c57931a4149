"""Which input of a model takes the picture, and the picture as that input wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.preprocess import Preprocess, Size
from edgeup.spec import Array, TensorSpec

FLOATS = ("float32", "float16", "float64")


def picture_input(
    inputs: Sequence[TensorSpec], wanted: str | None, fed: Mapping[str, Path]
) -> TensorSpec:
    """The input for the picture: the one that was named, or the only one that is left.

    Args:
        inputs: of the model.
        wanted: the name that the user gave.
        fed: the inputs that get an array from a file.

    Raises:
        EdgeupError: an unknown name, no input, or others that nothing is given for.
    """
    names = [spec.name for spec in inputs]
    if not names:
        raise EdgeupError("the model has no inputs: there is nothing to show a picture to")
    for name in (*fed, *([wanted] if wanted is not None else [])):
        if name not in names:
            raise unknown("input", name, names)
    if wanted in fed:
        raise EdgeupError(f"--feed {wanted}: this input takes the picture")
    left = [name for name in names if name not in fed]
    if not left:
        raise EdgeupError("every input gets an array with --feed: none is left for the picture")
    chosen = wanted or (left[0] if len(left) == 1 else None)
    if chosen is None or left != [chosen]:
        raise EdgeupError(
            f"the model has {len(names)} inputs, {', '.join(map(str, inputs))}: name the one for "
            f"the picture with --input, and give each other one with --feed NAME=FILE.npy"
        )
    return next(spec for spec in inputs if spec.name == chosen)


def as_input(pixels: Array, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """The picture, prepared and in the input's dtype.

    Raises:
        EdgeupError: the input is no picture in this layout, number of channels or dtype, or the
            preprocessing makes another size.
    """
    _check_dtype(spec, preprocess)
    array = preprocess.apply(pixels, _size(spec, preprocess))
    # uint8 is reached with plain 0-255 values alone, so rounding is all that happens.
    return array.astype(spec.dtype) if spec.dtype in FLOATS else np.rint(array).astype(np.uint8)


def _check_dtype(spec: TensorSpec, preprocess: Preprocess) -> None:
    if spec.dtype in FLOATS:
        return
    if spec.dtype != "uint8":
        raise EdgeupError(
            f"input {spec} is {spec.dtype}, and a picture becomes {', '.join(FLOATS)} or uint8"
        )
    plain = preprocess.scale == 1 and set(preprocess.mean) == {0} and set(preprocess.std) == {1}
    if not plain or preprocess.interpolation == "bicubic":
        raise EdgeupError(
            f"input {spec} is uint8: it takes 0-255 as they are, so scale=1,mean=0,std=1 (preset "
            f"raw), and no bicubic, which overshoots"
        )


def _size(spec: TensorSpec, preprocess: Preprocess) -> Size | None:
    """Height and width that the input says; None where one of them is open."""
    layout = preprocess.layout
    if len(spec.shape) != 4:
        raise EdgeupError(
            f"input {spec} takes no picture: wanted four dimensions ({' '.join(layout)}), it has "
            f"{len(spec.shape)}"
        )
    by_axis = dict(zip(layout, spec.shape, strict=True))
    _check_channels(spec, preprocess, by_axis["c"])
    if isinstance(by_axis["n"], int) and by_axis["n"] != 1:
        raise EdgeupError(f"input {spec} takes {by_axis['n']} pictures at once, and run gives one")
    height, width = by_axis["h"], by_axis["w"]
    if isinstance(preprocess.size, tuple):
        for said, taken in zip(preprocess.size, (height, width), strict=True):
            if isinstance(taken, int) and said != taken:
                raise EdgeupError(
                    f"the preprocessing makes {'x'.join(map(str, preprocess.size))} (height x "
                    f"width), and input {spec} takes {height}x{width}: change it with size=model "
                    f"in --preprocess (--preprocess stored,size=model keeps the rest)"
                )
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _check_channels(spec: TensorSpec, preprocess: Preprocess, channels: int | str) -> None:
    if isinstance(channels, str) or channels == preprocess.depth:
        return
    other = {"nchw": ("nhwc", 3), "nhwc": ("nchw", 1)}[preprocess.layout]
    if spec.shape[other[1]] in (1, 3):
        remedy = f"add layout={other[0]} to --preprocess"
    elif channels in (1, 3):
        remedy = f"add channels={'grey' if channels == 1 else 'rgb'} to --preprocess"
    else:
        remedy = "an input of this many channels is no picture"
    raise EdgeupError(
        f"input {spec} has {channels} channels as {preprocess.layout}, and the preprocessing "
        f"makes {preprocess.depth}: {remedy}"
    )


def load_feeds(files: Mapping[str, Path]) -> dict[str, Array]:
    """Arrays of the other inputs; whoever runs them checks dtypes and shapes.

    Raises:
        EdgeupError: a file is not .npy with one array of numbers.
    """
    feeds = {}
    for name, path in files.items():
        try:
            loaded = np.load(path, allow_pickle=False)
        except Exception as error:  # a damaged header reaches numpy's zip reader and tokenizer
            raise EdgeupError(f"--feed {name}={path} is not read as .npy: {error}") from error
        if not isinstance(loaded, np.ndarray):
            raise EdgeupError(f"--feed {name}={path} holds several arrays; wanted one, as .npy")
        feeds[name] = loaded
    return feeds

"""Strings of the command line to values, once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeup.errors import EdgeupError, unknown
from edgeup.spec import TensorSpec

DTYPES = ("float32", "float16", "float64", "int32", "int64", "uint8", "bool")

_SHAPE = re.compile(r"(?:(?P<name>[A-Za-z_][\w.]*):)?(?P<dims>\[?[^:\[\]]+\]?)(?::(?P<dtype>\w+))?")


def parse_shape(text: str) -> TensorSpec:
    """``1x3x224x224``, ``image:1x3x224x224`` or ``ids:1x16:int64``; also with commas, in [].

    The order is NCHW for images. A name that was not given is the empty string.

    Raises:
        EdgeupError: not of that form, or a dimension is not a positive number.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise _not_a_shape(text)
    dims = re.split(r"[x,×]", match["dims"].strip("[] "))
    if not all(re.fullmatch(r"\s*[1-9]\d{0,8}\s*", dim) for dim in dims):
        raise _not_a_shape(text)
    dtype = match["dtype"] or "float32"
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    return TensorSpec(match["name"] or "", tuple(int(dim) for dim in dims), dtype)


def parse_frozen(text: str) -> TensorSpec:
    """A shape for a model that has its types already.

    Raises:
        EdgeupError: as `parse_shape`; or a dtype is named.
    """
    spec = parse_shape(text)
    match = _SHAPE.fullmatch(text.strip())
    if match is not None and match["dtype"]:
        raise EdgeupError(
            f"--shape {text}: the type of an input is the file's; leave :{match['dtype']} out"
        )
    return spec


def _not_a_shape(text: str) -> EdgeupError:
    return EdgeupError(
        f"{text!r} is not a shape: wanted numbers with x between them, NCHW for an image "
        f"(1x3x224x224), with the input's name before it where there are several "
        f"(image:1x3x224x224)"
    )


def parse_image_shape(texts: Sequence[str], default: tuple[int, int, int, int]) -> TensorSpec:
    """The one NCHW shape of a model that takes a picture.

    Raises:
        EdgeupError: more than one shape, or not four numbers.
    """
    if not texts:
        return TensorSpec("image", default)
    if len(texts) > 1:
        raise EdgeupError(f"{len(texts)} shapes were given, and this model has one input")
    spec = parse_shape(texts[0])
    if len(spec.shape) != 4:
        raise EdgeupError(
            f"--shape {texts[0]} has {len(spec.shape)} numbers, and an image has four: "
            f"batch, channels, height, width (1x3x224x224)"
        )
    if spec.dtype != "float32":
        raise EdgeupError(f"--shape {texts[0]}: this model takes float32, not {spec.dtype}")
    return TensorSpec(spec.name or "image", spec.shape)


def parse_dynamic(texts: Sequence[str]) -> tuple[bool, bool]:
    """``--dynamic batch``, ``--dynamic spatial``, or both with a comma: (batch, spatial).

    Raises:
        EdgeupError: another word.
    """
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if word not in ("batch", "spatial"):
            raise unknown("dynamic dimension", word, ("batch", "spatial"))
    return "batch" in words, "spatial" in words


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """``--option key=value``, once per key.

    Raises:
        EdgeupError: not of that form, or a key twice.
    """
    settings: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign and value):
            raise EdgeupError(f"--option {text!r}: wanted KEY=VALUE, as in padding=same")
        if key in settings:
            raise EdgeupError(f"--option {key} was given twice; leave one out")
        settings[key] = value
    return settings

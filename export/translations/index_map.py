"""Which scale and rounding make ONNX's nearest Resize pick given pixels.

Both PyTorch and ONNX Runtime compute the source pixel of an output pixel in float32, along
different ways, and disagree where the exact coordinate is near a boundary (2 to 82 pixels:
PyTorch takes pixel 0 for output 41, since float32(2 / 82) * 41 < 1). So the map is given, and
this finds a Resize that has it:

1. a scale whose map stays the same when the scale is moved a little, so that any runtime's
   rounding gives it: the ratio of the lengths, or else the middle of all scales that have the
   map and the output length;
2. otherwise the sizes, with which a runtime divides the lengths itself, where ONNX Runtime's
   float32 formula gives the map, before and after it changed what a tie is (its issue 28291);
3. otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeup.export.translations.axes import float32_at_least

IndexMap = npt.NDArray[np.int64]
"""For each output pixel of one axis, the input pixel that it copies."""

# How far a rounding mode looks for a tie: not at all, and in ONNX Runtime since the change.
TIES = (0.0, 1e-6)
# Above a tie's reach, and above three float32 roundings (6e-8 each) of (x + 0.5) / s - 0.5.
_WIGGLE = 4e-6

# nearest_mode -> how far above the pixel's index a coordinate may lie: [from, to].
_REACH = {
    "floor": (0.0, 1.0),
    "ceil": (-1.0, 0.0),
    "round_prefer_floor": (-0.5, 0.5),
    "round_prefer_ceil": (-0.5, 0.5),
}


@dataclass(frozen=True)
class NearestForm:
    """Resize's two attributes that decide a pixel."""

    coordinates: str
    rounding: str


# The commonest first: asymmetric with floor and half_pixel with a rounding are what every
# TensorRT and its DLA take. The last two serve decimation by an odd and by an even integer,
# whose coordinates lie exactly between two pixels in the other forms.
FORMS = (
    NearestForm("asymmetric", "floor"),
    NearestForm("half_pixel", "round_prefer_ceil"),
    NearestForm("half_pixel", "round_prefer_floor"),
    NearestForm("asymmetric", "round_prefer_floor"),
    NearestForm("half_pixel", "ceil"),
    NearestForm("half_pixel", "floor"),
)


def resize_map(
    form: NearestForm,
    length: int,
    size: int,
    scale: float,
    tie: float = 0.0,
    dtype: npt.DTypeLike = np.float32,
) -> IndexMap:
    """The map of a Resize node; in float32, by ONNX Runtime's own formula (upsamplebase.h)."""
    x: npt.NDArray[Any] = np.arange(size, dtype=dtype)
    s = np.asarray(scale, dtype)
    half = np.asarray(0.5, dtype)
    at = x / s if form.coordinates == "asymmetric" else (x + half) / s - half
    at = at.astype(np.float64)  # so that adding a half is exact, as std::round is
    if form.rounding == "floor":
        at = np.floor(at)
    elif form.rounding == "ceil":
        at = np.ceil(at)
    elif form.rounding == "round_prefer_floor":
        at = np.ceil(at - 0.5 - tie)
    else:
        at = np.floor(at + 0.5 + tie)
    pixels: IndexMap = np.clip(at, 0, length - 1).astype(np.int64)
    return pixels


def find_resize(
    maps: Sequence[IndexMap], lengths: Sequence[int]
) -> tuple[NearestForm, tuple[float, ...] | None] | None:
    """The form and the scale per axis whose Resize has the maps.

    The scales are None where Resize has them only when it is given the sizes; the whole is None
    where no Resize has them.
    """
    axes = list(zip(maps, lengths, strict=True))
    if all(len(m) == n for m, n in axes):
        return None  # ONNX Runtime copies when no length changes, whatever the scales say
    for form in FORMS:
        scales = [_safe_scale(form, m, n) for m, n in axes]
        if all(s is not None for s in scales):
            return form, tuple(s for s in scales if s is not None)
    for form in FORMS:
        if all(_sizes_agree(form, m, n) for m, n in axes):
            return form, None
    return None


def _safe_scale(form: NearestForm, wanted: IndexMap, length: int) -> float | None:
    """A scale that gives the map in any arithmetic."""
    size = len(wanted)
    ratio = size / length
    if _is_exact(ratio) and np.array_equal(resize_map(form, length, size, ratio), wanted):
        return ratio
    candidates = (float32_at_least(ratio), _middle_scale(form, wanted, length))
    for scale in candidates:
        if scale is not None and all(
            np.array_equal(resize_map(form, length, size, moved, dtype=np.float64), wanted)
            for moved in (scale, scale * (1 + _WIGGLE), scale * (1 - _WIGGLE))
        ):
            return scale
    return None


def _sizes_agree(form: NearestForm, wanted: IndexMap, length: int) -> bool:
    """Whether ONNX Runtime's rounding happens to give the map from the sizes."""
    size = len(wanted)
    ratio = float(np.float32(size) / np.float32(length))
    return all(np.array_equal(resize_map(form, length, size, ratio, t), wanted) for t in TIES)


def _is_exact(scale: float) -> bool:
    """Whether dividing by the scale and multiplying by its inverse round alike."""
    mantissa, _ = np.frexp(scale)
    return scale.is_integer() or bool(mantissa == 0.5)


def _middle_scale(form: NearestForm, wanted: IndexMap, length: int) -> float | None:
    """The middle of the scales that have the map, and floor(length * scale) pixels.

    With t = 1 / scale the coordinate of x is x * t, or (x + 0.5) * t - 0.5; each pixel bounds t.
    """
    size = len(wanted)
    below, above = _REACH[form.rounding]
    shift = 0.0 if form.coordinates == "asymmetric" else 0.5
    x = np.arange(size, dtype=np.float64) + shift
    low = np.where(wanted == 0, -np.inf, wanted + below + shift)
    high = np.where(wanted == length - 1, np.inf, wanted + above + shift)
    moving = x > 0  # pixel 0 of the asymmetric form does not depend on the scale
    first = max(float(np.max(low[moving] / x[moving], initial=0.0)), length / (size + 1))
    last = min(float(np.min(high[moving] / x[moving], initial=np.inf)), length / size)
    return 2 / (first + last) if first < last else None

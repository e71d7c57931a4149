"""Resizing pictures in NumPy: Pillow's rules, or those of OpenCV and ``torch.nn.functional``.

Written out here because a model's preprocessing must give the same numbers on every machine:
libraries that share the word "bilinear" differ in antialiasing, rounding and borders.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError
from edgeup.spec import Array

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
SIDE_LIMIT = 65_535
"""The longest side of a picture that is taken or made: that of a JPEG file."""
PIXEL_LIMIT = 2**26
"""The most pixels that are made: 67 megapixels, 0.8 GB as float32 RGB."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Box = tuple[slice, slice]


def resize(
    image: Array, size: tuple[int, int], interpolation: str, antialias: bool, box: Box | None = None
) -> Array:
    """Resize ``h w c`` to ``size`` (height, width), then cut out ``box`` (rows, columns).

    nearest copies pixels and keeps the dtype; the others give float32 without rounding between
    the two axes. With ``antialias`` the kernel widens where the picture shrinks and the cubic is
    a = -0.5 (Pillow); without it, two or four taps, a = -0.75 and repeated borders
    (OpenCV, ``F.interpolate``).

    Raises:
        EdgeupError: a side exceeds `SIDE_LIMIT`, or what is made `PIXEL_LIMIT`.
    """
    rows, columns = box or (slice(0, size[0]), slice(0, size[1]))
    made = (rows.stop - rows.start, columns.stop - columns.start)
    if max(size) > SIDE_LIMIT or made[0] * made[1] > PIXEL_LIMIT:
        raise EdgeupError(
            f"a picture of {image.shape[0]}x{image.shape[1]} (height x width) would be resized to "
            f"{size[0]}x{size[1]}; at most {PIXEL_LIMIT:,} pixels are made, {SIDE_LIMIT:,} a side"
        )
    if interpolation == "nearest":
        y = nearest_indices(image.shape[0], size[0])[rows]
        x = nearest_indices(image.shape[1], size[1])[columns]
        return np.asarray(image[y[:, None], x[None, :]])
    passes = [(0, size[0], rows), (1, size[1], columns)]
    if made[0] * image.shape[1] > made[1] * image.shape[0]:
        passes.reverse()  # the picture between the two is the smaller one
    result = image
    for axis, goal, kept in passes:
        if result.shape[axis] == goal:
            result = result[kept] if axis == 0 else result[:, kept]
        else:
            taps = _taps(result.shape[axis], goal, *_KERNELS[interpolation, antialias], antialias)
            result = _filter(result, axis, taps, kept)
    return np.asarray(result, np.float32)


def nearest_indices(source: int, goal: int) -> Indices:
    """The source pixel of each of ``goal`` pixels, as Pillow (hence scipy.misc.imresize) picks it.

    That is ``floor((i + 0.5) * source / goal)``, with the position added up step by step in
    float64 (Pillow, Geometry.c, ImagingScaleAffine). Where it should hit a whole number, the sum
    may stay just below: 480 to 250 picks another row than the formula in 4 of 250 places.
    """
    positions = np.full(goal, source / goal)
    positions[0] *= 0.5
    return np.minimum(np.add.accumulate(positions).astype(np.int64), source - 1)


def _triangle(x: Floats) -> Floats:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(a: float) -> Callable[[Floats], Floats]:
    """Keys' cubic convolution kernel (1981) with parameter ``a``."""

    def kernel(x: Floats) -> Floats:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    return kernel


_KERNELS: dict[tuple[str, bool], tuple[Callable[[Floats], Floats], float]] = {
    ("bilinear", True): (_triangle, 1.0),
    ("bilinear", False): (_triangle, 1.0),
    ("bicubic", True): (_cubic(-0.5), 2.0),
    ("bicubic", False): (_cubic(-0.75), 2.0),
}
"""By interpolation and antialias: the kernel, and how far it reaches to each side."""


def _taps(
    source: int, goal: int, kernel: Callable[[Floats], Floats], reach: float, antialias: bool
) -> tuple[Indices, Floats]:
    """Source pixels and weights of each goal pixel: two arrays ``goal taps``."""
    scale = source / goal
    stretch = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(goal) + 0.5) * scale
    first = np.floor(centres - reach * stretch).astype(np.int64)
    pixels = first[:, None] + np.arange(2 * int(np.ceil(reach * stretch)) + 1)
    weights = kernel((pixels + 0.5 - centres[:, None]) / stretch)
    if antialias:
        weights = np.where((pixels >= 0) & (pixels < source), weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(pixels, 0, source - 1), weights


def _filter(image: Array, axis: int, taps: tuple[Indices, Floats], kept: slice) -> Array:
    """Weighted sums along an axis, tap by tap: a large picture is never held in float."""
    pixels, weights = taps[0][kept], taps[1][kept]
    shape = list(image.shape)
    shape[axis] = len(pixels)
    result = np.zeros(shape, np.float32)
    along = [1, 1, 1]
    along[axis] = -1
    for tap in range(pixels.shape[1]):
        if np.any(weights[:, tap]):
            weight = weights[:, tap].astype(np.float32).reshape(along)
            result += image.take(pixels[:, tap], axis) * weight
    return result

"""A network's output as a picture: a map in colour, classes, or an image."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError, MissingPackageError, unknown
from edgeup.spec import Array

COLORMAPS = ("viridis", "magma", "inferno", "plasma", "cividis", "grey")
"""Perceptually uniform ones of matplotlib, and plain grey."""
KINDS = ("auto", "map", "classes", "image")

_INVALID = (255, 0, 255)  # magenta, which no colour map here holds, for NaN and infinities


@dataclass(frozen=True)
class Drawing:
    """How to draw.

    Attributes:
        kind: "map" (one value per pixel, in colour), "classes" (the largest channel's number, or
            whole numbers, in the PASCAL VOC colours), "image" (1 or 3 channels as they are), or
            "auto": classes for integers and for 2 or more than 3 channels, image for 3, else map.
        colormap: of a map; one of `COLORMAPS`.
        limits: values that get the first and the last colour, or black and white; without them a
            map goes from its least to its greatest value, and an image is in its input's range.
        invert: reverse the colour map, so that near is bright.
    """

    kind: str = "auto"
    colormap: str = "viridis"
    limits: tuple[float, float] | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("kind of drawing", self.kind, KINDS)
        if self.colormap not in COLORMAPS:
            raise unknown("colour map", self.colormap, COLORMAPS)
        if self.limits is not None and not -np.inf < self.limits[0] < self.limits[1] < np.inf:
            raise EdgeupError(
                f"range {self.limits[0]:g}:{self.limits[1]:g}: wanted two finite numbers, the "
                f"lesser first"
            )


@dataclass(frozen=True)
class Drawn:
    """A picture (``h w 3``, uint8), what it shows, and what a reader should know."""

    pixels: Array
    facts: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def draw(
    values: Array, drawing: Drawing, *, channels_last: bool, restore: Callable[[Array], Array]
) -> Drawn:
    """Draw an output ``1 c h w`` (or ``1 h w c``), ``1 h w`` or ``h w``.

    Args:
        values: finite or not; what is not finite is drawn magenta, and said.
        drawing: how.
        channels_last: the output is ``1 h w c``.
        restore: an image ``c h w`` in the input's range to ``h w c`` from 0 to 255.

    Raises:
        EdgeupError: the shape is none of these, or does not fit the kind.
        MissingPackageError: matplotlib, for a coloured map, is not installed.
    """
    planes = _planes(values, channels_last)
    kind = drawing.kind if drawing.kind != "auto" else _kind_of(planes)
    if kind == "classes":
        return _draw_classes(planes)
    if kind == "image":
        return _draw_image(planes, drawing, restore)
    if len(planes) != 1:
        raise EdgeupError(
            f"a map has one value per pixel, and the output has {len(planes)} channels; "
            f"draw it --as classes, or as image where it has 3"
        )
    return _draw_map(planes[0], drawing)


def png_bytes(pixels: Array) -> bytes:
    """``h w 3`` in uint8 as a PNG file.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError("pillow", "image", "writing a picture") from error
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _planes(values: Array, channels_last: bool) -> Array:
    """``c h w``."""
    shape = "x".join(map(str, values.shape)) or "a scalar"
    if values.dtype.kind not in "fiub":
        raise EdgeupError(f"an output of {values.dtype.name} cannot be drawn; --save-raw keeps it")
    if not 2 <= values.ndim <= 4 or (values.ndim == 4 and len(values) != 1) or values.size == 0:
        raise EdgeupError(
            f"an output of {shape} cannot be drawn: wanted 1 c h w, 1 h w or h w; --save-raw keeps "
            f"it, --output-name draws another"
        )
    if values.ndim == 2:
        return values[None]
    if values.ndim == 3:
        return values if len(values) == 1 or not channels_last else values.transpose(2, 0, 1)
    return np.asarray(values[0].transpose(2, 0, 1) if channels_last else values[0])


def _kind_of(planes: Array) -> str:
    if len(planes) == 3:
        return "image"
    return "classes" if len(planes) > 1 or planes.dtype.kind in "iub" else "map"


def _draw_map(values: Array, drawing: Drawing) -> Drawn:
    # In float64: the span of float16 or of large float32 values may exceed their own range.
    plane = values.astype(np.float64)
    finite = np.isfinite(plane)
    notes = _not_finite(finite)
    low, high = drawing.limits or (
        (float(plane[finite].min()), float(plane[finite].max())) if finite.any() else (0.0, 0.0)
    )
    if low == high:
        notes += (f"every value is {low:g}: the picture has one colour",) if finite.any() else ()
        level = np.zeros(plane.shape)
    else:
        level = np.clip((np.where(finite, plane, low) - low) / (high - low), 0.0, 1.0)
    table = _table(drawing.colormap)
    steps = np.rint((1.0 - level if drawing.invert else level) * 255).astype(np.uint8)
    pixels = np.asarray(table[steps])
    pixels[~finite] = _INVALID
    outside = int(np.count_nonzero(finite & ((plane < low) | (plane > high))))
    facts = {
        "kind": "map",
        "colormap": drawing.colormap,
        "inverted": drawing.invert,
        "range": [low, high],
        "outside_range": outside,
    }
    return Drawn(pixels, facts, notes)


def _draw_classes(planes: Array) -> Drawn:
    if len(planes) == 1:
        if planes.dtype.kind not in "iub":
            raise EdgeupError(
                f"classes are whole numbers, or a channel each; the output has one channel of "
                f"{planes.dtype.name}: draw it --as map"
            )
        labels = planes[0].astype(np.int64)
    else:
        labels = np.argmax(planes, axis=0)
    finite = np.asarray(~np.isnan(planes).any(axis=0))
    pixels = _voc_palette()[labels & 255]
    pixels[~finite] = _INVALID
    present = np.unique(labels[finite])
    facts = {"kind": "classes", "classes_present": [int(label) for label in present[:256]]}
    repeated = present.size > 0 and not 0 <= present[0] <= present[-1] <= 255
    note = ("there are 256 colours, and class numbers beyond 0-255: colours repeat",)
    return Drawn(pixels, facts, _not_finite(finite) + (note if repeated else ()))


def _draw_image(planes: Array, drawing: Drawing, restore: Callable[[Array], Array]) -> Drawn:
    if len(planes) not in (1, 3):
        raise EdgeupError(f"an image has 1 or 3 channels, and the output {len(planes)}")
    facts: dict[str, Any] = {"kind": "image"}
    if drawing.limits is not None:
        low, high = drawing.limits
        levels = (planes.astype(np.float64).transpose(1, 2, 0) - low) / (high - low) * 255
        facts["range"] = [low, high]
    elif planes.dtype == np.uint8:
        levels = planes.transpose(1, 2, 0).astype(np.float64)
        facts["range"] = [0, 255]
    else:
        levels = restore(planes)
        facts["range"] = "of the input"
    finite = np.isfinite(levels).all(axis=2)
    rounded = np.rint(np.where(finite[..., None], levels, 0))
    outside = ((rounded < 0) | (rounded > 255)).any(axis=2)
    facts["outside_range"] = int(np.count_nonzero(outside))
    pixels = np.broadcast_to(np.clip(rounded, 0, 255).astype(np.uint8), (*finite.shape, 3)).copy()
    pixels[~finite] = _INVALID
    return Drawn(pixels, facts, _not_finite(finite))


def _not_finite(finite: Array) -> tuple[str, ...]:
    count = int(np.count_nonzero(~finite))
    if not count:
        return ()
    return (f"{count:,} of {finite.size:,} pixels are NaN or infinite; they are drawn magenta",)


def _table(colormap: str) -> Array:
    """256 colours, ``256 3``."""
    if colormap == "grey":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPackageError("matplotlib", "image", f"the colour map {colormap}") from error
    colours = matplotlib.colormaps[colormap](np.arange(256))[:, :3]
    return np.asarray(np.rint(colours * 255), np.uint8)


def _voc_palette() -> Array:
    """The colours of PASCAL VOC: bits of the class number, spread over red, green and blue."""
    label = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((label >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette

"""Pictures of the case in which two models differ most: input, both outputs, where the error is.

A comparison streams, so each case is drawn small as it passes, and the worst is picked afterwards.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from edgeup.runtime.parity_report import CaseParity
from edgeup.runtime.png import palette_png, rgb_png
from edgeup.spec import Array, Feeds

LARGEST = 224
"""Pixels of a picture's longer side: all of them lie in a report, as text."""

_Badness: TypeAlias = "tuple[bool, tuple[bool, float, float]]"


@dataclass(frozen=True, eq=False)
class Views:
    """One output in one case, small: planes ``h w`` of the channel with the largest error.

    ``scale``: of so many pixels of a side one is shown, see `_sampled`; ``values``: the smallest
    and the largest of the reference and of the candidate, before they were made small.
    """

    case: str
    channel: int
    channels: int
    scale: int
    input: tuple[str, Array] | None
    reference: Array
    candidate: Array
    error: Array
    values: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """The pictures as PNG in base64, with what they show."""
        return {
            "case": self.case,
            "channel": self.channel,
            "channels": self.channels,
            "scale": self.scale,
            "pictures": _pictures(self),
        }


class WorstCases:
    """Keeps, by output, the views of the worst case so far."""

    def __init__(self) -> None:
        self._worst: dict[str, tuple[_Badness, Views | None]] = {}

    def see(
        self,
        feeds: Feeds,
        reference: Mapping[str, Array],
        candidate: Mapping[str, Array],
        verdicts: Mapping[str, CaseParity],
    ) -> None:
        """Take one case, and what was found of each output in it."""
        for name, verdict in verdicts.items():
            badness = (not verdict.unstable, verdict.severity())
            if name not in self._worst or badness > self._worst[name][0]:
                views = _views(verdict.kind, feeds, reference.get(name), candidate.get(name))
                self._worst[name] = badness, views

    def of(self, name: str) -> Views | None:
        """None where the output has no height and width, or cannot be compared."""
        return self._worst[name][1]


def _views(kind: str, feeds: Feeds, wanted: Array | None, got: Array | None) -> Views | None:
    if wanted is None or got is None or got.shape != wanted.shape:
        return None
    if wanted.ndim not in (3, 4) or not wanted.size:
        return None
    if wanted.dtype.kind not in "fiub" or min(wanted.shape[-2:]) < 2:
        return None
    planes = wanted.reshape(-1, *wanted.shape[-2:]).astype(np.float64)
    others = got.reshape(-1, *got.shape[-2:]).astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        error = np.abs(others - planes)
    error[np.isnan(error)] = np.inf
    error[(planes == others) | (np.isnan(planes) & np.isnan(others))] = 0.0
    channel = int(error.max(axis=(1, 2)).argmax())
    scale = _scale(wanted)
    sides = {"reference": planes[channel], "candidate": others[channel]}
    return Views(
        kind,
        channel,
        len(planes),
        scale,
        _input_view(feeds),
        _sampled(sides["reference"], scale),
        _sampled(sides["candidate"], scale),
        _largest(error[channel], scale),
        {side: found for side, plane in sides.items() if (found := _range(plane)) is not None},
    )


def _input_view(feeds: Feeds) -> tuple[str, Array] | None:
    """Name and ``h w c`` (1 or 3 channels) of the first input that is an image."""
    for name, array in feeds.items():
        if array.ndim == 4 and array.dtype.kind in "fiub" and min(array.shape[2:]) >= 2:
            planes = array[0, :3] if array.shape[1] >= 3 else array[0, :1]
            scale = _scale(array)
            small = [_sampled(plane.astype(np.float64), scale) for plane in planes]
            return name, np.stack(small, axis=-1)
    return None


def _scale(array: Array) -> int:
    """How much smaller a side of the picture is: always odd, see `_sampled`."""
    return math.ceil(int(max(array.shape[-2:])) / LARGEST) | 1


def _sampled(plane: Array, scale: int) -> Array:
    """The middle pixel of each block of ``scale`` by ``scale``; an edge's last ones are repeated.

    A mean would show a checkerboard as plain grey, and every second pixel as plain black or white.
    What resizes, strides and zero-insertion leave behind repeats every 2, 4, 8 pixels; an odd step
    has no divisor in common with these, so that it meets every pixel of such a pattern in turn: it
    is drawn with the period that it has, in pixels of the picture.
    """
    rows, columns = (
        np.minimum(np.arange(scale // 2, size + scale // 2, scale), size - 1)
        for size in plane.shape
    )
    return plane[np.ix_(rows, columns)]  # a copy: a view would keep the other channels


def _largest(error: Array, scale: int) -> Array:
    """The largest of each such block: the one wrong pixel of many must not be left out."""
    height, width = error.shape
    padded = np.pad(error, ((0, -height % scale), (0, -width % scale)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // scale, scale, padded.shape[1] // scale, scale)
    return np.asarray(blocks.max(axis=(1, 3)))


def _range(plane: Array) -> tuple[float, float] | None:
    """Of what is finite."""
    finite = plane[np.isfinite(plane)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _pictures(views: Views) -> list[dict[str, Any]]:
    both = views.values.values()
    limits = (min(low for low, _ in both), max(high for _, high in both)) if both else (0.0, 0.0)
    pictures = [
        {
            **_map(side, plane, limits, VIRIDIS),
            **({"values": list(views.values[side])} if side in views.values else {}),
        }
        for side, plane in (("reference", views.reference), ("candidate", views.candidate))
    ]
    worst = _range(views.error)
    pictures.append(_map("error", views.error, (0.0, worst[1] if worst else 0.0), INFERNO))
    if views.input is not None:
        name, planes = views.input
        pictures.insert(0, {"name": name, **_picture("input", planes, _image(planes))})
    return pictures


def _image(planes: Array) -> bytes:
    finite = np.where(np.isfinite(planes), planes, 0.0)
    # As it would be seen: what lies in 0 to 1 is not stretched.
    low, high = min(finite.min(), 0.0), max(finite.max(), 1.0)
    grey = np.rint((finite - low) / (high - low) * 255).astype(np.uint8)
    return rgb_png(np.broadcast_to(grey, (*grey.shape[:2], 3)))


def _map(what: str, plane: Array, limits: tuple[float, float], colours: Array) -> dict[str, Any]:
    """In colour between the limits; what is not finite in magenta, the last colour."""
    low, high = limits
    finite = np.isfinite(plane)
    level = (np.where(finite, plane, low) - low) / ((high - low) or 1.0)
    indices = np.rint(np.clip(level, 0, 1) * (_STRANGE - 1)).astype(np.uint8)
    indices[~finite] = _STRANGE
    return {**_picture(what, plane, palette_png(indices, colours)), "range": [low, high]}


def _picture(what: str, plane: Array, png: bytes) -> dict[str, Any]:
    return {
        "shows": what,
        "height": plane.shape[0],
        "width": plane.shape[1],
        "png": base64.b64encode(png).decode("ascii"),
    }


_STRANGE = 255


def _colours(*anchors: str) -> Array:
    """A table of 256 colours through anchors at equal steps, and magenta for what is no number."""
    points = np.array([[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in anchors])
    at = np.linspace(0, len(points) - 1, _STRANGE)
    lines = [np.interp(at, np.arange(len(points)), points[:, channel]) for channel in range(3)]
    table = np.rint(np.stack(lines, axis=-1)).astype(np.uint8)
    return np.concatenate([table, np.array([[255, 0, 255]], np.uint8)])


# Nine colours of matplotlib's tables at equal steps (Smith and van der Walt 2015).
VIRIDIS = _colours(
    *("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")
)
INFERNO = _colours(
    *("000004", "210c4a", "57106e", "8a226a", "bc3754", "e45a31", "f98e09", "f9cb35", "fcffa4")
)

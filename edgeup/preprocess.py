"""From a picture to a network's input: a value that is stored with the model.

The ONNX metadata of a model carries it as JSON under `PREPROCESS_KEY`. A file is not trusted:
what it says is checked like what a user types.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.preprocess_checks import check_numbers, check_size, strict_object
from edgeup.resample import INTERPOLATIONS, resize
from edgeup.spec import Array

PREPROCESS_KEY = "edgeup.preprocess"
VERSION = 1

Size = tuple[int, int]
CHANNELS = ("rgb", "bgr", "grey")
LAYOUTS = ("nchw", "nhwc")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and OpenCV's grey


@dataclass(frozen=True)
class Preprocess:
    """What is done to a picture (RGB, 0 to 255) before a network sees it, in this order.

    Attributes:
        cover: resize, keeping the aspect, to the smallest picture that covers this height and
            width; the other side is cut off to a whole number (as scipy.misc.imresize does).
        crop: cut this height and width out of the centre.
        size: resize to this height and width whatever the aspect; "model": to what the model's
            input says; "image": leave the size as it is.
        interpolation: of both resizes; see `edgeup.resample.resize`.
        antialias: for bilinear and bicubic; see there.
        channels: "rgb", "bgr", or "grey" for the one luma channel of BT.601.
        scale, mean, std: ``(x * scale - mean) / std``; mean and std hold one number for all
            channels, or one for each in the order of ``channels``.
        layout: "nchw" or "nhwc".

    Raises:
        EdgeupError: a value that is none of these; the line begins with the field's name.
    """

    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    cover: Size | None = None
    crop: Size | None = None
    size: Size | str = "model"
    interpolation: str = "bilinear"
    antialias: bool = True
    channels: str = "rgb"
    layout: str = "nchw"

    def __post_init__(self) -> None:
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name))[:40], known)
        if type(self.antialias) is not bool:
            raise EdgeupError(f"antialias {self.antialias!r}: wanted true or false")
        for name in ("cover", "crop"):
            if getattr(self, name) is not None:
                check_size(name, getattr(self, name), "none")
        if self.size not in ("model", "image"):
            check_size("size", self.size, "model or image")
        check_numbers("scale", (self.scale,), (1,), zero=False)
        counts = (1,) if self.channels == "grey" else (1, 3)
        check_numbers("mean", self.mean, counts, zero=True)
        check_numbers("std", self.std, counts, zero=False)

    @property
    def depth(self) -> int:
        """The number of channels that come out."""
        return 1 if self.channels == "grey" else 3

    def apply(self, image: Array, model_size: Size | None = None) -> Array:
        """The network's input as float32, ``1 c h w`` or ``1 h w c``.

        Args:
            image: ``h w 3``, RGB from 0 to 255, of any number type; not changed.
            model_size: height and width that the model's input says.

        Raises:
            EdgeupError: the picture is smaller than the crop, no size is known, or a size on the
                way is beyond what is handled.
        """
        pixels = self._reshaped(image, model_size)
        if self.channels == "grey":
            planes = [sum(w * pixels[..., c].astype(np.float64) for c, w in enumerate(_LUMA))]
        else:
            order = (0, 1, 2) if self.channels == "rgb" else (2, 1, 0)
            planes = [pixels[..., c] for c in order]
        result = np.empty((1, len(planes), *pixels.shape[:2]), np.float32)
        for index, (plane, mean, std) in enumerate(zip(planes, *self._mean_std(), strict=True)):
            # In float64, plane by plane: NumPy scripts of old divide in float64 and then round.
            result[0, index] = (np.asarray(plane, np.float64) * self.scale - mean) / std
        return (
            result if self.layout == "nchw" else np.ascontiguousarray(result.transpose(0, 2, 3, 1))
        )

    def restore(self, planes: Array) -> Array:
        """Undo values and channel order: ``c h w`` of a network to ``h w c``, RGB from 0 to 255.

        Raises:
            EdgeupError: another number of channels than `depth`.
        """
        if len(planes) != self.depth:
            raise EdgeupError(
                f"an output of {len(planes)} channels is no picture in {self.channels}; "
                f"draw it otherwise with --as"
            )
        order = range(self.depth) if self.channels != "bgr" else (2, 1, 0)
        restored = [
            (np.asarray(plane, np.float64) * std + mean) / self.scale
            for plane, mean, std in zip(planes, *self._mean_std(), strict=True)
        ]
        return np.stack([restored[c] for c in order], axis=-1)

    def _mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (
            self.mean * (self.depth // len(self.mean)),
            self.std * (self.depth // len(self.std)),
        )

    def _reshaped(self, image: Array, model_size: Size | None) -> Array:
        whole = (image.shape[0], image.shape[1])
        goal = _covering(whole, self.cover) if self.cover else whole
        box = None
        if self.crop:
            box = _centre(goal, self.crop)
        if goal != whole:
            image = resize(image, goal, self.interpolation, self.antialias, box)
        elif box:
            image = image[box]
        last = self._last_size(model_size)
        if last is not None and last != image.shape[:2]:
            image = resize(image, last, self.interpolation, self.antialias)
        return image

    def _last_size(self, model_size: Size | None) -> Size | None:
        if self.size == "image":
            return None
        if not isinstance(self.size, str):
            return self.size
        if model_size is None:
            raise EdgeupError(
                "the model takes pictures of any size and the preprocessing names none: add "
                "size=HEIGHTxWIDTH (or size=image) to --preprocess"
            )
        return model_size

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it back."""
        return json.dumps({"version": VERSION, **self.as_dict()}, allow_nan=False)

    def as_dict(self) -> dict[str, Any]:
        """Every field, with lists for tuples."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, text: str) -> Preprocess:
        """Read what `to_json` wrote, trusting nothing.

        Raises:
            EdgeupError: not this form of JSON, another version, a field that is missing, unknown,
                given twice or out of bounds.
        """
        try:
            said = strict_object(text)
            version = said.pop("version", None)
            if type(version) is not int or version != VERSION:
                raise EdgeupError(f"its version is not {VERSION}; a newer edgeup may read it")
            names = [field.name for field in fields(cls)]
            if set(said) != set(names):
                odd = sorted(set(said) ^ set(names))[0]
                raise EdgeupError(f"{odd[:40]!r} is {'missing' if odd in names else 'no field'}")
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in said.items()
            }
            return cls(**values)
        except EdgeupError as error:
            raise EdgeupError(f"the metadata {PREPROCESS_KEY} cannot be used: {error}") from error

    def __str__(self) -> str:
        parts = []
        if self.cover:
            parts.append(f"resize to cover {_by(self.cover)}")
        if self.crop:
            parts.append(f"centre crop {_by(self.crop)}")
        if self.size != "image":
            size = "the model's size" if isinstance(self.size, str) else _by(self.size)
            parts.append(f"resize to {size}")
        plain = self.interpolation == "nearest" or self.antialias
        smooth = "" if plain else " without antialiasing"
        parts[-1:] = [f"{part} ({self.interpolation}{smooth})" for part in parts[-1:]]
        parts.append(f"x {_scale(self.scale)}")
        if set(self.mean) != {0.0}:
            parts.append(f"- mean {'/'.join(f'{m:g}' for m in self.mean)}")
        if set(self.std) != {1.0}:
            parts.append(f"/ std {'/'.join(f'{s:g}' for s in self.std)}")
        return ", ".join([*parts, self.channels.upper(), self.layout.upper()])


_WORDS = {"interpolation": INTERPOLATIONS, "channels": CHANNELS, "layout": LAYOUTS}


def _covering(size: Size, wanted: Size) -> Size:
    """In whole numbers, since a float such as 480 * (250 / 480) may fall below 250."""
    (height, width), (least_h, least_w) = size, wanted
    if least_h * width >= least_w * height:
        return least_h, width * least_h // height
    return height * least_w // width, least_w


def _centre(size: Size, crop: Size) -> tuple[slice, slice]:
    if crop[0] > size[0] or crop[1] > size[1]:
        raise EdgeupError(
            f"the picture is {_by(size)} (height x width) and the crop {_by(crop)}; "
            f"cover={_by(crop)} in --preprocess makes it large enough first"
        )
    # round() is Python 3's, half to even, as in FastDepth's transforms.py: 14.5 gives 14.
    top, left = (round((whole - part) / 2) for whole, part in zip(size, crop, strict=True))
    return slice(top, top + crop[0]), slice(left, left + crop[1])


def _by(size: tuple[Any, ...]) -> str:
    return "x".join(str(n) for n in size)


def _scale(scale: float) -> str:
    inverse = 1 / scale
    whole = round(inverse, 3)
    return f"1/{whole:g}" if scale != 1 and math.isclose(inverse, whole) else f"{scale:g}"

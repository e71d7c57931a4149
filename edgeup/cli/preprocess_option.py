"""`--preprocess`: a preset, and changes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeup.errors import EdgeupError, unknown
from edgeup.presets import PreprocessChoice


def parse_preprocess(text: str) -> PreprocessChoice:
    """``fastdepth``, ``fastdepth,size=128x160`` or ``scale=1/255,mean=0.5,0.4,0.3,channels=bgr``.

    A word without ``=`` that is not the first belongs to the list before it. Whether a preset
    exists and values are in bounds is checked where the choice is resolved.

    Raises:
        EdgeupError: an unknown or repeated key, or a value that does not parse.
    """
    base: str | None = None
    said: dict[str, list[str]] = {}
    key = None
    for index, word in enumerate(part.strip() for part in text.split(",")):
        name, equals, value = (part.strip() for part in word.partition("="))
        if equals:
            key = name
            if key not in _PARSERS:
                raise unknown("key of --preprocess", key, _PARSERS)
            if key in said:
                raise EdgeupError(f"--preprocess {text}: {key} is given twice")
            said[key] = [value]
        elif index == 0:
            base = word
        elif key is not None:
            said[key].append(word)
        else:
            raise EdgeupError(
                f"--preprocess {text}: {word!r} is no key=value; one preset, then changes to it"
            )
    return PreprocessChoice(base, {key: _value(key, words) for key, words in said.items()})


def parse_range(text: str) -> tuple[float, float]:
    """``MIN:MAX``.

    Raises:
        EdgeupError: not two numbers.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise EdgeupError(f"--range {text}: wanted MIN:MAX, such as 0.5:10") from error
    return low, high


def _value(key: str, words: list[str]) -> Any:
    parse, form = _PARSERS[key]
    try:
        return parse(words)
    except (ValueError, ZeroDivisionError) as error:
        raise EdgeupError(f"--preprocess {key}={','.join(words)}: wanted {form}") from error


def _number(word: str) -> float:
    """A number, or a fraction such as 1/255."""
    above, slash, below = word.partition("/")
    return float(above) / float(below) if slash else float(above)


def _size_or(named: dict[str, Any]) -> Callable[[list[str]], Any]:
    def parse(words: list[str]) -> Any:
        word = _one(words).lower()
        return named[word] if word in named else _size(word)

    return parse


def _size(word: str) -> tuple[int, int]:
    height, width = (int(part) for part in word.split("x"))
    return height, width


def _one(words: list[str]) -> str:
    [word] = words
    return word


def _truth(words: list[str]) -> bool:
    return ("false", "true").index(_one(words).lower()) == 1


_PARSERS: dict[str, tuple[Callable[[list[str]], Any], str]] = {
    "cover": (_size_or({"none": None}), "HEIGHTxWIDTH or none"),
    "crop": (_size_or({"none": None}), "HEIGHTxWIDTH or none"),
    "size": (_size_or({"model": "model", "image": "image"}), "HEIGHTxWIDTH, model or image"),
    "interpolation": (_one, "nearest, bilinear or bicubic"),
    "antialias": (_truth, "true or false"),
    "channels": (_one, "rgb, bgr or grey"),
    "layout": (_one, "nchw or nhwc"),
    "scale": (lambda words: _number(_one(words)), "a number or a fraction (1/255)"),
    "mean": (lambda words: tuple(map(_number, words)), "numbers with commas between them"),
    "std": (lambda words: tuple(map(_number, words)), "numbers with commas between them"),
}

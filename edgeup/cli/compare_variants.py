"""What `edgeup compare` compares: decoders x precisions x shapes, each with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from edgeup.errors import EdgeupError, unknown

PRECISIONS = ("fp32", "fp16")
"""Those that ONNX Runtime runs on a CPU; it has no kernels for bf16."""


@dataclass(frozen=True)
class Variant:
    """One model of the comparison; ``shape`` None is the model's own."""

    decoder: str
    precision: str
    shape: str | None


def variants(
    decoders: Sequence[str], precisions: Sequence[str], shapes: Sequence[str]
) -> dict[str, Variant]:
    """By name: the decoder, with precision and shape where there are several."""
    found = {}
    for decoder, precision, shape in product(decoders, precisions, shapes or (None,)):
        more = [precision] if len(precisions) > 1 else []
        more += [str(shape)] if len(shapes) > 1 else []
        found[" ".join([decoder, *more])] = Variant(decoder, precision, shape)
    return found


def choose_precisions(texts: Sequence[str]) -> list[str]:
    """Names with commas between them; fp32 where there is none.

    Raises:
        EdgeupError: a name that there is not, or one that is there twice.
    """
    names = split(texts, "--precision") or ["fp32"]
    for name in names:
        if name not in PRECISIONS:
            raise unknown("precision", name, PRECISIONS)
    return names


def split(texts: Sequence[str], option: str) -> list[str]:
    """What stands between commas.

    Raises:
        EdgeupError: the same twice.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if names.count(name) > 1:
            raise EdgeupError(f"{option} names {name} twice; leave one out")
    return names

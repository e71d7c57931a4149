"""What `edgeup compare` compares: decoders x precisions x shapes x backends, each with a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from edgeup.errors import EdgeupError, unknown

PRECISIONS = ("fp32", "fp16")
"""Those that ONNX Runtime runs on a CPU; it has no kernels for bf16."""


@dataclass(frozen=True)
class Variant:
    """One network of the comparison; ``shape`` None is the model's own."""

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


def rows(name: str, backends: Sequence[str], left_out: Sequence[str]) -> dict[str, str]:
    """For each backend that runs a variant, the name in the report; the backend where several."""
    several = len(backends) > 1
    return {
        backend: f"{name} {backend}" if several else name
        for backend in backends
        if backend not in left_out
    }


def choose(texts: Sequence[str], option: str, known: Sequence[str], default: str) -> list[str]:
    """Names with commas between them; the default where there is none.

    Raises:
        EdgeupError: a name that there is not, or one that is there twice.
    """
    names = split(texts, option) or [default]
    for name in names:
        if name not in known:
            raise unknown(option.removeprefix("--"), name, known)
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


def choose_decoders(texts: Sequence[str], model: str, known: Sequence[str]) -> list[str]:
    """Names with commas between them, or ``all``.

    Raises:
        EdgeupError: a name that there is not, or one that is there twice; ``all`` beside others;
            a model without a choice of decoders.
    """
    if not known:
        raise EdgeupError(f"{model} has no choice of decoders, so there is nothing to compare")
    names = split(texts, "--decoder")
    if names == ["all"]:
        return list(known)
    if "all" in names:
        raise EdgeupError("--decoder all is every decoder; leave the other names out")
    for name in names:
        if name not in known:
            raise unknown("decoder", name, (*known, "all"))
    return names

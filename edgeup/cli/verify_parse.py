"""The options of `edgeup verify` as values: per-output numbers, and what a side is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgeup.errors import EdgeupError, unknown

if TYPE_CHECKING:
    from edgeup.pipeline.subject import Subject
    from edgeup.pipeline.verify.sides import SideRequest
    from edgeup.pipeline.verify.tolerance import ToleranceRequest
    from edgeup.spec import TensorSpec

T = TypeVar("T")

WEIGHT_SUFFIXES = (".pt", ".pth", ".tar", ".safetensors", ".ckpt")


def parse_side(
    text: str, *, weights: Path | None, seed: int, shapes: Sequence[str] = ()
) -> SideRequest:
    """A file by its suffix, a network as ``fastdepth:nnconv5``, or ``package.module:name``.

    Raises:
        EdgeupError: none of these, or weights for what takes none.
    """
    from edgeup.pipeline.verify.sides import SUFFIXES, FileSide

    path = Path(text)
    if path.suffix.lower() in SUFFIXES or path.is_file():
        if path.suffix.lower() in WEIGHT_SUFFIXES:
            raise EdgeupError(
                f"{text} holds weights: name the network that they are for, and give the file "
                f"with --weights (edgeup verify fastdepth:nnconv5 ... --weights {path.name})"
            )
        return FileSide(path)
    if not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", text):
        raise EdgeupError(
            f"{text!r} is no file with one of {', '.join(SUFFIXES)}, no network such as "
            f"fastdepth:nnconv5, and no package.module:name"
        )
    return _model(text, weights, seed, shapes)


def _model(text: str, weights: Path | None, seed: int, shapes: Sequence[str]) -> SideRequest:
    from edgeup.models.networks import NETWORKS
    from edgeup.pipeline.verify.sides import SUFFIXES, ModuleSide

    name, _, part = text.partition(":")
    if name in NETWORKS:
        return ModuleSide(text, _network(name, part, weights, seed, shapes))
    if not part:
        raise unknown("file or network", text, [*NETWORKS, *(f"FILE{end}" for end in SUFFIXES)])

    def own(specs: Sequence[TensorSpec]) -> Subject:
        from edgeup.cli.parse import parse_shape
        from edgeup.pipeline.user_module import user_subject

        return user_subject(text, [parse_shape(one) for one in shapes] or specs, seed)

    return ModuleSide(text, own)


def _network(
    name: str, part: str, weights: Path | None, seed: int, shapes: Sequence[str]
) -> Callable[[Sequence[TensorSpec]], Subject]:
    """``part`` is a decoder, for FastDepth also a published preset, or empty."""

    def build(specs: Sequence[TensorSpec]) -> Subject:
        from edgeup.cli.named import NamedModel, named_subject
        from edgeup.models.catalog import PRESETS

        is_preset = name == "fastdepth" and part in PRESETS
        named = NamedModel(
            model=name,
            preset=part if is_preset else None,
            decoder=None if is_preset or not part else part,
            weights=weights,
            seed=seed,
        )
        texts = shapes or ["x".join(map(str, spec.shape)) for spec in specs]
        return named_subject(named, (), texts)

    return build


def takes_weights(text: str) -> bool:
    """Whether that names a network of edgeup's."""
    from edgeup.models.networks import NETWORKS

    return text.partition(":")[0] in NETWORKS and not Path(text).is_file()


def parse_kinds(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    """``--kinds natural,noise``; None for all of them.

    Raises:
        EdgeupError: no such kind, or one twice.
    """
    if not texts:
        return None
    from edgeup.runtime.inputs import KINDS

    kinds = [word.strip() for text in texts for word in text.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of input", kind, KINDS)
        if kinds.count(kind) > 1:
            raise EdgeupError(f"--kinds: {kind} is given twice")
    return tuple(kinds)


def parse_tolerances(
    rtol: Sequence[str] | None,
    atol: Sequence[str] | None,
    statistics: Sequence[str] | None,
    quantiles: Sequence[str] | None,
) -> ToleranceRequest:
    """``--rtol 1e-3 --rtol out0:1e-4``, or both with a comma or a space; likewise the others.

    Raises:
        EdgeupError: not a number of 0 or more, an unknown statistic, a name given twice.
    """
    from edgeup.pipeline.verify.tolerance import ToleranceRequest
    from edgeup.runtime.error_statistics import DEFAULT_QUANTILE, ELEMWISE, NAMES, QUANTILE

    def statistic(word: str) -> str:
        if word not in NAMES:
            raise unknown("error statistic", word, NAMES)
        return word

    shares = _per_output("--error-quantile", quantiles, _share)
    chosen = _per_output("--check-error-stat", statistics, statistic)
    if shares and QUANTILE not in chosen.values():
        raise EdgeupError("--error-quantile goes with --check-error-stat quantile")
    judged = {}
    for name in (*chosen, *(name for name in shares if name not in chosen)):
        word = chosen.get(name, chosen.get("", ELEMWISE))
        if word == QUANTILE:
            word = f"{QUANTILE}:{shares.get(name, shares.get('', DEFAULT_QUANTILE))}"
        elif name and name in shares:
            raise EdgeupError(
                f"--error-quantile {name}: that output is judged by {word}; wanted "
                f"--check-error-stat {name}:{QUANTILE} too"
            )
        if word != ELEMWISE or name in chosen:
            judged[name] = word
    return ToleranceRequest(
        rtol=_per_output("--rtol", rtol, _tolerance),
        atol=_per_output("--atol", atol, _tolerance),
        statistic=judged,
    )


def _per_output(
    option: str, texts: Sequence[str] | None, parse: Callable[[str], T]
) -> dict[str, T]:
    """By output's name, which may hold colons itself; the empty name for all others."""
    said: dict[str, T] = {}
    for word in (word for text in texts or () for word in re.split(r"[,\s]+", text.strip())):
        name, _, value = word.rpartition(":")
        if name in said:
            raise EdgeupError(f"{option} is given twice for {name or 'all outputs'}")
        try:
            said[name] = parse(value)
        except ValueError as error:
            raise EdgeupError(
                f"{option} {word}: wanted {error}, or one for an output (out0:...)"
            ) from error
    return said


def _tolerance(text: str) -> float:
    number = _number(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("a number of 0 or more, such as 1e-4")
    return number


def _share(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1:
        raise ValueError("a number from 0 to 1, such as 0.95")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

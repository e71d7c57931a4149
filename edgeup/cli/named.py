"""A model of edgeup's own, from the options that name it; `export` and `compare` share this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.cli.parse import parse_image_shape, parse_settings, parse_shape
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from edgeup.pipeline.subject import Subject

FASTDEPTH_SHAPE = (1, 3, 224, 224)


@dataclass(frozen=True)
class NamedModel:
    """The options that name a model, as they were given."""

    model: str
    preset: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    skip: str | None = None
    weights: Path | None = None
    seed: int = 0


def named_subject(named: NamedModel, options: Sequence[str], shapes: Sequence[str]) -> Subject:
    """Build the model that was named.

    Raises:
        EdgeupError: a name, value or shape that does not fit.
        MissingPackageError: torch is not installed.
    """
    if named.model == "fastdepth":
        return _fastdepth(named, options, shapes)
    from edgeup.pipeline.networks import NetworkChoice, network_subject

    for option in ("preset", "skip"):
        if getattr(named, option) is not None:
            raise EdgeupError(f"--{option} is FastDepth's; {named.model} has none, leave it out")
    if len(shapes) > 1:
        raise EdgeupError(f"{len(shapes)} shapes were given, and {named.model} has one input")
    choice = NetworkChoice(
        name=named.model,
        decoder=named.decoder,
        encoder=named.encoder,
        options=parse_settings(options),
        weights=named.weights,
        seed=named.seed,
    )
    return network_subject(choice, parse_shape(shapes[0]) if shapes else None)


def _fastdepth(named: NamedModel, options: Sequence[str], shapes: Sequence[str]) -> Subject:
    from edgeup.pipeline.fastdepth import FastDepthChoice, fastdepth_subject

    if options:
        raise EdgeupError(
            f"--option {options[0]}: FastDepth is chosen by --preset, --encoder, --decoder and "
            f"--skip; leave --option out"
        )
    choice = FastDepthChoice(
        named.preset, named.encoder, named.decoder, named.skip, named.weights, named.seed
    )
    return fastdepth_subject(choice, parse_image_shape(shapes, FASTDEPTH_SHAPE))

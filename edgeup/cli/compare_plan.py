"""From the options of `edgeup compare` to what it does; what cannot be is refused here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgeup.cli.compare_variants import (
    PRECISIONS,
    Variant,
    choose,
    choose_decoders,
    rows,
    split,
    variants,
)
from edgeup.cli.named import NamedModel, named_subject
from edgeup.errors import EdgeupError
from edgeup.pipeline.compare.request import BACKENDS, CompareRequest, Entrant
from edgeup.targets import Target, find_target

if TYPE_CHECKING:
    from edgeup.pipeline.subject import Subject


@dataclass(frozen=True)
class Asked:
    """The options as they were given; see ``edgeup compare --help``."""

    decoder: Sequence[str]
    model: str
    encoder: str | None
    skip: str | None
    option: Sequence[str]
    shape: Sequence[str]
    precision: Sequence[str]
    backend: Sequence[str]
    target: str
    threads: int | None
    duration: float
    seed: int


def plan(asked: Asked) -> tuple[list[Entrant], CompareRequest]:
    """Who takes part, and how they are compared.

    Raises:
        EdgeupError: a name that there is not, or that is there twice; a combination that cannot
            be, or a backend that this machine cannot run; nothing remains to be compared.
    """
    from edgeup.models.networks import find_network
    from edgeup.pipeline.compare.engine import check_engines
    from edgeup.pipeline.precision.lower import check_precision
    from edgeup.report import command_line

    decoders = choose_decoders(asked.decoder, asked.model, find_network(asked.model).decoders)
    precisions = choose(asked.precision, "--precision", PRECISIONS, "fp32")
    backends = choose(asked.backend, "--backend", BACKENDS, "onnxruntime")
    chosen = variants(decoders, precisions, split(asked.shape, "--shape"))
    target = find_target(asked.target)
    for precision in precisions:
        check_precision(precision, target)
    for decoder in decoders:
        _check_combination(_named(asked, decoder))
    out = _left_out(backends, precisions, target)
    if "tensorrt" in backends:
        check_engines(target)
    entrants = [
        Entrant(name, _maker(asked, one), one.precision, running)
        for name, one in chosen.items()
        if (running := rows(name, backends, list(out[one.precision])))
    ]
    notices = [
        f"{precision} on {backend} is left out: {why}"
        for precision, reasons in out.items()
        for backend, why in reasons.items()
    ]
    if not entrants:
        raise EdgeupError(
            f"nothing to compare: {'; '.join(notices)}; name another --precision or --backend"
        )
    request = CompareRequest(
        network=asked.model,
        command=command_line(sys.argv[1:]),
        target=target,
        threads=asked.threads,
        seed=asked.seed,
        duration_s=asked.duration,
        notices=tuple(notices),
    )
    return entrants, request


def _left_out(
    backends: Sequence[str], precisions: Sequence[str], target: Target
) -> Mapping[str, Mapping[str, str]]:
    """By precision, the backends that do not run it, and why."""
    from edgeup.pipeline.compare.backends import left_out

    return {
        precision: {
            backend: why
            for backend in backends
            if (why := left_out(backend, precision, target)) is not None
        }
        for precision in precisions
    }


def _named(asked: Asked, decoder: str) -> NamedModel:
    return NamedModel(
        asked.model, encoder=asked.encoder, decoder=decoder, skip=asked.skip, seed=asked.seed
    )


def _maker(asked: Asked, variant: Variant) -> Callable[[], Subject]:
    shapes = () if variant.shape is None else (variant.shape,)
    return partial(named_subject, _named(asked, variant.decoder), asked.option, shapes)


def _check_combination(named: NamedModel) -> None:
    """Refuse a decoder that goes with no such encoder or skip before the others are exported."""
    from edgeup.pipeline.fastdepth import FastDepthChoice, configure

    if named.model == "fastdepth":
        configure(FastDepthChoice(None, named.encoder, named.decoder, named.skip))

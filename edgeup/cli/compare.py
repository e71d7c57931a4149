"""`edgeup compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeup.cli.options import (
    DEFAULT_TARGET,
    EncoderOption,
    SeedOption,
    SettingOption,
    SkipOption,
    TargetOption,
    ThreadsOption,
    given_path,
)
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb
from edgeup.errors import EdgeupError, unknown

if TYPE_CHECKING:
    from edgeup.cli.named import NamedModel


def compare(
    decoder: Annotated[
        list[str],
        typer.Option(
            metavar="NAMES",
            help="Decoders with commas between them, the first one the reference; or all. "
            "See `edgeup list decoders` and `list models`.",
        ),
    ],
    model: Annotated[str, typer.Option(help="See `edgeup list models`.")] = "fastdepth",
    encoder: EncoderOption = None,
    skip: SkipOption = None,
    option: SettingOption = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            "--shapes",
            metavar="SHAPES",
            help="NCHW, 1x3x224x224 or image:1x3x224x224; several with commas between them.",
            show_default="the model's",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="fp32, fp16, or both: fp32,fp16.", show_default="fp32"),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=given_path,
            metavar="DIR",
            help="Where compare.json, compare.html and compare.png go.",
            show_default="the model's name and -decoders",
        ),
    ] = None,
    threads: ThreadsOption = None,
    duration: Annotated[
        float, typer.Option(min=0.0, max=86_400.0, help="Seconds to measure, per decoder.")
    ] = 3.0,
    seed: SeedOption = 0,
    style: FormatOption = Format.TEXT,
) -> int:
    """Compare decoders on one encoder: parity of each, then latency of all in turn."""

    def body(answer: Answer) -> bool:
        from functools import partial

        from edgeup.cli.compare_summary import compare_summary
        from edgeup.cli.compare_variants import choose_precisions, split, variants
        from edgeup.cli.named import NamedModel, named_subject
        from edgeup.cli.progress import progress
        from edgeup.files import check_folder, write_all
        from edgeup.html.files import html_of
        from edgeup.models.networks import find_network
        from edgeup.pipeline.compare import CompareRequest, compare_subjects
        from edgeup.pipeline.compare_plot import draw, require_matplotlib
        from edgeup.pipeline.precision.lower import check_precision
        from edgeup.report import command_line, to_bytes
        from edgeup.targets import find_target

        names = choose_decoders(decoder, model, find_network(model).decoders)
        chosen = variants(names, choose_precisions(precision or ()), split(shape or (), "--shape"))
        named = {
            name: NamedModel(model, encoder=encoder, decoder=one.decoder, skip=skip, seed=seed)
            for name, one in chosen.items()
        }
        for name, one in chosen.items():
            _check_combination(named[name])
            check_precision(one.precision, find_target(target))
        request = CompareRequest(
            network=model,
            command=command_line(sys.argv[1:]),
            target=find_target(target),
            threads=threads,
            seed=seed,
            duration_s=duration,
            precisions={name: one.precision for name, one in chosen.items()},
        )
        folder = output or Path(f"{model}-decoders")
        check_folder(folder)
        require_matplotlib()
        with progress() as stage:
            report = compare_subjects(
                {
                    name: partial(
                        named_subject,
                        named[name],
                        option or (),
                        () if one.shape is None else (one.shape,),
                    )
                    for name, one in chosen.items()
                },
                request,
                stage,
            )
            stage("drawing")
            picture = draw(report)
        write_all(
            {
                folder / "compare.png": picture,
                folder / "compare.json": to_bytes(report),
                folder / "compare.html": html_of(report),
            }
        )
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*compare_summary(report, folder))
        return bool(report["passed"])

    return run_verb(style, body)


def choose_decoders(texts: Sequence[str], model: str, known: Sequence[str]) -> list[str]:
    """Names with commas between them, or ``all``.

    Raises:
        EdgeupError: a name that there is not, or one that is there twice; ``all`` beside others;
            a model without a choice of decoders.
    """
    if not known:
        raise EdgeupError(f"{model} has no choice of decoders, so there is nothing to compare")
    names = [name.strip() for text in texts for name in text.split(",")]
    if names == ["all"]:
        return list(known)
    if "all" in names:
        raise EdgeupError("--decoder all is every decoder; leave the other names out")
    for name in names:
        if name not in known:
            raise unknown("decoder", name, (*known, "all"))
        if names.count(name) > 1:
            raise EdgeupError(f"--decoder names {name} twice; leave one out")
    return names


def _check_combination(named: NamedModel) -> None:
    """Refuse a decoder that goes with no such encoder or skip before the others are exported."""
    from edgeup.pipeline.fastdepth import FastDepthChoice, configure

    if named.model == "fastdepth":
        configure(FastDepthChoice(None, named.encoder, named.decoder, named.skip))

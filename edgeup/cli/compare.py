"""`edgeup compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="What runs them: onnxruntime (CPU), torch (the module, eager, CPU), tensorrt "
            "(an engine, built here); several with commas between them.",
            show_default="onnxruntime",
        ),
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
        float, typer.Option(min=0.0, max=86_400.0, help="Seconds to measure, per model.")
    ] = 3.0,
    seed: SeedOption = 0,
    style: FormatOption = Format.TEXT,
) -> int:
    """Compare decoders on one encoder: parity, latency in turns and energy of each."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.compare_plan import Asked, plan
        from edgeup.cli.compare_summary import compare_summary
        from edgeup.cli.progress import progress
        from edgeup.files import check_folder, write_all
        from edgeup.html.files import html_of
        from edgeup.pipeline.compare.plot import draw, require_matplotlib
        from edgeup.pipeline.compare.subjects import compare_subjects
        from edgeup.report import to_bytes

        entrants, request = plan(
            Asked(
                decoder=decoder,
                model=model,
                encoder=encoder,
                skip=skip,
                option=option or (),
                shape=shape or (),
                precision=precision or (),
                backend=backend or (),
                target=target,
                threads=threads,
                duration=duration,
                seed=seed,
            )
        )
        folder = output or Path(f"{model}-decoders")
        check_folder(folder)
        require_matplotlib()
        with progress() as stage:
            report = compare_subjects(entrants, request, stage)
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

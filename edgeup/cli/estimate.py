"""`edgeup estimate`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import FixedShapesOption, ModelFileArgument, ReportOption, given_path
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb


class Precision(str, Enum):
    """What the engine computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def estimate(
    model: ModelFileArgument,
    target: Annotated[
        str,
        typer.Option(help="A board, orin-nano-8gb or orin-nano-8gb@6.2: `edgeup list targets`."),
    ],
    precision: Annotated[
        Precision | None,
        typer.Option(help="What the engine computes in.", show_default="that of the weights"),
    ] = None,
    power_mode: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="As nvpmodel names it: 15W.", show_default="the board's"),
    ] = None,
    shape: FixedShapesOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            parser=given_path, metavar="FILE.png|FILE.svg", help="The roofline, with the layers."
        ),
    ] = None,
    output: ReportOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Estimate how long a Jetson takes, layer by layer. Nothing is run or built."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.estimate_summary import estimate_summary
        from edgeup.cli.parse import parse_frozen
        from edgeup.cli.progress import progress
        from edgeup.cli.report_files import report_files, report_goals
        from edgeup.files import Content, check_goals, write_all
        from edgeup.pipeline.estimate.model import EstimateRequest, estimate_file
        from edgeup.pipeline.estimate.plot import check_picture, draw_estimate
        from edgeup.pipeline.model_files import model_files
        from edgeup.report import command_line
        from edgeup.targets import find_target

        if plot is not None:
            check_picture(plot)
        check_goals((plot, *report_goals(output)), model_files(model))
        request = EstimateRequest(
            find_target(target),
            command_line(sys.argv[1:]),
            None if precision is None else precision.value,
            power_mode,
            tuple(parse_frozen(text) for text in shape or ()),
        )
        with progress() as stage:
            stage(f"estimating {model.name}")
            report = estimate_file(model, request)
            files: dict[Path, Content] = {}
            if plot is not None:
                stage("drawing")
                files[plot] = draw_estimate(report, plot.suffix.lower())
            files |= report_files(report, output)
            write_all(files)
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*estimate_summary(report, files))
        return True

    return run_verb(style, body)

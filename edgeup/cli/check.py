"""`edgeup check`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgeup.cli.options import (
    DEFAULT_TARGET,
    FixedShapesOption,
    ModelFileArgument,
    ReportOption,
    TargetOption,
)
from edgeup.cli.precision_option import Precision
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb


def check(
    model: ModelFileArgument,
    target: TargetOption = DEFAULT_TARGET,
    shape: FixedShapesOption = None,
    static: Annotated[
        bool, typer.Option("--static", help="Ask the rules alone, not NVIDIA's parser.")
    ] = False,
    build: Annotated[
        bool, typer.Option("--build", help="Ask NVIDIA's builder too, where it is installed.")
    ] = False,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Also say which nodes would stay in fp32 there."),
    ] = None,
    output: ReportOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Would the target's TensorRT take an ONNX file, and compute what it says? Node by node."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.check_summary import check_summary
        from edgeup.cli.parse import parse_frozen
        from edgeup.cli.progress import progress
        from edgeup.cli.report_files import report_files, report_goals
        from edgeup.errors import EdgeupError
        from edgeup.files import check_goals, write_all
        from edgeup.pipeline.check import CheckRequest, check_file
        from edgeup.pipeline.model_files import model_files
        from edgeup.report import command_line
        from edgeup.targets import find_target

        if static and build:
            raise EdgeupError("--static asks the rules alone, --build NVIDIA's builder: give one")
        check_goals(report_goals(output), model_files(model))
        request = CheckRequest(
            target=find_target(target),
            shapes=tuple(parse_frozen(text) for text in shape or ()),
            static=static,
            build=build,
            precision=None if precision is None else precision.value,
            command=command_line(sys.argv[1:]),
        )
        with progress() as stage:
            report = check_file(model, request, stage)
        files = report_files(report, output)
        write_all(files)
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*check_summary(report, files))
        return bool(report["passed"])

    return run_verb(style, body)

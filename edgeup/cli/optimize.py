"""`edgeup optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import TuneOption, cache_folder, given_path
from edgeup.cli.precision_option import (
    IoPrecision,
    IoPrecisionOption,
    Precision,
    PrecisionOption,
)
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb


def optimize(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any ONNX file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=given_path,
            metavar="OUT.onnx",
            help="The result; OUT.json beside it reports, and over 2 GiB OUT.onnx.data holds the "
            "weights.",
        ),
    ],
    target: Annotated[
        str, typer.Option(help="Where it will run: see `edgeup list targets`.")
    ] = "cpu",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            "--shapes",
            help="Freeze an input: 1x3x224x224 or image:1x3x224x224; once per input.",
        ),
    ] = None,
    precision: PrecisionOption = Precision.FP32,
    io_precision: IoPrecisionOption = IoPrecision.FP32,
    tune: TuneOption = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="For the latency.", show_default="all cores")
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Compare the result with the original on seeded inputs.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the inputs.")] = 0,
    style: FormatOption = Format.TEXT,
) -> int:
    """Rewrite an ONNX file into an equal one that the target takes and that runs faster."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.optimize_summary import optimize_summary
        from edgeup.cli.parse import parse_frozen
        from edgeup.cli.progress import progress
        from edgeup.errors import EdgeupError
        from edgeup.files import check_goal, write_all
        from edgeup.pipeline.forms import Forms
        from edgeup.pipeline.optimize import FileRequest, optimize_file
        from edgeup.pipeline.precision import check_precision
        from edgeup.pipeline.tuning import check_tunable
        from edgeup.report import compose, to_bytes
        from edgeup.targets import find_target

        if output.suffix != ".onnx":
            raise EdgeupError(f"-o {output} does not end in .onnx; name the file to write")
        check_goal(output)
        report_path = output.with_suffix(".json")
        check_goal(report_path)
        request = FileRequest(
            target=find_target(target),
            output=output,
            shapes=tuple(parse_frozen(text) for text in shape or ()),
            verify=verify,
            seed=seed,
            forms=Forms(tune, threads, cache_folder() if tune else None),
            precision=precision.value,
            io_precision=io_precision.asked,
        )
        check_precision(request.precision, request.target, request.io_precision)
        if tune:
            check_tunable(request.target.name, request.target.backend)
        with progress() as stage:
            done = optimize_file(model, request, stage)
        report = compose(**done.sections)
        write_all({**done.packed.files(output), report_path: to_bytes(report)})
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*optimize_summary(report, output))
        return bool(report["passed"])

    return run_verb(style, body)

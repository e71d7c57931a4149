"""`edgeup optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import FailOnOption, TuneOption, cache_folder, given_path
from edgeup.cli.precision_option import (
    IoPrecision,
    IoPrecisionOption,
    KeepFp32Option,
    Precision,
    PrecisionOption,
)
from edgeup.cli.verb import Answer, Format, FormatOption, complain, run_verb


def optimize(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any ONNX file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=given_path,
            metavar="OUT.onnx",
            help="The result; OUT.json and OUT.html beside it report, and over 2 GiB "
            "OUT.onnx.data holds the weights.",
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
    keep_fp32: KeepFp32Option = None,
    tune: TuneOption = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="For the latency.", show_default="all cores")
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Compare the result with the original on seeded inputs.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the inputs.")] = 0,
    fail_on: FailOnOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Rewrite an ONNX file into an equal one that the target takes and that runs faster."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.optimize_summary import optimize_summary
        from edgeup.cli.parse import parse_frozen
        from edgeup.cli.progress import progress
        from edgeup.errors import EdgeupError
        from edgeup.files import check_goal, write_all
        from edgeup.html.files import html_of
        from edgeup.pipeline.forms import Forms
        from edgeup.pipeline.gates import EXPORTED, check_judgeable, gated, parse_conditions
        from edgeup.pipeline.optimize import FileRequest, optimize_file
        from edgeup.pipeline.precision.keep_list import read_keep_list
        from edgeup.pipeline.precision.lower import check_precision
        from edgeup.pipeline.tuning.model import check_tunable
        from edgeup.report import compose, to_bytes
        from edgeup.targets import find_target

        if output.suffix != ".onnx":
            raise EdgeupError(f"-o {output} does not end in .onnx; name the file to write")
        check_goal(output)
        report_path = output.with_suffix(".json")
        page_path = output.with_suffix(".html")
        check_goal(report_path)
        check_goal(page_path)
        request = FileRequest(
            target=find_target(target),
            output=output,
            shapes=tuple(parse_frozen(text) for text in shape or ()),
            verify=verify,
            seed=seed,
            forms=Forms(tune, threads, cache_folder() if tune else None),
            precision=precision.value,
            io_precision=io_precision.asked,
            keep_fp32=frozenset() if keep_fp32 is None else read_keep_list(keep_fp32),
        )
        check_precision(request.precision, request.target, request.io_precision, request.keep_fp32)
        if tune:
            check_tunable(request.target.name, request.target.backend)
        conditions = parse_conditions(fail_on or ())
        check_judgeable(conditions, EXPORTED, "optimize")
        with progress() as stage:
            done = optimize_file(model, request, stage)
        report = compose(**done.sections)
        report |= gated(report, conditions)
        write_all(
            {
                **done.packed.files(output),
                report_path: to_bytes(report),
                page_path: html_of(report),
            }
        )
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*optimize_summary(report, output))
        for line in report.get("gates", {}).get("failures", ()):
            complain(f"failed: {line}")
        return bool(report["passed"])

    return run_verb(style, body)

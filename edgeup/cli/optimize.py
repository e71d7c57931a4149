"""`edgeup optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import (
    FailOnOption,
    FixedShapesOption,
    InputSeedOption,
    ModelFileArgument,
    ThreadsOption,
    TuneOption,
    cache_folder,
    output_option,
)
from edgeup.cli.precision_option import (
    IoPrecisionOption,
    KeepFp32Option,
    Precision,
    PrecisionOption,
)
from edgeup.cli.verb import Answer, Format, FormatOption, complain_of_gates, run_verb


def optimize(
    model: ModelFileArgument,
    output: Annotated[
        Path,
        output_option(
            "OUT.onnx",
            "The result; OUT.json and OUT.html beside it report, and over 2 GiB "
            "OUT.onnx.data holds the weights.",
        ),
    ],
    target: Annotated[
        str, typer.Option(help="Where it will run: see `edgeup list targets`.")
    ] = "cpu",
    shape: FixedShapesOption = None,
    precision: PrecisionOption = Precision.FP32,
    io_precision: IoPrecisionOption = "fp32",
    keep_fp32: KeepFp32Option = None,
    tune: TuneOption = False,
    threads: ThreadsOption = None,
    verify: Annotated[
        bool, typer.Option(help="Compare the result with the original on seeded inputs.")
    ] = True,
    seed: InputSeedOption = 0,
    fail_on: FailOnOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Rewrite an ONNX file into an equal one that the target takes and that runs faster."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.optimize_summary import optimize_summary
        from edgeup.cli.parse import parse_frozen
        from edgeup.cli.progress import progress
        from edgeup.errors import EdgeupError
        from edgeup.files import check_goals, write_all
        from edgeup.html.files import html_of
        from edgeup.pipeline.forms import Forms
        from edgeup.pipeline.gate_facts import EXPORTED, report_facts
        from edgeup.pipeline.gates import check_judgeable, gated, parse_conditions
        from edgeup.pipeline.model_files import model_files
        from edgeup.pipeline.optimize import FileRequest, data_path, optimize_file
        from edgeup.pipeline.precision.keep_list import read_keep_list
        from edgeup.pipeline.precision.lower import check_precision
        from edgeup.pipeline.tuning.model import check_tunable
        from edgeup.report import compose, to_bytes
        from edgeup.targets import find_target

        if output.suffix != ".onnx":
            raise EdgeupError(f"-o {output} does not end in .onnx; name the file to write")
        report_path, page_path = output.with_suffix(".json"), output.with_suffix(".html")
        goals = (output, report_path, page_path, data_path(output))
        check_goals(goals, model_files(model, others=[keep_fp32]))
        request = FileRequest(
            target=find_target(target),
            output=output,
            shapes=tuple(parse_frozen(text) for text in shape or ()),
            verify=verify,
            seed=seed,
            forms=Forms(tune, threads, cache_folder() if tune else None),
            precision=precision.value,
            io_precision=io_precision,
            keep_fp32=frozenset() if keep_fp32 is None else read_keep_list(keep_fp32),
        )
        check_precision(request.precision, request.target, request.io_precision, request.keep_fp32)
        if tune:
            check_tunable(request.target.name, request.target.backend)
        conditions = parse_conditions(fail_on or ())
        why = {} if verify else {"parity": "--no-verify compares nothing"}
        check_judgeable(conditions, [name for name in EXPORTED if name not in why], "optimize", why)
        with progress() as stage:
            done = optimize_file(model, request, stage)
        report = compose(**done.sections)
        report |= gated(report, conditions, report_facts(report))
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
        complain_of_gates(report)
        return bool(report["passed"])

    return run_verb(style, body)

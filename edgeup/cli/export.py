"""`edgeup export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeup.cli.options import (
    DEFAULT_TARGET,
    EncoderOption,
    FailOnOption,
    SeedOption,
    SettingOption,
    SkipOption,
    TargetOption,
    ThreadsOption,
    TuneOption,
    cache_folder,
    output_option,
    shapes_option,
)
from edgeup.cli.precision_option import (
    IoPrecisionOption,
    KeepFp32Option,
    Precision,
    PrecisionOption,
)
from edgeup.cli.verb import Answer, Format, FormatOption, complain_of_gates, run_verb
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from edgeup.pipeline.subject import Dynamic


def export(
    module: Annotated[
        str | None,
        typer.Argument(
            metavar="[PACKAGE.MODULE:NAME]",
            help="Your own nn.Module, or a function that returns one. Without it: --model.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="See `edgeup list models`.", show_default="fastdepth")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="A published FastDepth network.")] = None,
    encoder: EncoderOption = None,
    decoder: Annotated[
        str | None,
        typer.Option(
            help="See `edgeup list decoders` and `list models`.", show_default="the model's"
        ),
    ] = None,
    skip: SkipOption = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="State dict or FastDepth checkpoint (.pth, .pt, .pth.tar, .safetensors); "
            "nothing in it is run.",
            show_default="random weights",
        ),
    ] = None,
    option: SettingOption = None,
    shape: Annotated[
        list[str] | None,
        shapes_option(
            "NCHW, 1x3x224x224 or image:1x3x224x224; once per input.", default="the model's"
        ),
    ] = None,
    dynamic: Annotated[
        list[str] | None,
        typer.Option(help="Leave dimensions open: batch, spatial, or batch,spatial."),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset to write.", show_default="the target's")
    ] = None,
    output: Annotated[
        Path | None,
        output_option(
            "DIR", "Where model.onnx, report.json and report.html go.", "the model's name"
        ),
    ] = None,
    precision: PrecisionOption = Precision.FP32,
    io_precision: IoPrecisionOption = "fp32",
    keep_fp32: KeepFp32Option = None,
    tune: TuneOption = False,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    fail_on: FailOnOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Export a PyTorch network to ONNX for a target; check parity and latency; report."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.named import NamedModel, named_subject
        from edgeup.cli.parse import parse_dynamic, parse_shape
        from edgeup.cli.progress import progress
        from edgeup.cli.summary import export_summary
        from edgeup.files import check_goals, write_all
        from edgeup.html.files import html_of
        from edgeup.pipeline.export import (
            ExportRequest,
            export_subject,
            report_sections,
            time_proven,
        )
        from edgeup.pipeline.forms import Forms
        from edgeup.pipeline.gate_facts import EXPORTED, report_facts
        from edgeup.pipeline.gates import check_judgeable, gated, parse_conditions
        from edgeup.pipeline.precision.keep_list import read_keep_list
        from edgeup.pipeline.precision.lower import check_precision
        from edgeup.pipeline.subject import Dynamic
        from edgeup.pipeline.tuning.model import check_tunable
        from edgeup.pipeline.user_module import user_subject
        from edgeup.report import compose, to_bytes
        from edgeup.targets import find_target

        request = ExportRequest(
            target=find_target(target),
            opset=opset,
            dynamic=Dynamic(*parse_dynamic(dynamic or ())),
            threads=threads,
            seed=seed,
            forms=Forms(tune, threads, cache_folder() if tune else None),
            precision=precision.value,
            io_precision=io_precision,
            keep_fp32=frozenset() if keep_fp32 is None else read_keep_list(keep_fp32),
        )
        conditions = parse_conditions(fail_on or ())
        check_judgeable(conditions, EXPORTED, "export")
        check_precision(request.precision, request.target, request.io_precision, request.keep_fp32)
        if tune:
            check_tunable(request.target.name, request.target.backend)
            _no_open_dimensions(request.dynamic)
        request.target.choose_opset(opset)
        if output is not None:
            check_goals(_goals(output), (weights, keep_fp32))
        with progress() as stage:
            stage("building the network")
            if module is None:
                subject = named_subject(
                    NamedModel(model or "fastdepth", preset, encoder, decoder, skip, weights, seed),
                    option or (),
                    shape or (),
                )
            else:
                _no_network_options(model, preset, encoder, decoder, skip, weights, option)
                subject = user_subject(module, [parse_shape(text) for text in shape or ()], seed)
            folder = output or Path(subject.name)
            goals = model_path, report_path, page_path = _goals(folder)
            check_goals(goals, (weights, keep_fp32))
            proven = export_subject(subject, request, stage)
            latency = time_proven(proven, stage)
        report = compose(**report_sections(proven, model_path.name), latency=latency)
        report |= gated(report, conditions, report_facts(report))
        write_all(
            {
                model_path: proven.exported.content,
                report_path: to_bytes(report),
                page_path: html_of(report),
            }
        )
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*export_summary(report, folder))
        complain_of_gates(report)
        return bool(report["passed"])

    return run_verb(style, body)


def _goals(folder: Path) -> tuple[Path, Path, Path]:
    """The model, its report and the page of that."""
    return folder / "model.onnx", folder / "report.json", folder / "report.html"


def _no_open_dimensions(dynamic: Dynamic) -> None:
    if dynamic:
        raise EdgeupError(
            "--tune measures forms at fixed sizes, and --dynamic leaves them open; leave one of "
            "the two out"
        )


LOAD_INSIDE = ", and load your module's weights inside of the function that makes it"


def _no_network_options(*options: object) -> None:
    names = ("--model", "--preset", "--encoder", "--decoder", "--skip", "--weights", "--option")
    given = [name for name, value in zip(names, options, strict=True) if value is not None]
    if given:
        raise EdgeupError(
            f"{' and '.join(given)} choose a network of edgeup's, and a module of your own was "
            f"named; leave one of the two out{LOAD_INSIDE if '--weights' in given else ''}"
        )

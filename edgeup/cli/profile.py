"""`edgeup profile`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.cli.options import (
    ReportOption,
    TrustOption,
    fail_on_option,
    given_path,
    respelled,
)
from edgeup.cli.verb import Answer, Format, FormatOption, complain_of_gates, run_verb
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from edgeup.files import Content
    from edgeup.pipeline.profile.request import Gates

TRTEXEC_SPELLINGS = {
    "warmUp": "warm-up-ms",
    "shapes": "shape",
    "infStreams": "streams",
    "useCudaGraph": "use-cuda-graph",
    "noDataTransfers": "no-data-transfers",
    "exportTimes": "export-times",
    "exportProfile": "export-profile",
    "dumpProfile": "layers",
    "separateProfileRun": "layers",
}
"""trtexec's names of the same options: understood, and left out of the help."""


as_trtexec = respelled(TRTEXEC_SPELLINGS)


def _file(name: str, about: str) -> Any:
    return typer.Option(name, parser=given_path, metavar="FILE.json", help=about)


def profile(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An ONNX file, or an engine (.engine, .plan).")
    ],
    versus: Annotated[
        Path | None,
        typer.Option("--vs", parser=given_path, metavar="OTHER", help="Time it against OTHER."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", help="Of an input with open dimensions: image:1x3x224x224."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=65536, help="Size of an open first dimension.", show_default="1"),
    ] = None,
    warmup: Annotated[
        str | None,
        typer.Option(
            metavar="200ms|20it",
            help="At least that long; then on until times are stable.",
            show_default="200ms",
        ),
    ] = None,
    warm_up_ms: Annotated[float | None, typer.Option("--warm-up-ms", min=0, hidden=True)] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10**7,
            help="So many runs; with --duration, at least so many.",
            show_default="10 or more",
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(min=0, max=86400, metavar="SECONDS", help="Of the runs.", show_default="3"),
    ] = None,
    percentile: Annotated[
        list[str] | None,
        typer.Option(metavar="50,90,99.9", help="Of the latency.", show_default="90,95,99"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="ONNX Runtime's.", show_default="all cores"),
    ] = None,
    streams: Annotated[
        int, typer.Option(min=1, max=64, help="Inferences at a time; engines only.")
    ] = 1,
    cuda_graph: Annotated[
        bool, typer.Option("--use-cuda-graph", help="Launch the engine as one CUDA graph.")
    ] = False,
    no_transfers: Annotated[
        bool,
        typer.Option("--no-data-transfers", help="Leave the engine's inputs and outputs in place."),
    ] = False,
    trust: TrustOption = False,
    layers: Annotated[bool, typer.Option("--layers", help="Also what each layer takes.")] = False,
    onnx: Annotated[
        Path | None,
        typer.Option(
            parser=given_path,
            metavar="MODEL.onnx",
            help="What an engine was built from: --layers then names its nodes and stages.",
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None, fail_on_option("latency>12ms, p99>20ms, cv>5%, size>25MB")
    ] = None,
    save_baseline: Annotated[
        Path | None, _file("--save-baseline", "Keep latency, size and energy.")
    ] = None,
    baseline: Annotated[
        Path | None, _file("--baseline", "Hold them against it: with --max-regression.")
    ] = None,
    max_regression: Annotated[
        str | None, typer.Option(metavar="5%", help="How much worse than the baseline may be.")
    ] = None,
    locked_clocks: Annotated[
        bool,
        typer.Option("--require-locked-clocks", help="Refuse clocks that move, and throttling."),
    ] = False,
    power_interval_ms: Annotated[
        int | None,
        typer.Option(
            "--tegrastats-interval",
            min=10,
            max=60_000,
            metavar="MS",
            help="Between samples of power, on a Jetson.",
            show_default="100",
        ),
    ] = None,
    output: ReportOption = None,
    export_times: Annotated[
        Path | None, _file("--export-times", "Each inference, as trtexec's --exportTimes.")
    ] = None,
    export_profile: Annotated[
        Path | None, _file("--export-profile", "Each layer, as trtexec's --exportProfile.")
    ] = None,
    load_times: Annotated[
        Path | None,
        _file("--load-times", "Run nothing: MODEL was timed by trtexec --exportTimes."),
    ] = None,
    load_profile: Annotated[
        Path | None, _file("--load-profile", "With it: layers, of trtexec --exportProfile.")
    ] = None,
    load_layer_info: Annotated[
        Path | None, _file("--load-layer-info", "With that: of trtexec --exportLayerInfo.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of inputs, order and resamples.")
    ] = 0,
    style: FormatOption = Format.TEXT,
) -> int:
    """Time a model: warmed up until stable; percentiles, layers, memory, power; limits to keep."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.build_parse import parse_engine_shapes
        from edgeup.cli.profile_parse import parse_budget, parse_percents
        from edgeup.cli.progress import progress
        from edgeup.cli.report_files import report_goals
        from edgeup.files import check_goals
        from edgeup.pipeline.model_files import model_files
        from edgeup.pipeline.profile.model import profile_file
        from edgeup.pipeline.profile.recorded import Recorded, profile_recorded
        from edgeup.pipeline.profile.request import PERCENTS, ProfileRequest
        from edgeup.report import command_line
        from edgeup.runtime.board.watch import DEFAULT_INTERVAL_S

        goals = [save_baseline, *report_goals(output), export_times, export_profile]
        others = (baseline, load_times, load_profile, load_layer_info)
        check_goals(goals, model_files(model, versus, onnx, others=others))
        gates = _gates(fail_on or (), baseline, max_regression)
        shapes = parse_engine_shapes(shape)
        percents = PERCENTS if percentile is None else parse_percents(percentile)
        command = command_line(sys.argv[1:])
        if load_times is not None:
            _only_with_files(
                {
                    "--vs": versus,
                    "--save-baseline": save_baseline,
                    "--baseline": baseline,
                    "--export-times": export_times,
                    "--export-profile": export_profile,
                    "--layers": layers,
                    "--threads": threads,
                    "--iterations": iterations,
                    "--duration": duration,
                    "--warmup": warm_up_ms if warmup is None else warmup,
                    "--batch": batch,
                    "--streams": None if streams == 1 else streams,
                    "--use-cuda-graph": cuda_graph,
                    "--no-data-transfers": no_transfers,
                    "--trust": trust,
                    "--onnx": onnx,
                    "--require-locked-clocks": locked_clocks,
                    "--tegrastats-interval": power_interval_ms,
                }
            )
            report = profile_recorded(
                Recorded(
                    model=model,
                    times=load_times,
                    profile=load_profile,
                    layer_info=load_layer_info,
                    shapes=shapes,
                    percents=percents,
                    seed=seed,
                    conditions=gates.conditions,
                    command=command,
                )
            )
            _write_and_tell(answer, report, {}, output)
            return bool(report["passed"])
        if load_profile is not None or load_layer_info is not None:
            raise EdgeupError("--load-profile and --load-layer-info go with --load-times")
        request = ProfileRequest(
            model=model,
            other=versus,
            shapes=shapes,
            batch=batch,
            budget=parse_budget(warmup, warm_up_ms, iterations, duration),
            percents=percents,
            threads=threads,
            streams=streams,
            cuda_graph=cuda_graph,
            transfers=not no_transfers,
            layers=layers or export_profile is not None,
            onnx=onnx,
            trust=trust,
            seed=seed,
            gates=gates,
            locked_clocks=locked_clocks,
            power_interval_s=(
                DEFAULT_INTERVAL_S if power_interval_ms is None else power_interval_ms * 1e-3
            ),
            command=command,
        )
        with progress() as stage:
            done = profile_file(request, stage)
        files: dict[Path, Content] = {}
        if save_baseline is not None:
            files[save_baseline] = done.baseline.to_bytes(command)
        if export_times is not None:
            files[export_times] = done.times_file()
        if export_profile is not None:
            files[export_profile] = done.profile_file()
        _write_and_tell(answer, done.report, files, output)
        return bool(done.report["passed"])

    return run_verb(style, body)


def _gates(fail_on: Any, baseline: Path | None, max_regression: str | None) -> Gates:
    from edgeup.cli.profile_parse import parse_share
    from edgeup.pipeline.baseline import read_baseline
    from edgeup.pipeline.gates import parse_conditions
    from edgeup.pipeline.profile.request import Gates

    conditions = parse_conditions(fail_on)
    if (baseline is None) != (max_regression is None):
        raise EdgeupError("--baseline and --max-regression go together: --max-regression 5%")
    if baseline is None or max_regression is None:
        return Gates(conditions)
    return Gates(conditions, (baseline, read_baseline(baseline)), parse_share(max_regression))


def _only_with_files(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise EdgeupError(f"{name}: with --load-times nothing is run; leave it out")


def _write_and_tell(
    answer: Answer, report: Mapping[str, Any], files: dict[Path, Content], output: Path | None
) -> None:
    from edgeup.cli.profile_summary import profile_summary
    from edgeup.cli.report_files import report_files
    from edgeup.files import write_all

    files |= report_files(report, output)
    write_all(files)
    if answer.style is Format.JSON:
        answer.json(report)
    else:
        answer.show(*profile_summary(report, list(files)))
    complain_of_gates(report)

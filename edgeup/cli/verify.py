"""`edgeup verify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgeup.cli.options import ReportOption, TrustOption, fail_on_option, given_path, shapes_option
from edgeup.cli.verb import Answer, Format, FormatOption, complain_of_gates, run_verb
from edgeup.cli.verify_parse import takes_weights
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from edgeup.pipeline.gates import Condition
    from edgeup.pipeline.verify.pair import VerifyRequest
    from edgeup.pipeline.verify.sides import SideRequest


class Task(str, Enum):
    """What the outputs are."""

    DEPTH = "depth"
    SEGMENTATION = "segmentation"
    IMAGE = "image"


SIDE = (
    "MODEL.onnx, an engine, outputs.npz, a network (fastdepth:nnconv5, fcrn), or your own "
    "PACKAGE.MODULE:NAME."
)


def verify(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help=f"What is right: {SIDE}")],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="What is judged: one of the same.")
    ],
    rtol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OUT:]NUMBER...",
            help="Allowed |c - r| by |r|: 1e-3, or out0:1e-4 out1:1e-3 by output; added to --atol.",
            show_default="measured for the precision, unless --atol is given",
        ),
    ] = None,
    atol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OUT:]NUMBER",
            help="Allowed |c - r|, in the output's unit.",
            show_default="measured for the precision, unless --rtol is given",
        ),
    ] = None,
    check_error_stat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OUT:]STAT",
            help="Judge every element (elemwise), or the max, mean, median or quantile of all "
            "errors: within --atol absolutely, or within --rtol relatively.",
            show_default="elemwise",
        ),
    ] = None,
    error_quantile: Annotated[
        list[str] | None,
        typer.Option(metavar="[OUT:]SHARE", help="Which quantile.", show_default="0.99"),
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Fail where an output holds NaN or infinity.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop after the first input that fails.")
    ] = False,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            help="Seeded inputs: natural, noise, ramp, impulse, checkerboard, zeros, ones; "
            "several with commas.",
            show_default="all",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**63 - 1, help="Of those, and of random weights.", show_default="0"
        ),
    ] = None,
    load_inputs: Annotated[
        list[Path] | None,
        typer.Option(
            parser=given_path,
            metavar="PATH",
            help="Inputs instead: .npz (an array per input), .npy, a picture, or a folder of them.",
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|KEY=VALUE,...",
            help="How pictures become inputs: as in `edgeup run`.",
            show_default="what is stored in a model",
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        shapes_option(
            "For open dimensions and your own modules: image:1x3x224x224; once per input.",
            "--input-shapes",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Of a network: state dict or checkpoint; nothing in it is run.",
            show_default="random weights",
        ),
    ] = None,
    reference_precision: Annotated[
        Literal["fp32", "fp64"],
        typer.Option(
            help="fp64: PyTorch in float64; of a small ONNX file, onnx's ReferenceEvaluator."
        ),
    ] = "fp32",
    rounding: Annotated[
        Literal["each-node", "backend"],
        typer.Option(
            help="Of ONNX files in fp16 or bf16: round each node's result as a GPU stores it, or "
            "take what ONNX Runtime computes, mostly in float32."
        ),
    ] = "each-node",
    task: Annotated[
        Task | None, typer.Option(help="What the outputs are: its metrics are wanted too.")
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            help="Of --task image: white less black.", show_default="the reference's own range"
        ),
    ] = None,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            parser=given_path,
            metavar="NPZ",
            help="The task's metrics of both sides: an array OUTPUT, or CASE/OUTPUT for each.",
        ),
    ] = None,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            parser=given_path,
            metavar="DIR",
            help="Write reference.npz and candidate.npz; either can be a side later, elsewhere.",
        ),
    ] = None,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Of two ONNX files: name the first node that differs."),
    ] = False,
    bisect_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="For its inner values, such as 500M.")
    ] = "1G",
    find_fp32_nodes: Annotated[
        Path | None,
        typer.Option(
            parser=given_path,
            metavar="FILE",
            help="Write the fewest nodes that must stay fp32 to reach the tolerance, for the "
            "--keep-fp32 of `edgeup optimize` and `build`; the candidate's precision is tried.",
        ),
    ] = None,
    trust: TrustOption = False,
    fail_on: Annotated[
        list[str] | None, fail_on_option("parity, max_abs>1e-3, psnr<40dB, size>25MB")
    ] = None,
    output: ReportOption = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Does a candidate compute what a reference computes? Two models, engines or saved outputs."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.build_parse import parse_size
        from edgeup.cli.parse import parse_shape
        from edgeup.cli.preprocess_option import parse_preprocess
        from edgeup.cli.report_files import report_goals
        from edgeup.cli.verify_parse import parse_kinds, parse_side, parse_tolerances
        from edgeup.cli.verify_summary import verify_summary
        from edgeup.pipeline.gates import parse_conditions
        from edgeup.pipeline.model_files import model_files
        from edgeup.pipeline.verify.inputs import InputRequest
        from edgeup.pipeline.verify.pair import VerifyRequest
        from edgeup.report import command_line
        from edgeup.runtime.task_metrics import find_task

        _refuse_idle(
            {
                "--weights": weights is None or any(map(takes_weights, (reference, candidate))),
                "--data-range": data_range is None or task is Task.IMAGE,
                "--ground-truth": ground_truth is None or task is not None,
                "--preprocess": preprocess is None or bool(load_inputs),
            }
        )
        sides = [
            parse_side(text, weights=weights, seed=seed or 0, shapes=shape or ())
            for text in (reference, candidate)
        ]
        _refuse_idle({"--trust": not trust or any(map(_is_engine, sides))})
        request = VerifyRequest(
            reference=sides[0],
            candidate=sides[1],
            command=command_line(sys.argv[1:]),
            inputs=InputRequest(
                kinds=parse_kinds(kinds),
                seed=seed,
                files=tuple(load_inputs or ()),
                shapes=tuple(parse_shape(text) for text in shape or ()),
                preprocess=None if preprocess is None else parse_preprocess(preprocess),
            ),
            tolerances=parse_tolerances(rtol, atol, check_error_stat, error_quantile),
            reference_precision=reference_precision,
            rounding=rounding,
            task=None if task is None else find_task(task.value, data_range),
            ground_truth=ground_truth,
            validate=validate,
            fail_fast=fail_fast,
            save_outputs=save_outputs,
            trust=trust,
            bisect=bisect,
            bisect_bytes=parse_size(bisect_memory),
            fp32_nodes=find_fp32_nodes,
        )
        others = [weights, ground_truth, *(load_inputs or ())]
        _check_goals(
            (*report_goals(output), find_fp32_nodes),
            save_outputs,
            model_files(Path(reference), Path(candidate), others=others),
        )
        report, written = _verified(request, parse_conditions(fail_on or ()), output)
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*verify_summary(report, written))
        complain_of_gates(report)
        return bool(report["passed"])

    return run_verb(style, body)


def _verified(
    request: VerifyRequest, conditions: Sequence[Condition], output: Path | None
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """The report of the comparison, judged; and the files that were written."""
    from edgeup.cli.progress import progress
    from edgeup.cli.report_files import report_files
    from edgeup.files import write_all
    from edgeup.pipeline.gate_facts import parity_facts, task_facts
    from edgeup.pipeline.gates import gated
    from edgeup.pipeline.verify.gate import known_of
    from edgeup.pipeline.verify.whole import verify_whole

    known = known_of(request.candidate, conditions, request.task)
    with ExitStack() as stack:
        with progress() as stage:
            done = verify_whole(request, stage, stack)
        report = dict(done.report)
        facts = {**known.facts, **parity_facts(report["parity"])}
        if request.task is not None:
            facts |= task_facts(report["parity"], request.task)
        report |= gated(report, conditions, facts)
        files = {**done.files, **report_files(report, output)}
        write_all(files)
    return report, tuple(files)


_IDLE = {
    "--weights": "is for networks of edgeup's, such as fastdepth:nnconv5, and none was named",
    "--data-range": "is for --task image",
    "--ground-truth": "is judged by a task's metrics: give --task",
    "--trust": "is for engines without a sidecar, and no side is an engine",
    "--preprocess": "is for pictures, and they are given with --load-inputs",
}


def _refuse_idle(used: Mapping[str, bool]) -> None:
    """Refuse options that would have no effect."""
    for option, has_effect in used.items():
        if not has_effect:
            raise EdgeupError(f"{option} {_IDLE[option]}")


def _is_engine(side: SideRequest) -> bool:
    from edgeup.pipeline.verify.sides import FileSide
    from edgeup.runtime.sessions import is_engine

    return isinstance(side, FileSide) and is_engine(side.path)


def _check_goals(
    goals: Sequence[Path | None], folder: Path | None, read: Iterable[Path | None]
) -> None:
    """Refuse what cannot be written, or would overwrite what is read, before any work is done."""
    from edgeup.files import check_folder, check_goals

    if folder is not None:
        if folder.is_file():
            raise EdgeupError(f"--save-outputs {folder} is a file; name a folder")
        check_folder(folder)
        goals = [*goals, *(folder / f"{name}.npz" for name in ("reference", "candidate"))]
    check_goals(goals, read)

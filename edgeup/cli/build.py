"""`edgeup build`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeup.cli.options import (
    DEFAULT_TARGET,
    InputSeedOption,
    ModelFileArgument,
    TargetOption,
    fail_on_option,
    given_path,
    output_option,
    respelled,
)
from edgeup.cli.precision_option import (
    IoPrecisionOption,
    KeepFp32Option,
    Precision,
)
from edgeup.cli.verb import Answer, Format, FormatOption, complain_of_gates, run_verb
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from edgeup.pipeline.build.wish import BuildWish
    from edgeup.pipeline.gates import Condition


class Using(str, Enum):
    """What builds."""

    TENSORRT = "tensorrt"
    TRTEXEC = "trtexec"


class Verbosity(str, Enum):
    """What an engine tells of its layers."""

    NAMES = "layer_names_only"
    DETAILED = "detailed"
    NONE = "none"


class Hardware(str, Enum):
    """Other GPUs that load the engine."""

    NONE = "none"
    AMPERE = "ampere+"
    SAME = "sameComputeCapability"


ShapesOption = list[str] | None

TRTEXEC_SPELLINGS = {
    "saveEngine": "output",
    "shapes": "opt-shapes",
    "optShapes": "opt-shapes",
    "minShapes": "min-shapes",
    "maxShapes": "max-shapes",
    "memPoolSize": "workspace",
    "timingCacheFile": "timing-cache",
    "builderOptimizationLevel": "builder-optimization-level",
    "versionCompatible": "version-compatible",
    "vc": "version-compatible",
    "hardwareCompatibilityLevel": "hardware-compatibility",
    "useDLACore": "use-dla-core",
    "allowGPUFallback": "allow-gpu-fallback",
    "noTF32": "no-tf32",
    "profilingVerbosity": "profiling-verbosity",
}
"""trtexec's names of the same options: understood, and left out of the help."""

as_trtexec = respelled(TRTEXEC_SPELLINGS)


def build(
    model: ModelFileArgument,
    output: Annotated[
        Path | None,
        output_option(
            "OUT.engine",
            "The engine; OUT.engine.json beside it says what it is.",
            "MODEL.engine",
        ),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Converted and measured here; on TensorRT 8 and 9 by flags.",
            show_default="the file's own",
        ),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="The same as --precision fp16.")] = False,
    io_precision: IoPrecisionOption = "fp32",
    keep_fp32: KeepFp32Option = None,
    shapes: Annotated[
        ShapesOption,
        typer.Option(
            "--opt-shapes",
            "--shape",
            help="Of inputs with open dimensions: image:1x3x224x224; the engine is fastest there.",
        ),
    ] = None,
    min_shapes: Annotated[
        ShapesOption, typer.Option("--min-shapes", help="The smallest it takes.")
    ] = None,
    max_shapes: Annotated[
        ShapesOption, typer.Option("--max-shapes", help="The largest it takes.")
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace",
            metavar="SIZE",
            help="Scratch memory, with its unit: 1024M, 2G.",
            show_default="half of what is free on a Jetson, else TensorRT's",
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            "--timing-cache",
            parser=given_path,
            metavar="FILE",
            help="Shared by builds, also at the same time.",
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(
            "--builder-optimization-level",
            metavar="0-5",
            min=0,
            max=5,
            help="How long to look for fast kernels.",
            show_default="TensorRT's, 3",
        ),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="Later versions of the same major release load it, too.",
        ),
    ] = False,
    hardware: Annotated[
        Hardware,
        typer.Option(
            "--hardware-compatibility",
            metavar="GPUS",
            help="Others that load it, too: none, ampere+ or sameComputeCapability.",
        ),
    ] = Hardware.NONE,
    dla_core: Annotated[
        int | None,
        typer.Option(
            "--use-dla-core", min=0, metavar="N", help="Run on this deep learning accelerator."
        ),
    ] = None,
    gpu_fallback: Annotated[
        bool,
        typer.Option(
            "--allow-gpu-fallback",
            help="What the DLA does not take, the GPU may.",
        ),
    ] = False,
    sparse_weights: Annotated[
        bool, typer.Option("--sparse-weights", help="Use 2:4 sparsity where weights have it.")
    ] = False,
    no_tf32: Annotated[
        bool, typer.Option("--no-tf32", help="fp32 is computed in full fp32.")
    ] = False,
    verbosity: Annotated[
        Verbosity,
        typer.Option(
            "--profiling-verbosity",
            metavar="WORD",
            help="What the engine tells of its layers: layer_names_only, detailed or none; details "
            "are needed to read it back.",
        ),
    ] = Verbosity.DETAILED,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="8.6",
            help="TensorRT for RTX: the GPUs to build for; once per GPU.",
            show_default="all that it knows",
        ),
    ] = None,
    using: Annotated[
        Using | None,
        typer.Option(
            metavar="WHAT",
            help="tensorrt: its Python bindings; trtexec: its program.",
            show_default="what is there",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the command lines for the board, beside the model; build nothing.",
        ),
    ] = False,
    seed: InputSeedOption = 0,
    fail_on: Annotated[list[str] | None, fail_on_option("parity, precision, size>25MB")] = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Build a TensorRT engine from an ONNX file, and read back that it is what was asked."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.build_parse import parse_engine_shapes, parse_size, the_precision
        from edgeup.pipeline.build.wish import BuildWish
        from edgeup.pipeline.gates import parse_conditions
        from edgeup.pipeline.precision.keep_list import read_keep_list
        from edgeup.report import command_line
        from edgeup.runtime.engine.request import BuildOptions
        from edgeup.targets import find_target

        wish = BuildWish(
            target=find_target(target),
            options=BuildOptions(
                strongly_typed=False,  # the target says
                tf32=not no_tf32,
                workspace=None if workspace is None else parse_size(workspace),
                optimization_level=level,
                version_compatible=version_compatible,
                hardware_compatibility=None if hardware is Hardware.NONE else hardware.value,
                dla_core=dla_core,
                gpu_fallback=gpu_fallback,
                sparse_weights=sparse_weights,
                profiling_verbosity=verbosity.value,
                compute_capabilities=tuple(compute_capability or ()),
            ),
            precision=the_precision(None if precision is None else precision.value, fp16=fp16),
            io_precision=io_precision,
            keep_fp32=frozenset() if keep_fp32 is None else read_keep_list(keep_fp32),
            keep_list=keep_fp32,
            least=parse_engine_shapes(min_shapes),
            usual=parse_engine_shapes(shapes),
            most=parse_engine_shapes(max_shapes),
            timing_cache=timing_cache,
            using=None if using is None else using.value,
            seed=seed,
            command=command_line(sys.argv[1:]),
        )
        goal = output or Path(model.with_suffix(".engine").name)
        conditions = parse_conditions(fail_on or ())
        if dry_run:
            _tell_commands(answer, model, goal, wish, conditions)
            return True
        return _build(answer, model, goal, wish, conditions)

    return run_verb(style, body)


def _build(
    answer: Answer, model: Path, goal: Path, wish: BuildWish, conditions: Sequence[Condition]
) -> bool:
    """Build, judge, write and tell; whether all of it passed."""
    from edgeup.cli.build_summary import build_summary
    from edgeup.cli.progress import progress
    from edgeup.files import check_goals, write_all
    from edgeup.pipeline.build.engine import NotHereError, build_file
    from edgeup.pipeline.build.gate import check_build_gates
    from edgeup.pipeline.gate_facts import build_facts
    from edgeup.pipeline.gates import gated
    from edgeup.pipeline.model_files import model_files
    from edgeup.runtime.engine.sidecar import sidecar_path

    check_build_gates(conditions, wish)
    goals = (goal, sidecar_path(goal), wish.timing_cache)
    check_goals(goals, model_files(model, others=[wish.keep_list]))
    with progress() as stage:
        try:
            result = build_file(model, goal, wish, stage)
        except NotHereError as error:
            _show_commands(answer, error.commands)
            raise
    report = {**result.report, **gated(result.report, conditions, build_facts(result.report))}
    write_all(result.files)
    if answer.style is Format.JSON:
        answer.json(report)
    else:
        answer.show(*build_summary(report))
    complain_of_gates(report)
    return bool(report["passed"])


def _tell_commands(
    answer: Answer, model: Path, goal: Path, wish: BuildWish, conditions: Sequence[Condition]
) -> None:
    from edgeup.pipeline.build.engine import dry_run

    if conditions:
        raise EdgeupError("--fail-on judges what was built, and --dry-run builds nothing")
    _show_commands(answer, dry_run(model, goal, wish))


def _show_commands(answer: Answer, commands: tuple[str, ...]) -> None:
    """To be copied: unwrapped, however long."""
    if answer.style is Format.JSON:
        answer.json({"commands": list(commands)})
    else:
        answer.text.write("".join(f"{command}\n" for command in commands))

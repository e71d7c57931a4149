"""What is asked of `edgeup build`, refused early or made ready for a builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.build.model import BuildModel, in_precision, shape_ranges
from edgeup.pipeline.build.place import Using
from edgeup.runtime.engine.request import BuildOptions
from edgeup.spec import TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.pipeline.precision.lower import Io
    from edgeup.runtime.engine.device import Device

Stage = Callable[[str], None]


@dataclass(frozen=True)
class BuildWish:
    """What was asked on the command line.

    ``options`` holds what the builder takes as it was given; types, precision, shapes and the
    default workspace are filled in here. ``precision`` None builds the file as it is.
    ``keep_list`` is the file that ``keep_fp32`` was read from. ``command`` is for the report.
    """

    target: Target
    options: BuildOptions
    precision: str | None = None
    io_precision: Io = "fp32"
    keep_fp32: frozenset[str] = frozenset()
    keep_list: Path | None = None
    least: tuple[TensorSpec, ...] = ()
    usual: tuple[TensorSpec, ...] = ()
    most: tuple[TensorSpec, ...] = ()
    timing_cache: Path | None = None
    using: Using | None = None
    seed: int = 0
    command: str = ""


@dataclass(frozen=True)
class Prepared:
    """A model and options, ready for a builder of the target's version."""

    model: BuildModel
    options: BuildOptions


def check_wish(wish: BuildWish) -> None:
    """Refuse what cannot be done, before any work.

    Raises:
        EdgeupError: an option that the target, or its package, does not have.
    """
    from edgeup.pipeline.precision.lower import check_precision

    target, options = wish.target, wish.options
    rtx = target.backend == "tensorrt-rtx"
    if target.typing is None:
        raise EdgeupError(
            f"there is no engine to build for {target.name}: it runs ONNX Runtime; name a Jetson, "
            f"a JetPack, a TensorRT or rtx with --target"
        )
    check_precision(wish.precision or "fp32", target, wish.io_precision, wish.keep_fp32)
    if options.compute_capabilities and not rtx:
        raise EdgeupError(
            f"--compute-capability is of TensorRT for RTX alone (--target rtx); for {target.name} "
            f"an engine is for the GPU that builds it: leave it out"
        )
    if rtx and wish.timing_cache is not None:
        raise EdgeupError(
            "TensorRT for RTX has no timing cache: it chooses kernels where an engine is loaded; "
            "leave --timing-cache out"
        )
    if options.dla_core is None:
        if options.gpu_fallback:
            raise EdgeupError("--allow-gpu-fallback is of --use-dla-core; name a core, too")
        return
    if rtx or (target.board is not None and target.dla is None):
        raise EdgeupError(f"{target.name} has no DLA to use; leave --use-dla-core out")
    if target.dla is not None and options.dla_core >= target.dla.cores:
        raise EdgeupError(f"{target.name} has {target.dla.cores} DLA cores, counted from 0")


def with_dla_typing(wish: BuildWish) -> BuildWish:
    """The wish; for a DLA before TensorRT 11, under weak typing.

    There a DLA goes by flags: for one, trtexec of 10.0 to 10.7 sets FP16 and
    PREFER_PRECISION_CONSTRAINTS by itself (samples/common/sampleEngines.cpp), which a strongly
    typed network forbids. Strongly typed networks for DLAs came with 11.4 (its documentation).
    """
    if wish.options.dla_core is None or wish.target.strongly_typed_only:
        return wish
    return replace(wish, target=replace(wish.target, typing="weak"))


def load_named(path: Path, notice: Callable[[str], None] = lambda words: None) -> ir.Model:
    """The file's model, with a name for every node: by it, layers are found again.

    Args:
        path: the file.
        notice: is told what was changed to read it.

    Raises:
        EdgeupError: the file cannot be read.
    """
    from edgeup.export.load import load_model
    from edgeup.export.optimize import name_nodes

    model = load_model(path, notice)
    name_nodes(model)
    return model


def prepare(model: ir.Model, wish: BuildWish, stage: Stage) -> Prepared:
    """The model in its precision, and the options that go with it.

    Raises:
        EdgeupError: the target lacks the precision, a shape is missing, or a DLA got fp32.
    """
    options = typed(wish, model, weak_fp16=wish.precision == "fp16")
    lowered = in_precision(
        model,
        wish.precision,
        wish.target,
        options.shapes,
        io=wish.io_precision,
        keep_fp32=wish.keep_fp32,
        seed=wish.seed,
        stage=stage,
    )
    if options.dla_core is not None and lowered.precision == "fp32":
        raise EdgeupError("a DLA computes in fp16 and int8: add --precision fp16")
    return Prepared(lowered, replace(options, keep_fp32=lowered.keep_fp32))


def typed(wish: BuildWish, model: ir.Model, *, weak_fp16: bool) -> BuildOptions:
    """The options with the target's typing and the inputs' shapes."""
    from edgeup.export.load import input_specs

    strongly = wish.target.has_strong_typing
    return replace(
        wish.options,
        strongly_typed=strongly,
        fp16=weak_fp16 and not strongly,
        shapes=shape_ranges(input_specs(model), wish.least, wish.usual, wish.most),
    )


def with_workspace(options: BuildOptions, device: Device | None) -> tuple[BuildOptions, list[str]]:
    """Where GPU and CPU share the memory, half of what is free, unless it was given."""
    from edgeup.runtime.engine.device import free_memory
    from edgeup.runtime.machine import Machine

    shares = device is not None and device.shares_memory
    free = free_memory(Machine()) if shares else None
    if options.workspace is not None or free is None:
        return options, []
    half = (free // 2) >> 20 << 20  # whole MiB, as trtexec counts
    said = f"workspace: {half >> 20} MiB, half of the memory that is free (--workspace changes it)"
    return replace(options, workspace=half), [said]

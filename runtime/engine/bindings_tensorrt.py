"""Every call to TensorRT's Python bindings that building and reading engines needs.

One module holds what differs between TensorRT 8.0 and 11 and TensorRT for RTX, and nothing else
touches an object of theirs. A name that some version lacks is used only behind a ``hasattr`` of
the very object or class that lacks it, so that a test can follow each version's branch and look
its names up in that version's table. The same kind of object has the same name everywhere:
``trt`` (the module), ``builder``, ``network``, ``config``, ``parser``, ``error``, ``layer``,
``tensor``, ``profile``, ``cache``, ``other``, ``memory``, ``runtime``, ``engine``, ``inspector``,
``context``. The package itself and its logger come from `bindings_library`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.errors import EdgeupError


@dataclass(frozen=True)
class ParserError:
    """Why the parser refused a model; a field is empty where this version does not tell.

    ``index`` is the node's place in the graph, -1 where the parser names none.
    """

    node: str
    op: str
    index: int
    code: str
    reason: str


def create_builder(trt: Any, logger: Any) -> tuple[Any, Any]:
    """A builder and its configuration.

    Raises:
        EdgeupError: TensorRT cannot start here: without a GPU or its driver, as a rule.
    """
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # what pybind11 makes of a null pointer
        raise EdgeupError(
            f"TensorRT {version_of(trt)} does not start here: no NVIDIA GPU, or no driver for it"
        ) from error
    return builder, builder.create_builder_config()


def version_of(trt: Any) -> str:
    """The version as the module tells it: "10.3.0", "1.7.1.116"."""
    return str(trt.__version__)


# ---------------------------------------------------------------------------- network and parser


def create_network(trt: Any, builder: Any, *, strongly_typed: bool) -> Any:
    """An empty network with explicit batch, which is a flag before TensorRT 11.

    Raises:
        EdgeupError: strong typing was asked of a TensorRT older than 10.
    """
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if strongly_typed:
        if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
            raise _too_old(trt, "strongly typed networks", "10.0")
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return builder.create_network(flags)


def parse(
    trt: Any, network: Any, logger: Any, content: bytes, *, portable: bool
) -> list[ParserError]:
    """Fill the network from a serialized ONNX model; no errors means that it was taken.

    Args:
        portable: the engine will be version- or hardware-compatible; such a one may not take
            InstanceNormalization from a plugin (`NvOnnxParser.h`, kNATIVE_INSTANCENORM).
    """
    parser = trt.OnnxParser(network, logger)
    if portable and hasattr(trt, "OnnxParserFlag"):
        parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
    if parser.parse(content):
        return []
    return [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)]


def _parser_error(error: Any) -> ParserError:
    node = op = ""
    if hasattr(error, "node_name"):
        node, op = error.node_name(), error.node_operator()
    code = str(error.code()).rpartition(".")[2]
    return ParserError(node, op, int(error.node()), code, str(error.desc()))


def keep_layers_fp32(trt: Any, network: Any, is_kept: Callable[[str, str], bool]) -> list[str]:
    """Under weak typing: set compute precision and float outputs of chosen layers to fp32.

    Args:
        is_kept: whether the layer of that name and metadata is one of them; metadata tells the
            layer's ONNX nodes from TensorRT 8.6 on and is empty before.

    Returns:
        The names of the layers that were set.
    """
    kept = []
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        metadata = layer.metadata if hasattr(layer, "metadata") else ""
        if not is_kept(str(layer.name), str(metadata)):
            continue
        if hasattr(layer, "precision"):  # gone in 11, where all networks are strongly typed
            outputs = [layer.get_output(number) for number in range(layer.num_outputs)]
            if not any(_is_float(trt, tensor) for tensor in outputs):
                continue
            layer.precision = trt.DataType.FLOAT
            for number, tensor in enumerate(outputs):
                if _is_float(trt, tensor):
                    layer.set_output_type(number, trt.DataType.FLOAT)
            kept.append(str(layer.name))
    return kept


def _is_float(trt: Any, tensor: Any) -> bool:
    return tensor is not None and tensor.dtype in (trt.DataType.FLOAT, trt.DataType.HALF)


# ------------------------------------------------------------------------------ builder's options


def set_workspace(trt: Any, config: Any, size: int) -> None:
    """Bytes of scratch memory that a layer may use."""
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
    else:
        config.max_workspace_size = size


def allow_fp16(trt: Any, config: Any) -> None:
    """Under weak typing: let layers run in fp16.

    Raises:
        EdgeupError: this TensorRT knows strong typing alone.
    """
    if hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    else:
        raise _gone(trt, "the fp16 flag", "precision is in the graph")


def obey_precisions(trt: Any, config: Any) -> None:
    """Under weak typing: a layer whose precision was set runs in it, or the build fails."""
    if hasattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS"):
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    elif hasattr(trt.BuilderFlag, "STRICT_TYPES"):  # 8.0
        config.set_flag(trt.BuilderFlag.STRICT_TYPES)
    else:
        raise _gone(trt, "precision constraints", "precision is in the graph")


def forbid_tf32(trt: Any, config: Any) -> None:
    """Compute fp32 convolutions and products in full fp32; TensorRT's default is TF32."""
    config.clear_flag(trt.BuilderFlag.TF32)


def allow_sparse_weights(trt: Any, config: Any) -> None:
    """Use 2:4 sparse kernels where the weights are so."""
    config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)


def set_optimization_level(trt: Any, config: Any, level: int) -> None:
    """0 to 5: how long to look for faster kernels; TensorRT's default is 3."""
    if hasattr(config, "builder_optimization_level"):
        config.builder_optimization_level = level
    else:
        raise _too_old(trt, "builder optimization level", "8.6")


def make_version_compatible(trt: Any, config: Any) -> None:
    """An engine that newer TensorRT versions of the same major release load."""
    if hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"):
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    else:
        raise _too_old(trt, "version-compatible engines", "8.6")


def make_hardware_compatible(trt: Any, config: Any, level: str) -> None:
    """An engine for other GPUs: ``ampere+``, or ``sameComputeCapability`` (from 10.9)."""
    if not hasattr(trt, "HardwareCompatibilityLevel"):
        raise _too_old(trt, "hardware-compatible engines", "8.6")
    if level == "ampere+":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    elif hasattr(trt.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY"):
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY
    else:
        raise _too_old(trt, "hardware compatibility by compute capability", "10.9")


def use_dla(trt: Any, builder: Any, config: Any, core: int, *, gpu_fallback: bool) -> None:
    """Place every layer on a DLA core that it can run.

    Raises:
        EdgeupError: this machine has no such core.
    """
    if core >= builder.num_DLA_cores:
        raise EdgeupError(
            f"DLA core {core} was asked for, and TensorRT finds {builder.num_DLA_cores} here; "
            f"leave --use-dla-core out, or name a core from 0"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def set_profiling_verbosity(trt: Any, config: Any, verbosity: str) -> None:
    """``layer_names_only``, ``none`` or ``detailed``: what the engine tells of its layers."""
    if hasattr(trt.ProfilingVerbosity, "DETAILED"):
        if verbosity == "detailed":
            config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        elif verbosity == "none":
            config.profiling_verbosity = trt.ProfilingVerbosity.NONE
        else:
            config.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
    elif verbosity == "detailed":  # 8.0's names of the same
        config.profiling_verbosity = trt.ProfilingVerbosity.VERBOSE
    elif verbosity == "none":
        config.profiling_verbosity = trt.ProfilingVerbosity.NONE
    else:
        config.profiling_verbosity = trt.ProfilingVerbosity.DEFAULT


def set_compute_capabilities(trt: Any, config: Any, wanted: Sequence[str]) -> None:
    """The GPUs that an engine of TensorRT for RTX is built for: "8.6", or "current".

    Raises:
        EdgeupError: not TensorRT for RTX, or a compute capability that it does not know.
    """
    if not hasattr(trt, "ComputeCapability"):
        raise EdgeupError(
            "--compute-capability is of TensorRT for RTX alone: TensorRT builds for the GPU that "
            "it runs on; leave it out, or build with --target rtx"
        )
    known = compute_capabilities(trt)
    config.num_compute_capabilities = len(wanted)
    for number, name in enumerate(wanted):
        if name not in known:
            raise EdgeupError(
                f"TensorRT for RTX {version_of(trt)} builds for the compute capabilities "
                f"{', '.join(known)}, not {name}; Jetson boards have none of them"
            )
        config.set_compute_capability(known[name], number)


def compute_capabilities(trt: Any) -> dict[str, Any]:
    """What TensorRT for RTX builds for, by its usual name ("8.6"); empty for TensorRT."""
    if not hasattr(trt, "ComputeCapability"):
        return {}
    named = {
        name: value
        for name, value in trt.ComputeCapability.__members__.items()
        if name not in ("NONE", "CURRENT")
    }
    # SM86 is 8.6, SM120 is 12.0.
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in named.items()} | {
        "current": trt.ComputeCapability.CURRENT
    }


def add_profile(
    builder: Any,
    config: Any,
    ranges: Sequence[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]],
) -> None:
    """One optimization profile: per input its name, smallest, usual and largest shape.

    Raises:
        EdgeupError: TensorRT finds the shapes inconsistent.
    """
    if not ranges:
        return
    profile = builder.create_optimization_profile()
    for name, least, usual, most in ranges:
        try:
            profile.set_shape(name, least, usual, most)
        except (ValueError, RuntimeError) as error:
            raise EdgeupError(
                f"TensorRT refuses the shapes {least}, {usual}, {most} of input {name}: {error}"
            ) from error
    if config.add_optimization_profile(profile) < 0:
        raise EdgeupError("TensorRT refuses the optimization profile; see its messages (-v)")


# ----------------------------------------------------------------------------------- timing cache


def use_timing_cache(config: Any, content: bytes) -> bool:
    """Take timings from a serialized cache (empty for a new one) and gather new ones in it.

    Returns:
        Whether TensorRT takes it; a cache of another version or GPU is refused.
    """
    cache = config.create_timing_cache(content)
    return cache is not None and bool(config.set_timing_cache(cache, False))


def gathered_timings(config: Any) -> bytes:
    """The cache after a build."""
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def merge_timings(config: Any, ours: bytes, theirs: bytes) -> bytes | None:
    """Both caches in one, or None where TensorRT refuses theirs (another version or GPU)."""
    cache = config.create_timing_cache(ours)
    other = config.create_timing_cache(theirs)
    if cache is None or other is None or not cache.combine(other, False):
        return None
    return bytes(cache.serialize())


# --------------------------------------------------------------------------- building and reading


def show_progress(trt: Any, config: Any, step: Callable[[str, int, int], bool]) -> bool:
    """Call ``step(phase, done, of)`` as the build goes on; it returns whether to go on.

    Returns:
        Whether this TensorRT can do so (10.0 and newer).
    """
    if not hasattr(trt, "IProgressMonitor"):
        return False
    totals: dict[str, int] = {}

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # an optional package's class
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            totals[phase_name] = num_steps
            step(phase_name, 0, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            totals.pop(phase_name, None)

        def step_complete(self, phase_name: str, step_number: int) -> bool:
            return step(phase_name, step_number + 1, totals.get(phase_name, step_number + 1))

    config.progress_monitor = Monitor()
    return True


def build(builder: Any, network: Any, config: Any) -> bytes | None:
    """The serialized engine; None where the builder failed, and its log says why."""
    memory = builder.build_serialized_network(network, config)
    return None if memory is None else bytes(memory)


def deserialize(trt: Any, logger: Any, content: bytes, *, version_compatible: bool) -> Any | None:
    """The engine, or None where TensorRT refuses it; its log says why.

    An engine is code; a version-compatible one even carries a runtime library of its own, which
    is loaded only on demand.
    """
    runtime = trt.Runtime(logger)
    if version_compatible and hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True
    return runtime.deserialize_cuda_engine(content)


def inspect(
    trt: Any, engine: Any, shapes: Sequence[tuple[str, tuple[int, ...]]] = ()
) -> str | None:
    """What the engine tells of its layers, as JSON; None before 8.2, which has no inspector.

    Args:
        shapes: of the inputs; with dynamic ones, formats are told only of given shapes.
    """
    if not hasattr(engine, "create_engine_inspector"):
        return None
    inspector = engine.create_engine_inspector()
    if shapes:
        context = engine.create_execution_context()
        for name, shape in shapes:
            if hasattr(context, "set_input_shape"):
                context.set_input_shape(name, shape)
            else:
                context.set_binding_shape(engine.get_binding_index(name), shape)
        inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


# ----------------------------------------------------------------------------------------- errors


def _too_old(trt: Any, what: str, first: str) -> EdgeupError:
    return EdgeupError(
        f"TensorRT {version_of(trt)} has no {what}; {first} is the first that has; "
        f"leave the option out"
    )


def _gone(trt: Any, what: str, instead: str) -> EdgeupError:
    return EdgeupError(f"TensorRT {version_of(trt)} no longer has {what}: {instead}")

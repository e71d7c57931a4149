"""Build an engine with TensorRT's Python bindings, in this process.

::

    ONNX bytes --parser--> network --options, precisions, profile--> builder --> engine
                  |                                                     |          |
                  node, operator, reason                      its own words     layers, read back
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from edgeup.runtime.engine import bindings_tensorrt as bindings
from edgeup.runtime.engine.background import Cancel, interruptible
from edgeup.runtime.engine.bindings_library import Library
from edgeup.runtime.engine.bindings_tensorrt_run import load_plugins
from edgeup.runtime.engine.request import BuildError, BuildOptions, Built

Progress = Callable[[str, int, int], None]
"""Takes the phase, the steps done and the steps there are."""


def build_engine(
    library: Library,
    content: bytes,
    options: BuildOptions,
    *,
    timings: bytes | None = None,
    progress: Progress = lambda phase, done, of: None,
) -> Built:
    """Parse, build, read the layers back.

    Args:
        library: the TensorRT to build with.
        content: a self-contained ONNX model.
        options: how to build.
        timings: a timing cache to start from (empty for a new one); None builds without.
        progress: called as the build goes on, where TensorRT can (10.0 and newer).

    Returns:
        The engine, or the errors of the parser or of the builder.

    Raises:
        EdgeupError: an option that this TensorRT or this machine does not have.
        KeyboardInterrupt: Ctrl-C; a build that can be stopped was, before this is raised.
    """
    cancel = Cancel()

    def step(phase: str, done: int, of: int) -> bool:
        progress(phase, done, of)
        return not cancel.asked.is_set()

    def work() -> Built:
        return _build(library, content, options, timings, step, cancel)

    with library.log.listen() as heard:
        built = interruptible(work, cancel)
    return _with_log(built, heard)


def merge_timings(library: Library, ours: bytes, theirs: bytes) -> bytes | None:
    """Two timing caches in one; None where TensorRT does not take the other one here."""
    _, config = bindings.create_builder(library.module, library.logger)
    return bindings.merge_timings(config, ours, theirs)


def _build(
    library: Library,
    content: bytes,
    options: BuildOptions,
    timings: bytes | None,
    step: Callable[[str, int, int], bool],
    cancel: Cancel,
) -> Built:
    trt, logger = library.module, library.logger
    version = bindings.version_of(trt)
    builder, config = bindings.create_builder(trt, logger)
    load_plugins(trt, logger)
    network = bindings.create_network(trt, builder, strongly_typed=options.strongly_typed)
    errors = bindings.parse(trt, network, logger, content, portable=options.portable)
    if errors:
        return Built(version, None, errors=_located(errors, content))
    _configure(trt, builder, config, options)
    notes = _keep_fp32(trt, network, config, options)
    if timings is not None and not bindings.use_timing_cache(config, timings):
        notes.append("the timing cache is of another TensorRT or GPU, and is begun anew")
        bindings.use_timing_cache(config, b"")
    cancel.heeded = bindings.show_progress(trt, config, step)
    engine = bindings.build(builder, network, config)
    gathered = b"" if timings is None else bindings.gathered_timings(config)
    if engine is None:
        return Built(version, None, timings=gathered, notes=tuple(notes))
    layers, unread = _read_back(library, engine, options)
    return Built(version, engine, (), layers, unread, timings=gathered, notes=tuple(notes))


def _configure(trt: Any, builder: Any, config: Any, options: BuildOptions) -> None:
    if options.workspace is not None:
        bindings.set_workspace(trt, config, options.workspace)
    if not options.tf32:
        bindings.forbid_tf32(trt, config)
    if options.fp16:
        bindings.allow_fp16(trt, config)
    if options.sparse_weights:
        bindings.allow_sparse_weights(trt, config)
    if options.optimization_level is not None:
        bindings.set_optimization_level(trt, config, options.optimization_level)
    if options.version_compatible:
        bindings.make_version_compatible(trt, config)
    if options.hardware_compatibility is not None:
        bindings.make_hardware_compatible(trt, config, options.hardware_compatibility)
    if options.dla_core is not None:
        fallback = options.gpu_fallback
        bindings.use_dla(trt, builder, config, options.dla_core, gpu_fallback=fallback)
    if options.compute_capabilities:
        bindings.set_compute_capabilities(trt, config, options.compute_capabilities)
    bindings.set_profiling_verbosity(trt, config, options.profiling_verbosity)
    ranges = [(r.name, r.least, r.usual, r.most) for r in options.shapes]
    bindings.add_profile(builder, config, ranges)


def _keep_fp32(trt: Any, network: Any, config: Any, options: BuildOptions) -> list[str]:
    """Set what must stay fp32 under weak typing; say which nodes no layer was found for."""
    if not options.keep_fp32:
        return []
    found: set[str] = set()

    def is_kept(layer: str, metadata: str) -> bool:
        nodes = nodes_of_layer(layer, metadata, options.keep_fp32)
        found.update(nodes)
        return bool(nodes)

    bindings.keep_layers_fp32(trt, network, is_kept)
    bindings.obey_precisions(trt, config)
    missing = [name for name in options.keep_fp32 if name not in found]
    return [f"no layer came out of {name}, so it has no precision to keep" for name in missing]


def nodes_of_layer(layer: str, metadata: str, nodes: Collection[str]) -> list[str]:
    """Which of some ONNX nodes a layer of the parsed network stands for.

    The parser calls a layer by its node; where a node needs several, the others end in ``_`` and
    a number, or, from TensorRT 8.6 on, say ``[ONNX Layer: node]`` in their metadata.
    """
    named = re.findall(r"\[ONNX Layer: (.*?)\]", metadata)
    if named:
        return [name for name in nodes if name in named]
    stem = re.sub(r"_\d+$", "", layer)
    return [name for name in nodes if name == layer] or [name for name in nodes if name == stem]


def _read_back(library: Library, engine: bytes, options: BuildOptions) -> tuple[str | None, str]:
    """The inspector's JSON, or None and the reason."""
    if library.package == "tensorrt_rtx":
        return None, (
            "not verifiable here: an engine of TensorRT for RTX chooses its kernels where it is "
            "loaded, and none can be loaded without a GPU"
        )
    trt = library.module
    loaded = bindings.deserialize(
        trt, library.logger, engine, version_compatible=options.version_compatible
    )
    if loaded is None:
        return None, "not verifiable here: TensorRT does not load the engine that it built"
    layers = bindings.inspect(trt, loaded, [(r.name, r.usual) for r in options.shapes])
    if layers is None:
        return None, f"not verifiable: {library.title} has no engine inspector"
    return layers, ""


def _located(errors: list[bindings.ParserError], content: bytes) -> tuple[BuildError, ...]:
    """Parser errors with their nodes; before 10.0 the parser tells the node's number alone."""
    import onnx

    known_by_number = [error for error in errors if not error.op and error.index >= 0]
    nodes = onnx.load_model_from_string(content).graph.node if known_by_number else ()
    located = []
    for error in errors:
        known = nodes[error.index] if 0 <= error.index < len(nodes) else None
        located.append(
            BuildError(
                "parser",
                " ".join(error.reason.split()),
                error.node or (known.name if known else ""),
                error.op or (known.op_type if known else ""),
                error.code,
            )
        )
    return tuple(located)


def _with_log(built: Built, heard: list[tuple[str, str]]) -> Built:
    """Add what TensorRT said: warnings, and, where no engine came out, the builder's errors."""
    lines = [(severity, " ".join(text.split())) for severity, text in heard]
    warnings = tuple(dict.fromkeys(text for severity, text in lines if severity == "WARNING"))
    errors = built.errors
    if built.engine is None and not errors:
        said = list(dict.fromkeys(text for severity, text in lines if severity != "WARNING"))
        errors = tuple(BuildError("builder", text) for text in said or ["it gave no reason"])
    return replace(built, warnings=warnings, errors=errors)

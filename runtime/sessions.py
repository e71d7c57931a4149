"""One way to open whatever runs: ONNX models on the CPU, engines on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.spec import Feeds, ModelSource, Outputs, TensorSpec

ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


class Session(Protocol):
    """What a loaded model can do, whatever runs it; a context manager."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> Outputs:
        """Every output by name, in the model's order."""
        ...

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        """A run on inputs that are in place already, to be timed."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...

    def __enter__(self) -> Session: ...

    def __exit__(self, *exception: object) -> None: ...


def is_engine(model: ModelSource) -> bool:
    """Whether that is the path of a TensorRT engine, by its suffix."""
    return not isinstance(model, bytes) and Path(model).suffix.lower() in ENGINE_SUFFIXES


def open_session(
    model: ModelSource,
    *,
    threads: int | None = None,
    trust: bool = False,
    options: RunOptions | None = None,
    notice: Callable[[str], None] = lambda line: None,
) -> Session:
    """Load a model on what runs it: an ONNX model on ONNX Runtime, an engine on TensorRT.

    Args:
        model: ONNX as bytes or a file, or the file of an engine (.engine, .plan, .trt).
        threads: of ONNX Runtime.
        trust: load an engine whose sidecar is missing or does not fit: the user vouches for it.
        options: how to run an engine. Whether it is one of TensorRT for RTX, and whether it
            carries its own runtime, its sidecar says.
        notice: called with what the user should know of a loaded engine.

    Raises:
        EdgeupError: it does not load; options of one kind were given with the other.
    """
    if not is_engine(model):
        if options is not None or trust:
            raise EdgeupError("zero copy, CUDA graphs, profiles and trust are for engines alone")
        return OnnxRuntimeSession(model, threads=threads)
    if threads is not None:
        raise EdgeupError("threads are ONNX Runtime's; an engine runs on the GPU")
    assert not isinstance(model, bytes)  # noqa: S101 - see is_engine
    return _open_engine(Path(model), trust, options or RunOptions(), notice)


def _open_engine(
    path: Path, trust: bool, options: RunOptions, notice: Callable[[str], None]
) -> Session:
    from edgeup.runtime.engine.bindings_library import find_library
    from edgeup.runtime.engine.bindings_tensorrt import version_of
    from edgeup.runtime.engine.device import find_device
    from edgeup.runtime.engine.session import TensorRTSession
    from edgeup.runtime.engine.sidecar import Here, load_engine, read_sidecar
    from edgeup.runtime.machine import Machine

    sidecar = read_sidecar(path)
    if sidecar is not None:
        options = replace(
            options,
            rtx=sidecar.package == "tensorrt_rtx",
            version_compatible=bool(sidecar.options.get("version_compatible")),
        )
    library = find_library("tensorrt_rtx" if options.rtx else "tensorrt")
    device = find_device(Machine())
    here = Here(
        library.package,
        version_of(library.module),
        None if device is None else device.name,
        None if device is None else device.compute_capability,
    )
    stored = load_engine(path, here, trust=trust)
    for line in stored.notices:
        notice(line)
    return TensorRTSession(stored.content, label=path.name, options=options)

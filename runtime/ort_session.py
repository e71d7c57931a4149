"""Runs ONNX models with ONNX Runtime on the CPU: the reference that everything is compared with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.runtime.cpu import cpu_threads
from edgeup.runtime.feeds import checked_feeds
from edgeup.spec import Array, Dim, Feeds, ModelSource, Outputs, TensorSpec

_FATAL = 4  # ONNX Runtime's log levels: 2 warning, 3 error, 4 fatal; errors reach us as exceptions

_DTYPES = {
    "float": "float32",
    "double": "float64",
    **{
        name: name
        for name in (
            *("float16", "bfloat16", "bool", "string"),
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        )
    },
}
"""NumPy's names for the element types in ONNX Runtime's ``tensor(...)``."""


class OnnxRuntimeSession:
    """A model, loaded on ONNX Runtime's CPU provider; a context manager.

    Args:
        model: serialized ONNX, or the path of a file. A file's external data is read beside it
            and nowhere else (ONNX Runtime checks that); bytes with external data are refused.
        threads: threads of one run; without it, `cpu_threads`.
        optimize: whether ONNX Runtime may rewrite the graph (all its levels, or none).
        yield_cores: stop its threads from spinning after a run, as sessions that take turns need:
            otherwise one session's idle threads slow the next session down.
        profiling: a folder: ONNX Runtime notes there what each node takes (`end_profiling`), and
            the graph that it runs as ``optimized.onnx``.

    Raises:
        EdgeupError: no such file, not an ONNX model, a model that ONNX Runtime refuses, fewer
            than one thread.
    """

    def __init__(
        self,
        model: ModelSource,
        *,
        threads: int | None = None,
        optimize: bool = True,
        yield_cores: bool = False,
        profiling: Path | None = None,
    ) -> None:
        import onnxruntime as ort

        if threads is not None and threads < 1:
            raise EdgeupError(f"a run needs at least 1 thread, got {threads}")
        self.threads = cpu_threads() if threads is None else threads
        self._label = "the model" if isinstance(model, bytes) else os.fspath(model)
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
        )
        if yield_cores:
            options.add_session_config_entry("session.force_spinning_stop", "1")
        if profiling is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profiling / "profile")
            options.optimized_model_filepath = str(profiling / "optimized.onnx")
            prefix = "session.optimized_model_external_initializers_"
            options.add_session_config_entry(f"{prefix}file_name", "optimized.weights")
            options.add_session_config_entry(f"{prefix}min_size_in_bytes", "1024")
        source = _checked_source(model)
        try:
            self._session: Any = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class but Exception
            raise _load_error(self._label, error) from error
        self.inputs = tuple(self._spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(self._spec(value) for value in self._session.get_outputs())

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model's memory; the session cannot run any more."""
        self._session = None

    def run(self, feeds: Feeds) -> Outputs:
        """Every output by name, in the graph's order.

        Raises:
            EdgeupError: an input is missing, unknown, of another dtype or shape; the run failed.
        """
        names = [output.name for output in self.outputs]
        try:
            values = self._open_session().run(names, self._checked_feeds(feeds))
        except EdgeupError:
            raise
        except Exception as error:
            raise EdgeupError(f"{self._label} failed to run: {_informative(error)}") from error
        return dict(zip(names, values, strict=True))

    def bind(self, feeds: Feeds) -> BoundRun:
        """A run on fixed feeds whose buffers are bound once: what is left to time is the graph.

        Raises:
            EdgeupError: as `run`.
        """
        return BoundRun(self._open_session(), self._checked_feeds(feeds), self._label)

    def end_profiling(self) -> Path:
        """Have the notes written; the file's path."""
        return Path(self._open_session().end_profiling())

    def _open_session(self) -> Any:
        if self._session is None:
            raise EdgeupError(f"{self._label} was closed before this run")
        return self._session

    def _checked_feeds(self, feeds: Feeds) -> dict[str, Array]:
        # ONNX Runtime gives () for a scalar and for an unknown rank alike; it knows which itself.
        inputs = [
            spec
            if spec.shape or spec.name not in feeds
            else replace(spec, shape=feeds[spec.name].shape)
            for spec in self.inputs
        ]
        return checked_feeds(self._label, inputs, feeds)

    def _spec(self, value: Any) -> TensorSpec:
        match = re.fullmatch(r"tensor\((\w+)\)", value.type)
        if match is None or match[1] not in _DTYPES:
            raise EdgeupError(f"{self._label}: {value.name} is a {value.type}, not a plain tensor")
        shape: tuple[Dim, ...] = tuple("?" if dim is None else dim for dim in value.shape)
        return TensorSpec(value.name, shape, _DTYPES[match[1]])


class BoundRun:
    """Runs a session on inputs bound once; outputs stay in ONNX Runtime's own buffers."""

    def __init__(self, session: Any, feeds: Mapping[str, Array], label: str) -> None:
        self._session = session
        self._label = label
        self._feeds = feeds  # bound by address: they must live as long as the binding
        self._binding = session.io_binding()
        for name, array in feeds.items():
            self._binding.bind_cpu_input(name, array)
        for output in session.get_outputs():
            self._binding.bind_output(output.name)

    def __call__(self) -> None:
        """Run once."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EdgeupError(f"{self._label} failed to run: {_informative(error)}") from error


def run_once(model: ModelSource, feeds: Feeds, *, optimize: bool = False) -> Outputs:
    """Load a model, run it, drop it; an `edgeup.spec.Run`.

    Without optimizations, each node computes what is written: that is the reference.

    Raises:
        EdgeupError: as `OnnxRuntimeSession` and its ``run``.
    """
    with OnnxRuntimeSession(model, optimize=optimize) as session:
        return session.run(feeds)


def _checked_source(model: ModelSource) -> bytes | str:
    """What ONNX Runtime may load."""
    if isinstance(model, bytes):
        if not model:
            raise EdgeupError("the model is not an ONNX model: it is empty (0 bytes)")
        # Bytes have no folder, and ONNX Runtime would read external data relative to wherever
        # the process stands. Every external tensor's protobuf holds the key "location".
        if b"location" in model and any(_external_tensors(model)):
            raise EdgeupError(
                "the model was given as bytes, but keeps weights in another file; give its path"
            )
        return model
    path = Path(model)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise EdgeupError(f"ONNX file {path} {what}")
    if path.stat().st_size == 0:
        raise EdgeupError(f"{path} is not an ONNX model: it is empty (0 bytes)")
    return str(path)


def _external_tensors(model: bytes) -> Iterator[str]:
    """Names of tensors whose data lies in another file, at any depth of the model."""
    import onnx

    def walk(message: Any) -> Iterator[str]:
        if isinstance(message, onnx.TensorProto):
            if message.data_location == onnx.TensorProto.EXTERNAL:
                yield message.name
            return
        for field, value in message.ListFields():
            if field.message_type is not None:
                for child in [value] if hasattr(value, "ListFields") else value:
                    yield from walk(child)

    try:
        proto = onnx.ModelProto.FromString(model)
    except Exception:  # protobuf's DecodeError, under a name that depends on its version
        return  # not a model at all; ONNX Runtime will say so
    yield from walk(proto)


def _load_error(label: str, error: Exception) -> EdgeupError:
    text = str(error)
    if "INVALID_PROTOBUF" in text or "No graph was found" in text:
        return EdgeupError(f"{label} is not an ONNX model: it does not parse as one")
    return EdgeupError(f"ONNX Runtime refuses {label}: {_informative(error)}")


def _informative(error: Exception, limit: int = 300) -> str:
    """One line of ONNX Runtime's message: without its codes, its source lines and signatures."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"^Load model from .*? failed:\s*", "", text)
    text = re.sub(r"^Exception during initialization: ", "", text)
    text = re.sub(r"/onnxruntime_src/\S+:\d+ [^()]*\([^()]*\)(?: const)? ", "", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"

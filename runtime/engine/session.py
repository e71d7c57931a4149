"""Runs TensorRT engines on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.bindings_tensorrt_run import EngineTensor, Shape
from edgeup.runtime.engine.device_memory import DeviceMemory
from edgeup.runtime.engine.loaded import LoadedEngine, RunOptions
from edgeup.runtime.feeds import checked_feeds
from edgeup.runtime.traces import Span
from edgeup.spec import Array, Feeds, Outputs, TensorSpec


class TensorRTSession:
    """An engine, loaded on the GPU; a context manager with the shape of `OnnxRuntimeSession`.

    An engine is code: this class runs whatever it is given. `edgeup.runtime.engine.sidecar`
    checks a file first.

    TensorRT before 10 has no INT64: its parser makes int32 of such inputs and outputs. A session
    takes int64 feeds there too, as the ONNX model does, and refuses values beyond int32.

    After an error of CUDA or TensorRT the session is closed: the error may have spoilt the GPU's
    state, and its memory is given back. After a refused feed it goes on.

    Args:
        engine: the serialized engine.
        label: what messages call it.
        options: how to run it.

    Raises:
        EdgeupError: no TensorRT or CUDA package, no GPU, an engine that does not load here (of
            another version, for another GPU, damaged) or that takes or gives what cannot be
            fed or read; zero copy on a GPU with memory of its own.
    """

    def __init__(
        self, engine: bytes, *, label: str = "the engine", options: RunOptions | None = None
    ) -> None:
        self._label = label
        self._loaded: LoadedEngine | None = LoadedEngine(engine, label, options or RunOptions())
        self.software = self._loaded.software
        self._limits = self._loaded.limits
        self._has_int64 = self._loaded.has_int64
        self.inputs = tuple(_spec(tensor) for tensor in self._loaded.inputs)
        self.outputs = tuple(_spec(tensor) for tensor in self._loaded.outputs)

    def __enter__(self) -> TensorRTSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the GPU and free all of its memory; the session cannot run any more."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            with loaded.cuda.active():
                loaded.free()

    def run(self, feeds: Feeds) -> Outputs:
        """Every output by name, in the engine's order.

        Raises:
            EdgeupError: an input is missing, unknown, of another dtype or shape, or of a shape
                that the engine was not built for; the run failed.
        """
        arrays = self._checked_feeds(feeds)
        with self._on_gpu() as loaded:
            loaded.place(arrays)
            loaded.start()
            return loaded.fetch()

    def bind(self, feeds: Feeds) -> BoundEngineRun:
        """A run on inputs that lie on the GPU already: what is left to time is the engine.

        Raises:
            EdgeupError: as `run`.
        """
        arrays = self._checked_feeds(feeds)
        with self._on_gpu() as loaded:
            loaded.place(arrays)
            loaded.wait()
            return BoundEngineRun(self, loaded.placed)

    def device_memory(self) -> DeviceMemory:
        """What the engine takes of the GPU's memory now; best asked after a run.

        Raises:
            EdgeupError: the session is closed, or CUDA does not tell.
        """
        with self._on_gpu() as loaded:
            return loaded.device_memory()

    def layer_times(self, feeds: Feeds, runs: int) -> dict[str, list[float]]:
        """Milliseconds of each layer, as TensorRT's profiler reports them, by run.

        The profiler waits for each layer, so that the sum exceeds an ordinary run's time.

        Raises:
            EdgeupError: as `run`.
        """
        arrays = self._checked_feeds(feeds)
        with self._on_gpu() as loaded:
            loaded.place(arrays)
            return loaded.layer_times(runs)

    @contextmanager
    def _on_gpu(self) -> Iterator[LoadedEngine]:
        """Work on the GPU; whatever interrupts it ends the session."""
        loaded = self._loaded
        if loaded is None:
            raise EdgeupError(f"{self._label} was closed before this run")
        with loaded.cuda.active():
            try:
                yield loaded
            except BaseException:
                with suppress(EdgeupError):  # what comes after the first error is no news
                    self.close()
                raise

    def _checked_feeds(self, feeds: Feeds) -> dict[str, Array]:
        kinds = {spec.name: spec.dtype for spec in self.inputs}
        narrowed = {
            name: self._narrowed(name, array) if kinds.get(name) == "int32" else array
            for name, array in feeds.items()
        }
        arrays = checked_feeds(self._label, self.inputs, narrowed)
        for name, (least, most) in self._limits.items():
            shape = arrays[name].shape
            if any(not low <= n <= high for low, n, high in zip(least, shape, most, strict=True)):
                raise EdgeupError(
                    f"{self._label}: input {name} got shape {_size(shape)}, and was built for "
                    f"{_size(least)} to {_size(most)}"
                )
        return arrays

    def _narrowed(self, name: str, array: Array) -> Array:
        """int64 as int32, for a TensorRT that has no INT64."""
        if array.dtype != np.int64 or self._has_int64:
            return array
        limits = np.iinfo(np.int32)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise EdgeupError(
                f"{self._label}: input {name} is int32 in this TensorRT, and the values "
                f"{array.min()} to {array.max()} do not fit"
            )
        return array.astype(np.int32)


class BoundEngineRun:
    """Runs an engine on inputs that lie on the GPU; outputs stay there.

    It is over when its session places other inputs or is closed.
    """

    def __init__(self, session: TensorRTSession, placed: int) -> None:
        self._session = session
        self._placed = placed

    def __call__(self) -> None:
        """Run once, to the end."""
        with self._ready() as loaded:
            loaded.start()
            loaded.wait()

    def gpu_ms(self) -> float:
        """Run once; milliseconds that the GPU took, by CUDA events (trtexec's GPU Compute Time)."""
        with self._ready() as loaded:
            return loaded.gpu_ms()

    def begin_trace(self) -> None:
        """Have `finish` count from here on."""
        with self._ready() as loaded:
            loaded.begin_trace()

    def submit(self, clock: Callable[[], int], *, transfers: bool) -> tuple[int, int]:
        """Hand one run over, with the copies if ``transfers``, and do not wait.

        Returns:
            The host's clock before and after the network was handed over.
        """
        with self._ready() as loaded:
            return loaded.submit(clock, transfers=transfers)

    def finish(self) -> tuple[Span, Span, Span]:
        """Wait for the submitted run: when its copy in, network and copy out began and ended."""
        with self._ready() as loaded:
            return loaded.finish()

    @contextmanager
    def _ready(self) -> Iterator[LoadedEngine]:
        with self._session._on_gpu() as loaded:
            if loaded.placed != self._placed:
                raise EdgeupError("other inputs were placed since this run was bound: bind again")
            yield loaded


def _spec(tensor: EngineTensor) -> TensorSpec:
    return TensorSpec(tensor.name, tuple("?" if n == -1 else n for n in tensor.shape), tensor.dtype)


def _size(shape: Shape) -> str:
    return "x".join(str(n) for n in shape)

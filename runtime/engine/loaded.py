"""An engine on the GPU, with all that belongs to it: context, stream, buffers, graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.runtime.engine import bindings_tensorrt, bindings_tensorrt_run
from edgeup.runtime.engine.bindings_cuda import open_cuda, open_cuda_with_graphs
from edgeup.runtime.engine.bindings_library import Heard, Library, find_library
from edgeup.runtime.engine.bindings_tensorrt_run import EngineTensor, Shape
from edgeup.runtime.engine.buffers import IOBuffers
from edgeup.runtime.engine.cuda import Cuda, CudaWithGraphs
from edgeup.runtime.engine.device_memory import DeviceMemory
from edgeup.runtime.traces import Span
from edgeup.spec import Array, Outputs


@dataclass(frozen=True)
class RunOptions:
    """How to run an engine.

    ``rtx``: it is one of TensorRT for RTX. ``profile``: which optimization profile to run under.
    ``zero_copy``: let the GPU work on host memory instead of copying; integrated GPUs only.
    ``cuda_graph``: launch it as one CUDA graph, recorded at the first run of each set of shapes;
    needs cuda-python. ``version_compatible``: it was built so, and carries a runtime of its own.
    """

    rtx: bool = False
    profile: int = 0
    zero_copy: bool = False
    cuda_graph: bool = False
    version_compatible: bool = False


class LoadedEngine:
    """A deserialized engine that owns its GPU memory until `free`.

    Its methods stand inside ``with self.cuda.active()``, and expect checked arrays. After an
    error there is nothing left to do but `free`.

    Raises:
        EdgeupError: see `edgeup.runtime.engine.session.TensorRTSession`.
    """

    def __init__(self, content: bytes, label: str, options: RunOptions) -> None:
        self._label = label
        self._profile = options.profile
        self._library: Library = find_library("tensorrt_rtx" if options.rtx else "tensorrt")
        self._graphs: CudaWithGraphs | None = None
        if options.cuda_graph:
            self._graphs = open_cuda_with_graphs()
        self.cuda: Cuda = self._graphs or open_cuda()
        self.software = self._library.title
        self.has_int64 = bindings_tensorrt_run.has_int64(self._library.module)
        self._graph: int | None = None
        self._shapes: dict[str, Shape] = {}
        self._events: list[int] = []
        """Of a trace: its origin, and the four ends of its three parts."""
        self.placed = 0
        """How often inputs were placed: a run on inputs of an earlier time is over."""
        self._owned = ExitStack()  # frees in reverse order, whatever of it fails
        with self.cuda.active():
            try:
                self._acquire(content, options, self._owned)
            except BaseException:
                with suppress(EdgeupError):  # what comes after the first error is no news
                    self._owned.close()
                raise

    def _acquire(self, content: bytes, options: RunOptions, stack: ExitStack) -> None:
        if options.zero_copy and not self.cuda.is_integrated():
            raise EdgeupError(
                "zero copy is for a GPU that shares the CPU's memory, as on a Jetson; this one "
                "has its own: leave zero copy out"
            )
        self._heard: Heard = stack.enter_context(self._library.log.listen())
        self._stream = self.cuda.create_stream()
        stack.callback(self.cuda.free_stream, self._stream)
        self._buffers = IOBuffers(self.cuda, zero_copy=options.zero_copy)
        stack.callback(self._buffers.free)
        stack.callback(self._drop_engine)
        self._free_before, _ = self.cuda.memory_info()
        trt, logger = self._library.module, self._library.logger
        bindings_tensorrt_run.load_plugins(trt, logger)
        self._engine: Any = bindings_tensorrt.deserialize(
            trt, logger, content, version_compatible=options.version_compatible
        )
        if self._engine is None:
            raise self._failure("does not load")
        self._io: Any = bindings_tensorrt_run.io_of(trt, self._engine, options.profile)
        tensors: tuple[EngineTensor, ...] = self._io.tensors()
        self.inputs = tuple(tensor for tensor in tensors if tensor.is_input)
        self.outputs = tuple(tensor for tensor in tensors if not tensor.is_input)
        self.limits: dict[str, tuple[Shape, Shape]] = {
            tensor.name: self._io.limits(tensor.name)
            for tensor in self.inputs
            if -1 in tensor.shape
        }
        """Of each input with dynamic dimensions, the smallest and the largest shape."""
        self._context: Any = self._new_context()
        stack.callback(self._drop_graph)
        stack.callback(self.cuda.synchronize, self._stream)

    def free(self) -> None:
        """Wait for the GPU and give all back."""
        self._owned.close()

    def device_memory(self) -> DeviceMemory:
        """What it takes of the GPU's memory; best asked after a run."""
        activations, weights = bindings_tensorrt_run.memory_needs(
            self._library.module, self._engine
        )
        free, total = self.cuda.memory_info()
        return DeviceMemory(
            activations=activations,
            weights=weights,
            buffers=self._buffers.device_bytes,
            free_before=self._free_before,
            free=free,
            total=total,
            shared=self.cuda.is_integrated(),
        )

    def place(self, arrays: Mapping[str, Array]) -> None:
        """Start bringing the inputs to the GPU, and make room for the outputs.

        The host's buffers are in use until `wait` or `fetch`: one of them must come in between
        before inputs are placed again.
        """
        self._heard.clear()
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != self._shapes:
            self._resize(shapes)
        for name, array in arrays.items():
            self._buffers.host(name)[...] = array
            self._buffers.upload(name, self._stream)
        self.placed += 1

    def start(self) -> None:
        """Have the GPU run the engine once."""
        if self._graphs is None:
            self._enqueue(self._context)
            return
        if self._graph is None:
            self._graph = self._captured(self._graphs)
        self._graphs.launch(self._graph, self._stream)

    def wait(self) -> None:
        """Wait until the GPU is done."""
        self.cuda.synchronize(self._stream)

    def fetch(self) -> Outputs:
        """Wait for the run and copy every output, in the engine's order."""
        self._download()
        self.cuda.synchronize(self._stream)
        return {tensor.name: self._buffers.host(tensor.name).copy() for tensor in self.outputs}

    def gpu_ms(self) -> float:
        """Run once: milliseconds between CUDA events before and after the engine's work."""
        with ExitStack() as stack:
            events = [self.cuda.create_event() for _ in range(2)]
            for event in events:
                stack.callback(self.cuda.free_event, event)
            self.cuda.record(events[0], self._stream)
            self.start()
            self.cuda.record(events[1], self._stream)
            self.cuda.synchronize(self._stream)
            return self.cuda.elapsed_ms(events[0], events[1])

    def begin_trace(self) -> None:
        """Count the times of `finish` from here on."""
        if not self._events:
            for _ in range(5):
                event = self.cuda.create_event()
                self._owned.callback(self.cuda.free_event, event)
                self._events.append(event)
        self.cuda.record(self._events[0], self._stream)
        self.cuda.synchronize(self._stream)

    def submit(self, clock: Callable[[], int], *, transfers: bool) -> tuple[int, int]:
        """Hand one run over, with events around each part; the host's clock at the network's."""
        begin, placed, done, fetched = self._events[1:]
        self.cuda.record(begin, self._stream)
        if transfers:
            for tensor in self.inputs:
                self._buffers.upload(tensor.name, self._stream)
        self.cuda.record(placed, self._stream)
        start = clock()
        self.start()
        end = clock()
        self.cuda.record(done, self._stream)
        if transfers:
            self._download()
        self.cuda.record(fetched, self._stream)
        return start, end

    def finish(self) -> tuple[Span, Span, Span]:
        """Wait for what was submitted: when its copy in, network and copy out began and ended."""
        self.cuda.synchronize(self._stream)
        origin, *events = self._events
        begin, placed, done, fetched = (self.cuda.elapsed_ms(origin, event) for event in events)
        return (begin, placed), (placed, done), (done, fetched)

    def layer_times(self, runs: int) -> dict[str, list[float]]:
        """Milliseconds of each layer by run, in a context of its own."""
        times: dict[str, list[float]] = {}
        context = self._new_context()
        for name, shape in self._shapes.items():
            self._choose_shape(context, name, shape)
        profiler = bindings_tensorrt_run.report_layers(
            self._library.module, context, lambda layer, ms: times.setdefault(layer, []).append(ms)
        )
        for _ in range(runs):
            self._enqueue(context)
            self.cuda.synchronize(self._stream)
        del context, profiler  # in this order: the context reports to the profiler
        return times

    def _download(self) -> None:
        for tensor in self.outputs:
            self._buffers.download(tensor.name, self._stream)

    def _new_context(self) -> Any:
        context = bindings_tensorrt_run.create_context(self._engine, self._profile, self._stream)
        if context is None:
            raise self._failure("gets no execution context")
        self.cuda.synchronize(self._stream)  # a profile is chosen on the stream
        return context

    def _resize(self, shapes: dict[str, Shape]) -> None:
        self._drop_graph()
        for name, shape in shapes.items():
            self._choose_shape(self._context, name, shape)
        for tensor in (*self.inputs, *self.outputs):
            shape = self._io.shape(self._context, tensor.name)
            if -1 in shape:
                raise EdgeupError(
                    f"{self._label}: the shape of {tensor.name} depends on the inputs' values; "
                    f"only shapes that follow from the inputs' shapes can be run"
                )
            self._buffers.reserve(tensor.name, shape, tensor.dtype)
        self._shapes = shapes

    def _choose_shape(self, context: Any, name: str, shape: Shape) -> None:
        if name in self.limits and not self._io.set_input_shape(context, name, shape):
            size = "x".join(str(dim) for dim in shape)
            raise self._failure(f"does not take the shape {size} for input {name}")

    def _captured(self, graphs: CudaWithGraphs) -> int:
        # What TensorRT sets up at the first run of new shapes must not end up in the graph.
        self._enqueue(self._context)
        graphs.synchronize(self._stream)
        graphs.begin_capture(self._stream)
        try:
            self._enqueue(self._context)
        except EdgeupError:
            with suppress(EdgeupError):  # the stream must leave capture; the cause is known
                graphs.free_graph(graphs.end_capture(self._stream))
            raise
        return graphs.end_capture(self._stream)

    def _enqueue(self, context: Any) -> None:
        if not self._io.enqueue(context, self._buffers.addresses, self._stream):
            raise self._failure("failed to run")

    def _failure(self, what: str) -> EdgeupError:
        """TensorRT itself says only that it failed; why is in its log, the cause first."""
        errors = [" ".join(text.split()) for kind, text in self._heard if kind != "WARNING"]
        reason = errors[0] if errors else "it gave no reason"
        return EdgeupError(f"{self._label} {what}: {self._library.title}: {reason}")

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None and self._graphs is not None:
            self._graphs.free_graph(graph)

    def _drop_engine(self) -> None:
        self._context = self._io = self._engine = None

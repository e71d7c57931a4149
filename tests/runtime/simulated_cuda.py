"""A GPU that is only NumPy arrays, behind the APIs of pycuda and cuda-python.

It is as lazy as CUDA may be: nothing that is put on a stream happens before the stream is
synchronized. So an output read too early is stale, an input overwritten too early is lost, and
memory freed too early is missed. What CUDA would answer with garbage or a crash is a `fault`
here: it raises, and is kept, so that a test fails even where the error was swallowed.
"""

# ruff: noqa: N801, N815 - names are spelled as CUDA and pycuda spell them

from __future__ import annotations

import enum
import threading
import types
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

POISON = 0xA5
"""What fresh memory holds."""


class SimulationFaultError(AssertionError):
    """Something that a GPU would not have forgiven."""


class GpuRefusalError(Exception):
    """An error that CUDA reports: a number and words."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


@dataclass
class Operation:
    """Work on a stream: what it does, and the memory that it needs until it has been done."""

    name: str
    work: object
    touches: tuple[int, ...] = ()
    ms: float = 0.1


@dataclass
class Stream:
    pending: list[Operation] = field(default_factory=list)
    capture: list[Operation] | None = None


class Gpu:
    """Memory, streams, events and graphs; ``refuse`` plans an error of CUDA's own."""

    def __init__(self, *, integrated=False):
        self.integrated = integrated
        self.device = {}  # address -> bytes
        self.host = {}  # address -> (bytes, address for the GPU or None)
        self.mapped = {}  # address for the GPU -> bytes
        self.streams = {}
        self.events = {}
        self.graphs = {}
        self.faults = []
        self.calls = []
        self.clock = 0.0
        self.total = 8 << 30
        self.reserved = 0  # by TensorRT, for weights and activations
        self._refusals = {}
        self._next = 0x7F00_0000_0000
        self._current = threading.local()

    def fault(self, words):
        self.faults.append(words)
        raise SimulationFaultError(words)

    def refuse(self, call, *, after=0, code=2, words="out of memory"):
        """Have CUDA answer the next call of a name (after some that go well) with an error."""
        self._refusals[call] = [after, code, words]

    def called(self, call):
        self.calls.append(call)
        plan = self._refusals.get(call)
        if plan is None:
            return
        if plan[0] == 0:
            del self._refusals[call]
            raise GpuRefusalError(*plan[1:])
        plan[0] -= 1

    def leaks(self):
        """What was made and not freed."""
        kinds = ("device", "host", "streams", "events", "graphs")
        counts = {kind: len(getattr(self, kind)) for kind in kinds} | {"pushed": self.depth}
        return {kind: count for kind, count in counts.items() if count}

    # ---------------------------------------------------------------------- contexts of pycuda

    def push(self):
        self._current.depth = self.depth + 1

    def pop(self):
        if not self.depth:
            self.fault("a context was popped that was not pushed on this thread")
        self._current.depth -= 1

    @property
    def depth(self):
        return getattr(self._current, "depth", 0)

    # ----------------------------------------------------------------------------------- memory

    def memory_info(self):
        """Free and total bytes; where the GPU has no memory of its own, the host's count too."""
        self.called("memory_info")
        arrays = list(self.device.values())
        if self.integrated:
            arrays += [array for array, _ in self.host.values()]
        return self.total - self.reserved - sum(array.nbytes for array in arrays), self.total

    def _address(self, nbytes):
        address = self._next
        self._next += (nbytes // 256 + 2) * 256  # a gap, so that what overruns hits nothing
        return address

    def alloc(self, nbytes):
        self._not_capturing("allocate memory")
        self.called("alloc")
        if nbytes < 1:
            raise GpuRefusalError(1, "invalid argument")
        address = self._address(nbytes)
        self.device[address] = np.full(nbytes, POISON, np.uint8)
        return address

    def free(self, address):
        if address not in self.device:
            self.fault(f"{address:#x} is freed, and is no device memory (any more)")
        self._not_in_use(address, "device memory")
        self.called("free")
        del self.device[address]

    def alloc_host(self, nbytes, *, mapped):
        self._not_capturing("allocate memory")
        self.called("alloc_host")
        array = np.full(nbytes, POISON, np.uint8)
        alias = self._address(nbytes) if mapped else None
        self.host[array.ctypes.data] = (array, alias)
        if alias is not None:
            self.mapped[alias] = array
        return array

    def device_pointer(self, address):
        self.called("device_pointer")
        alias = self.host[address][1] if address in self.host else None
        if alias is None:
            raise GpuRefusalError(1, "invalid argument: the memory is not mapped")
        return alias

    def free_host(self, address):
        if address not in self.host:
            self.fault(f"{address:#x} is freed, and is no page-locked memory (any more)")
        array, alias = self.host[address]
        self._not_in_use(address, "page-locked memory")
        if alias is not None:
            self._not_in_use(alias, "mapped memory")
        self.called("free_host")
        del self.host[address]
        self.mapped.pop(alias, None)
        array[...] = POISON  # whoever still reads it sees that it is gone

    def on_device(self, address, nbytes, what):
        """Bytes at an address that the GPU was given."""
        return self._find(self.device | self.mapped, address, nbytes, what)[1]

    def on_host(self, address, nbytes, what):
        """Bytes of page-locked memory, which asynchronous copies want."""
        arrays = {base: array for base, (array, _) in self.host.items()}
        return self._find(arrays, address, nbytes, what)[1]

    def block(self, address):
        """The start of the allocation that an address lies in."""
        arrays = {base: array for base, (array, _) in self.host.items()}
        return self._find(self.device | self.mapped | arrays, address, 0, "an operation")[0]

    def _find(self, arrays, address, nbytes, what):
        for base, array in arrays.items():
            if base <= address < base + array.size:
                if address + nbytes > base + array.size:
                    self.fault(
                        f"{what} takes {nbytes} bytes at an address that has "
                        f"{base + array.size - address}"
                    )
                return base, array[address - base : address - base + nbytes]
        return self.fault(f"{what} got {address:#x}, which is no such memory (any more)")

    def _not_in_use(self, address, what):
        for stream in self.streams.values():
            for operation in stream.pending:
                if address in operation.touches:
                    self.fault(f"{what} is freed while {operation.name} may be using it")

    # ------------------------------------------------------------------------- streams and events

    def stream(self, handle):
        """A living stream of that handle."""
        if int(handle) not in self.streams:
            self.fault(f"{int(handle):#x} is no stream (any more)")
        return self.streams[int(handle)]

    def create_stream(self):
        self.called("create_stream")
        handle = self._address(8)
        self.streams[handle] = Stream()
        return handle

    def free_stream(self, handle):
        if self.stream(handle).pending:
            self.fault("a stream is destroyed with work on it")
        self.called("free_stream")
        del self.streams[int(handle)]

    def submit(self, handle, operation):
        stream = self.stream(handle)
        (stream.pending if stream.capture is None else stream.capture).append(operation)

    def synchronize(self, handle):
        stream = self.stream(handle)
        self._not_capturing("synchronize")
        try:
            self.called("synchronize")
        except GpuRefusalError:
            stream.pending.clear()  # an error that surfaces here has ended the work
            raise
        while stream.pending:
            operation = stream.pending[0]
            operation.work()
            self.clock += operation.ms
            stream.pending.pop(0)

    def copy(self, name, target, source, stream, touches):
        """Put a copy on a stream; both ends are looked up again when it happens."""
        target(), source()

        def work():
            target()[...] = source()

        self.called(name)
        self.submit(stream, Operation(name, work, tuple(self.block(a) for a in touches)))

    def copy_in(self, address, host, nbytes, stream):
        self.copy(
            "copy_in",
            lambda: self.on_device(address, nbytes, "a copy to the device"),
            lambda: self.on_host(host, nbytes, "a copy to the device"),
            stream,
            (address, host),
        )

    def copy_out(self, host, address, nbytes, stream):
        self.copy(
            "copy_out",
            lambda: self.on_host(host, nbytes, "a copy from the device"),
            lambda: self.on_device(address, nbytes, "a copy from the device"),
            stream,
            (host, address),
        )

    def create_event(self):
        self.called("create_event")
        handle = self._address(8)
        self.events[handle] = None
        return handle

    def record(self, event, stream):
        self._known(self.events, event, "event")

        def work():
            self.events[int(event)] = self.clock

        self.submit(stream, Operation("an event", work, ms=0.0))

    def elapsed(self, start, end):
        times = [self._known(self.events, event, "event") for event in (start, end)]
        if None in times:
            raise GpuRefusalError(600, "device not ready")
        return times[1] - times[0]

    def free_event(self, event):
        self._known(self.events, event, "event")
        del self.events[int(event)]

    # ------------------------------------------------------------------------------------- graphs

    def begin_capture(self, handle):
        self.called("begin_capture")
        self.stream(handle).capture = []

    def end_capture(self, handle):
        stream = self.stream(handle)
        operations, stream.capture = stream.capture, None
        self.called("end_capture")
        if operations is None:
            raise GpuRefusalError(1, "the stream is not capturing")
        graph = self._address(8)
        self.graphs[graph] = operations
        return graph

    def launch(self, graph, stream):
        self.called("launch")
        for operation in self._known(self.graphs, graph, "graph"):
            self.submit(stream, operation)

    def free_graph(self, graph):
        self._known(self.graphs, graph, "graph")
        del self.graphs[int(graph)]

    def _not_capturing(self, what):
        if any(stream.capture is not None for stream in self.streams.values()):
            self.fault(f"{what} while a graph is captured")

    def _known(self, table, handle, what):
        if int(handle) not in table:
            self.fault(f"{int(handle):#x} is no {what} (any more)")
        return table[int(handle)]


def strict(owner, names, what):
    """Check that a simulated class or module has no name that the real one lacks."""
    invented = [n for n in vars(owner) if not n.startswith("_") and n not in names]
    if invented:
        raise SimulationFaultError(f"{what} has no {', '.join(invented)}")
    return owner


# ------------------------------------------------------------------------------------------ pycuda


def pycuda_modules(gpu, api):
    """``pycuda``, ``pycuda.driver`` and ``pycuda.autoprimaryctx``, by name."""

    class Error(Exception):
        pass

    @contextmanager
    def asked():
        if not gpu.depth:
            gpu.fault("pycuda is called without a current context on this thread")
        try:
            yield
        except GpuRefusalError as refusal:
            raise Error(str(refusal)) from refusal

    class Device:
        def get_attribute(self, attribute):
            with asked():
                assert attribute == device_attribute.INTEGRATED
                return int(gpu.integrated)

    class Context:
        def push(self):
            gpu.push()

        @staticmethod
        def pop():
            gpu.pop()

    class DeviceAllocation:
        def __init__(self, nbytes):
            self._address = gpu.alloc(nbytes)

        def __int__(self):
            return self._address

        def free(self):
            with asked():
                gpu.free(self._address)

    class PagelockedHostAllocation:
        def __init__(self, shape, dtype, mapped):
            count = int(np.prod(shape)) * dtype.itemsize
            self._array = gpu.alloc_host(count, mapped=mapped)  # freed, its bytes stay readable
            # NumPy takes the memory from here and makes this object the array's base.
            self.__array_interface__ = self._array.view(dtype).reshape(shape).__array_interface__

        def free(self):
            with asked():
                gpu.free_host(self._array.ctypes.data)

        def get_device_pointer(self):
            with asked():
                return gpu.device_pointer(self._array.ctypes.data)

    class Stream:
        _handle = None

        def __init__(self, flags=0):
            with asked():
                self._handle = gpu.create_stream()

        @property
        def handle(self):
            return self._handle

        def synchronize(self):
            with asked():
                gpu.synchronize(self._handle)

        def __del__(self):
            if self._handle is not None:
                gpu.free_stream(self._handle)

    class Event:
        _handle = None

        def __init__(self):
            with asked():
                self._handle = gpu.create_event()

        def record(self, stream=None):
            with asked():
                gpu.record(self._handle, handle_of(stream))
            return self

        def time_till(self, event):
            with asked():
                return gpu.elapsed(self._handle, event._handle)

        def __del__(self):
            if self._handle is not None:
                gpu.free_event(self._handle)

    def handle_of(stream):
        if not isinstance(stream, Stream):
            gpu.fault(f"pycuda wants one of its streams, got {type(stream).__name__}")
        return stream._handle

    class host_alloc_flags:
        DEVICEMAP = 2
        PORTABLE = 1

    class device_attribute:
        INTEGRATED = "INTEGRATED"

    def mem_get_info():
        with asked():
            return gpu.memory_info()

    def mem_alloc(nbytes):
        with asked():
            return DeviceAllocation(nbytes)

    def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
        with asked():
            mapped = bool(mem_flags & host_alloc_flags.DEVICEMAP)
            return np.asarray(PagelockedHostAllocation(shape, np.dtype(dtype), mapped))

    def memcpy_htod_async(dest, src, stream=None):
        with asked():
            gpu.copy_in(int(dest), src.ctypes.data, src.nbytes, handle_of(stream))

    def memcpy_dtoh_async(dest, src, stream=None):
        with asked():
            gpu.copy_out(dest.ctypes.data, int(src), dest.nbytes, handle_of(stream))

    driver = types.ModuleType("pycuda.driver")
    found = (
        *(Error, Device, Context, DeviceAllocation, PagelockedHostAllocation, Stream, Event),
        *(host_alloc_flags, device_attribute),
        *(mem_get_info, mem_alloc, pagelocked_empty, memcpy_htod_async, memcpy_dtoh_async),
    )
    for value in found:
        setattr(driver, value.__name__, value)
        if value.__name__ in api and isinstance(value, type):
            strict(value, api[value.__name__], f"pycuda's {value.__name__}")
    strict(driver, api["module"], "pycuda.driver")
    primary = types.ModuleType("pycuda.autoprimaryctx")
    primary.context, primary.device = Context(), Device()
    strict(primary, api["autoprimaryctx"], "pycuda.autoprimaryctx")
    package = types.ModuleType("pycuda")
    package.__path__ = []
    package.driver, package.autoprimaryctx = driver, primary
    return {"pycuda": package, "pycuda.driver": driver, "pycuda.autoprimaryctx": primary}


# ------------------------------------------------------------------------------------- cuda-python


def cuda_python_module(gpu, api, name):
    """``cuda.bindings.runtime`` (or ``cuda.cudart``): functions that return tuples."""

    class cudaError_t(enum.IntEnum):
        cudaSuccess = 0
        cudaErrorInvalidValue = 1
        cudaErrorMemoryAllocation = 2
        cudaErrorNotReady = 600
        cudaErrorStreamCaptureInvalidated = 901

    class Handle:
        """What cuda-python wraps streams, events and graphs in."""

        def __init__(self, value):
            self._value = value

        def __int__(self):
            return self._value

    words = {}

    def call(work, *, wrap=lambda value: value, gives=True):
        def function(*arguments):
            if any(isinstance(argument, np.generic | np.ndarray) for argument in arguments):
                gpu.fault("cuda-python takes plain integers, got NumPy's")
            try:
                value = work(*arguments)
            except GpuRefusalError as refusal:
                code = cudaError_t(refusal.code)
                words[code] = str(refusal)
                return (code, None) if gives else (code,)
            return (cudaError_t.cudaSuccess, wrap(value)) if gives else (cudaError_t.cudaSuccess,)

        return function

    def memcpy_async(target, source, count, kind, stream):
        to_device = cudaMemcpyKind.cudaMemcpyHostToDevice
        (gpu.copy_in if kind is to_device else gpu.copy_out)(target, source, count, stream)

    class cudaMemcpyKind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode(enum.IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    class cudaDeviceAttr(enum.IntEnum):
        cudaDevAttrIntegrated = 18

    def mem_get_info():
        code, found = call(gpu.memory_info)()
        return (code, *(found or (None, None)))

    captured = {}

    def end_capture(stream):
        graph = gpu.end_capture(stream)
        captured[graph] = gpu.graphs.pop(graph)
        return graph

    def instantiate(graph, flags):
        assert flags == 0
        gpu.graphs[int(graph)] = captured[int(graph)]
        return int(graph)

    runtime = types.ModuleType(name)
    values = {
        "cudaError_t": cudaError_t,
        "cudaMemcpyKind": cudaMemcpyKind,
        "cudaStreamCaptureMode": cudaStreamCaptureMode,
        "cudaDeviceAttr": cudaDeviceAttr,
        "cudaHostAllocDefault": 0,
        "cudaHostAllocMapped": 2,
        "cudaGetErrorString": lambda code: (cudaError_t.cudaSuccess, words[code].encode()),
        "cudaGetDevice": call(lambda: 0),
        "cudaDeviceGetAttribute": call(lambda attribute, device: int(gpu.integrated)),
        "cudaMemGetInfo": mem_get_info,
        "cudaMalloc": call(gpu.alloc),
        "cudaFree": call(gpu.free, gives=False),
        "cudaHostAlloc": call(
            lambda size, flags: gpu.alloc_host(size, mapped=bool(flags & 2)).ctypes.data
        ),
        "cudaFreeHost": call(gpu.free_host, gives=False),
        "cudaHostGetDevicePointer": call(lambda host, flags: gpu.device_pointer(host)),
        "cudaMemcpyAsync": call(memcpy_async, gives=False),
        "cudaStreamCreate": call(gpu.create_stream, wrap=Handle),
        "cudaStreamSynchronize": call(gpu.synchronize, gives=False),
        "cudaStreamDestroy": call(gpu.free_stream, gives=False),
        "cudaEventCreate": call(gpu.create_event, wrap=Handle),
        "cudaEventRecord": call(gpu.record, gives=False),
        "cudaEventElapsedTime": call(gpu.elapsed),
        "cudaEventDestroy": call(gpu.free_event, gives=False),
        "cudaStreamBeginCapture": call(lambda stream, mode: gpu.begin_capture(stream), gives=False),
        "cudaStreamEndCapture": call(end_capture, wrap=Handle),
        "cudaGraphInstantiateWithFlags": call(instantiate, wrap=Handle),
        "cudaGraphDestroy": call(lambda graph: captured.pop(int(graph)) and None, gives=False),
        "cudaGraphLaunch": call(gpu.launch, gives=False),
        "cudaGraphExecDestroy": call(gpu.free_graph, gives=False),
    }
    for key, value in values.items():
        setattr(runtime, key, value)
    strict(runtime, api["module"], name)
    return runtime

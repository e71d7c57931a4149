"""CUDA through pycuda, or through cuda-python: every call to either package stands here."""

# ruff: noqa: D102 - the methods are documented once, where both classes' interface is: Cuda

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgeup.errors import MissingPackageError
from edgeup.runtime.engine.cuda import Bytes, Cuda, CudaError, CudaWithGraphs, HostBuffer

if TYPE_CHECKING:
    import pycuda.driver as drv

_C = TypeVar("_C")


def open_cuda() -> Cuda:
    """pycuda, or cuda-python where pycuda is absent.

    Raises:
        MissingPackageError: neither is installed.
        CudaError: no CUDA driver, or no GPU.
    """
    packages: tuple[Callable[[], Cuda], ...] = (PyCuda, CudaPython)
    for package in packages:
        try:
            return _started(package)
        except ModuleNotFoundError:
            continue
    raise MissingPackageError("pycuda", "jetson", "running a TensorRT engine")


def open_cuda_with_graphs() -> CudaWithGraphs:
    """cuda-python: pycuda up to 2026.1 wraps no stream capture (its wrap_cudadrv.cpp).

    Raises:
        MissingPackageError: it is not installed.
        CudaError: no CUDA driver, or no GPU.
    """
    try:
        return _started(CudaPython)
    except ModuleNotFoundError as error:
        raise MissingPackageError("cuda-python", "cuda-graphs", "a CUDA graph") from error


def _started(package: Callable[[], _C]) -> _C:
    try:
        return package()
    except ModuleNotFoundError:
        raise
    except (CudaError, ImportError, OSError, RuntimeError) as error:
        raise CudaError(f"no GPU can be used here: {' '.join(str(error).split())}") from error


class PyCuda:
    """CUDA's driver API in the primary context, which TensorRT uses too."""

    package = "pycuda"

    def __init__(self) -> None:
        import pycuda.autoprimaryctx as primary  # retains the context, and lets it go at exit
        import pycuda.driver as driver

        self._drv = driver
        self._context: drv.Context = primary.context
        self._device: drv.Device = primary.device
        # pycuda frees what an object stands for when the object goes: they are kept by handle.
        self._memory: dict[int, drv.DeviceAllocation] = {}
        self._streams: dict[int, drv.Stream] = {}
        self._events: dict[int, drv.Event] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        with self._asked("use the GPU on this thread"):
            self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def is_integrated(self) -> bool:
        with self._asked("describe the GPU"):
            return bool(self._device.get_attribute(self._drv.device_attribute.INTEGRATED))

    def memory_info(self) -> tuple[int, int]:
        with self._asked("tell its free memory"):
            free, total = self._drv.mem_get_info()
            return int(free), int(total)

    def alloc(self, nbytes: int) -> int:
        with self._asked(f"allocate {nbytes:,} bytes on the GPU"):
            memory: drv.DeviceAllocation = self._drv.mem_alloc(nbytes)
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        memory: drv.DeviceAllocation = self._memory.pop(address)
        with self._asked("free GPU memory"):
            memory.free()

    def alloc_host(self, nbytes: int, *, mapped: bool) -> HostBuffer:
        flags = self._drv.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._asked(f"page-lock {nbytes:,} bytes"):
            array: Bytes = self._drv.pagelocked_empty(nbytes, np.uint8, mem_flags=flags)
            owner: drv.PagelockedHostAllocation = array.base
            return HostBuffer(array, int(owner.get_device_pointer()) if mapped else None)

    def free_host(self, buffer: HostBuffer) -> None:
        array: Bytes = buffer.array
        owner: drv.PagelockedHostAllocation = array.base
        with self._asked("free page-locked memory"):
            owner.free()

    def copy_in(self, address: int, array: Bytes, stream: int) -> None:
        with self._asked("copy to the GPU"):
            self._drv.memcpy_htod_async(address, array, self._streams[stream])

    def copy_out(self, array: Bytes, address: int, stream: int) -> None:
        with self._asked("copy from the GPU"):
            self._drv.memcpy_dtoh_async(array, address, self._streams[stream])

    def create_stream(self) -> int:
        with self._asked("create a stream"):
            stream: drv.Stream = self._drv.Stream()
            handle = int(stream.handle)
        self._streams[handle] = stream
        return handle

    def synchronize(self, stream: int) -> None:
        with self._asked("finish the work on the GPU"):
            self._streams[stream].synchronize()

    def free_stream(self, stream: int) -> None:
        del self._streams[stream]

    def create_event(self) -> int:
        with self._asked("create an event"):
            event: drv.Event = self._drv.Event()
        self._events[id(event)] = event
        return id(event)

    def record(self, event: int, stream: int) -> None:
        with self._asked("record an event"):
            self._events[event].record(self._streams[stream])

    def elapsed_ms(self, start: int, end: int) -> float:
        with self._asked("read an event's time"):
            return float(self._events[start].time_till(self._events[end]))

    def free_event(self, event: int) -> None:
        del self._events[event]

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._drv.Error as error:
            raise CudaError(f"CUDA cannot {what}: {error}") from error


class CudaPython:
    """CUDA's runtime API; it uses the primary context on every thread by itself.

    Its calls return tuples that begin with an error code. They take integers for streams, events
    and graphs (tried on cuda-bindings 11.8.7, 12.9.10 and 13.5.0 and cuda-python 12.3.0).
    """

    package = "cuda-python"

    def __init__(self) -> None:
        try:
            self._rt: Any = importlib.import_module("cuda.bindings.runtime")
        except ModuleNotFoundError:
            self._rt = importlib.import_module("cuda.cudart")  # its place before 12.6.1
        self._device = int(self._call("find a GPU", self._rt.cudaGetDevice()))

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def is_integrated(self) -> bool:
        attribute = self._rt.cudaDeviceAttr.cudaDevAttrIntegrated
        answer = self._rt.cudaDeviceGetAttribute(attribute, self._device)
        return bool(self._call("describe the GPU", answer))

    def memory_info(self) -> tuple[int, int]:
        answer = self._rt.cudaMemGetInfo()
        self._call("tell its free memory", answer)
        _, free, total = answer
        return int(free), int(total)

    def alloc(self, nbytes: int) -> int:
        what = f"allocate {nbytes:,} bytes on the GPU"
        return int(self._call(what, self._rt.cudaMalloc(nbytes)))

    def free(self, address: int) -> None:
        self._call("free GPU memory", self._rt.cudaFree(address))

    def alloc_host(self, nbytes: int, *, mapped: bool) -> HostBuffer:
        flags = self._rt.cudaHostAllocMapped if mapped else self._rt.cudaHostAllocDefault
        host = int(self._call(f"page-lock {nbytes:,} bytes", self._rt.cudaHostAlloc(nbytes, flags)))
        array = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(host))
        if not mapped:
            return HostBuffer(array, None)
        try:
            device = self._call("map memory", self._rt.cudaHostGetDevicePointer(host, 0))
        except CudaError:
            self._rt.cudaFreeHost(host)
            raise
        return HostBuffer(array, int(device))

    def free_host(self, buffer: HostBuffer) -> None:
        array: Bytes = buffer.array
        self._call("free page-locked memory", self._rt.cudaFreeHost(array.ctypes.data))

    def copy_in(self, address: int, array: Bytes, stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        host = array.ctypes.data
        answer = self._rt.cudaMemcpyAsync(address, host, array.nbytes, kind, stream)
        self._call("copy to the GPU", answer)

    def copy_out(self, array: Bytes, address: int, stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        host = array.ctypes.data
        answer = self._rt.cudaMemcpyAsync(host, address, array.nbytes, kind, stream)
        self._call("copy from the GPU", answer)

    def create_stream(self) -> int:
        return int(self._call("create a stream", self._rt.cudaStreamCreate()))

    def synchronize(self, stream: int) -> None:
        self._call("finish the work on the GPU", self._rt.cudaStreamSynchronize(stream))

    def free_stream(self, stream: int) -> None:
        self._call("free a stream", self._rt.cudaStreamDestroy(stream))

    def create_event(self) -> int:
        return int(self._call("create an event", self._rt.cudaEventCreate()))

    def record(self, event: int, stream: int) -> None:
        self._call("record an event", self._rt.cudaEventRecord(event, stream))

    def elapsed_ms(self, start: int, end: int) -> float:
        answer = self._rt.cudaEventElapsedTime(start, end)
        return float(self._call("read an event's time", answer))

    def free_event(self, event: int) -> None:
        self._call("free an event", self._rt.cudaEventDestroy(event))

    def begin_capture(self, stream: int) -> None:
        # Thread-local: another thread's allocations meanwhile are none of the capture's business.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("capture a graph", self._rt.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> int:
        recorded = int(self._call("capture a graph", self._rt.cudaStreamEndCapture(stream)))
        # cudaGraphInstantiate changed its parameters with CUDA 12; this one did not.
        answer = self._rt.cudaGraphInstantiateWithFlags(recorded, 0)
        self._rt.cudaGraphDestroy(recorded)
        return int(self._call("instantiate a graph", answer))

    def launch(self, graph: int, stream: int) -> None:
        self._call("launch a graph", self._rt.cudaGraphLaunch(graph, stream))

    def free_graph(self, graph: int) -> None:
        self._call("free a graph", self._rt.cudaGraphExecDestroy(graph))

    def _call(self, what: str, answer: tuple[Any, ...]) -> Any:
        """The value behind the error code, if there is one."""
        code, *values = answer
        if int(code):
            _, text = self._rt.cudaGetErrorString(code)
            words = text.decode() if isinstance(text, bytes) else text
            raise CudaError(f"CUDA cannot {what}: {words}")
        return values[0] if values else None

"""Memory of an engine's inputs and outputs: page-locked on the host, and on the device."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from edgeup.runtime.engine.cuda import Cuda, HostBuffer
from edgeup.spec import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Buffer:
    host: HostBuffer
    address: int
    nbytes: int


class IOBuffers:
    """A host and a device buffer per tensor; both belong to this object until `free`.

    Args:
        cuda: where the memory comes from.
        zero_copy: have one buffer instead of two: host memory that the GPU reads and writes.
            On a GPU that shares the CPU's memory this saves both copies; it reads such memory
            uncached, so what is read often may still be faster copied.
    """

    def __init__(self, cuda: Cuda, *, zero_copy: bool) -> None:
        self._cuda = cuda
        self._zero_copy = zero_copy
        self._buffers: dict[str, _Buffer] = {}
        self._tensors: dict[str, tuple[Shape, np.dtype[np.generic]]] = {}

    def reserve(self, name: str, shape: Shape, dtype: str) -> bool:
        """Make room for a tensor; its buffers grow and never shrink.

        No work that uses the old ones may be under way.

        Returns:
            Whether the tensor's address changed.
        """
        kind = numpy_dtype(dtype)
        self._tensors[name] = (shape, kind)
        # CUDA refuses to allocate nothing, TensorRT a null address.
        nbytes = max(1, int(np.prod(shape, dtype=np.int64)) * kind.itemsize)
        if name in self._buffers and self._buffers[name].nbytes >= nbytes:
            return False
        self._release(name)
        host = self._cuda.alloc_host(nbytes, mapped=self._zero_copy)
        try:
            address = self._cuda.alloc(nbytes) if host.device is None else host.device
        except BaseException:
            self._cuda.free_host(host)
            raise
        self._buffers[name] = _Buffer(host, address, nbytes)
        return True

    @property
    def addresses(self) -> dict[str, int]:
        """Where the GPU finds each tensor."""
        return {name: buffer.address for name, buffer in self._buffers.items()}

    @property
    def device_bytes(self) -> int:
        """What the buffers take of the GPU's memory."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def host(self, name: str) -> Array:
        """The tensor in host memory: a view, valid until the next `reserve` or `free`."""
        shape, dtype = self._tensors[name]
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self._buffers[name].host.array[:size].view(dtype).reshape(shape)

    def upload(self, name: str, stream: int) -> None:
        """Start copying to the device; with zero copy it is there already."""
        buffer = self._buffers[name]
        if buffer.host.device is None:
            size = self.host(name).nbytes
            self._cuda.copy_in(buffer.address, buffer.host.array[:size], stream)

    def download(self, name: str, stream: int) -> None:
        """Start copying from the device; with zero copy it is here already."""
        buffer = self._buffers[name]
        if buffer.host.device is None:
            size = self.host(name).nbytes
            self._cuda.copy_out(buffer.host.array[:size], buffer.address, stream)

    def free(self) -> None:
        """Give everything back; each buffer is tried, whatever the others say."""
        with ExitStack() as stack:
            for name in tuple(self._buffers):
                stack.callback(self._release, name)

    def _release(self, name: str) -> None:
        buffer = self._buffers.pop(name, None)
        if buffer is None:
            return
        try:
            if buffer.host.device is None:
                self._cuda.free(buffer.address)
        finally:
            self._cuda.free_host(buffer.host)


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The dtype of that name; bfloat16 is ml_dtypes', which NumPy itself lacks."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    bfloat16: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16

"""What a session needs of CUDA: one interface, whichever Python package stands behind it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError

Bytes: TypeAlias = npt.NDArray[np.uint8]


class CudaError(EdgeupError):
    """CUDA refused a call; the line says what and why."""


@dataclass(frozen=True)
class HostBuffer:
    """Page-locked host memory. ``device`` is its address for the GPU, where it is mapped."""

    array: Bytes
    device: int | None


class Cuda(Protocol):
    """Memory, streams and events of one GPU.

    Device addresses, streams and events are integers; whoever makes one frees it. Calls stand
    inside ``with cuda.active()`` and raise `CudaError`.
    """

    package: str

    def active(self) -> AbstractContextManager[object]:
        """Make the GPU's primary context current on this thread."""
        ...

    def is_integrated(self) -> bool:
        """Whether GPU and CPU share one memory, as on every Jetson."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Bytes of the GPU's memory that are free now, and all of them.

        Where the CPU shares it, other programs take of it too, and what the kernel could swap or
        drop counts as taken (CUDA for Tegra application note, total allocatable device memory).
        """
        ...

    def alloc(self, nbytes: int) -> int:
        """Device memory, uninitialized: its address."""
        ...

    def free(self, address: int) -> None:
        """Free device memory."""
        ...

    def alloc_host(self, nbytes: int, *, mapped: bool) -> HostBuffer:
        """Page-locked host memory, uninitialized; mapped, the GPU can read and write it too."""
        ...

    def free_host(self, buffer: HostBuffer) -> None:
        """Free page-locked memory: its array must not be touched any more."""
        ...

    def copy_in(self, address: int, array: Bytes, stream: int) -> None:
        """Start copying page-locked memory to the device."""
        ...

    def copy_out(self, array: Bytes, address: int, stream: int) -> None:
        """Start copying device memory to page-locked memory."""
        ...

    def create_stream(self) -> int:
        """A stream of its own."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until a stream's work is done; its errors surface here."""
        ...

    def free_stream(self, stream: int) -> None:
        """Free a stream."""
        ...

    def create_event(self) -> int:
        """An event that takes the time."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Note the time when a stream comes to here."""
        ...

    def elapsed_ms(self, start: int, end: int) -> float:
        """Milliseconds between two events of synchronized work."""
        ...

    def free_event(self, event: int) -> None:
        """Free an event."""
        ...


class CudaWithGraphs(Cuda, Protocol):
    """CUDA that can record a stream's work once and launch it again as a whole."""

    def begin_capture(self, stream: int) -> None:
        """Record a stream's work from here on, instead of doing it."""
        ...

    def end_capture(self, stream: int) -> int:
        """A graph of the work since `begin_capture`."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Start a graph's work."""
        ...

    def free_graph(self, graph: int) -> None:
        """Free a graph."""
        ...

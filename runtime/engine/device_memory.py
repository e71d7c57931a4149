"""What engines take of the GPU's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DeviceMemory:
    """Of one loaded engine, or of several, in bytes.

    Attributes:
        activations: what TensorRT says that the execution contexts need for activations.
        weights: of the engine; None where TensorRT does not tell (before 10.14).
        buffers: that inputs and outputs take on the device.
        free_before: of the GPU's memory, before an engine was loaded; ``free`` is so now, and
            ``total`` is all of it.
        shared: it is the CPU's memory too, as on a Jetson: what other programs take or give back
            meanwhile moves ``free``.
    """

    activations: int
    weights: int | None
    buffers: int
    free_before: int
    free: int
    total: int
    shared: bool

    @property
    def taken(self) -> int:
        """What is free no more: CUDA's own share and kernels included."""
        return max(self.free_before - self.free, 0)

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "measured": True,
            "activations_bytes": self.activations,
            "weights_bytes": self.weights,
            "buffers_bytes": self.buffers,
            "free_before_bytes": self.free_before,
            "free_bytes": self.free,
            "taken_bytes": self.taken,
            "total_bytes": self.total,
            "shared_with_cpu": self.shared,
        }


def of_all(loaded: Sequence[DeviceMemory]) -> DeviceMemory:
    """Of engines that were loaded one after the other, and asked in that order."""
    known = [one.weights for one in loaded if one.weights is not None]
    return DeviceMemory(
        activations=sum(one.activations for one in loaded),
        weights=sum(known) if len(known) == len(loaded) else None,
        buffers=sum(one.buffers for one in loaded),
        free_before=loaded[0].free_before,
        free=loaded[-1].free,
        total=loaded[0].total,
        shared=loaded[0].shared,
    )

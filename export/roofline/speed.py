"""How fast a GPU does a layer's work: its peaks, and the share of them that is reached.

A layer takes ``launch + macs / (peak e_kind) + bytes / (bandwidth e_memory)``: reading, computing
and starting are not assumed to overlap. The four figures were fitted to the layers of
``data/tx2_layers.json`` by ``tools/calibrate_roofline.py`` and are in ``data/roofline.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgeup.export.roofline.work import ARITHMETIC, Work


@dataclass(frozen=True)
class Gpu:
    """What a GPU can do at most, at some power mode and precision.

    Attributes:
        gmacs_per_s: dense multiply-accumulates, on tensor cores where it has them.
        depthwise_gmacs_per_s: the same for depthwise convolutions, which no tensor core computes.
        gbytes_per_s: of its memory.
        slowdown: its highest standard clock over the mode's: starting a layer takes so much longer.
    """

    gmacs_per_s: float
    depthwise_gmacs_per_s: float
    gbytes_per_s: float
    slowdown: float = 1.0


@dataclass(frozen=True)
class Efficiency:
    """Shares of the peak, in 0..1, and what starting a layer takes.

    Attributes:
        dense: of the arithmetic peak, convolutions and matrix products.
        depthwise: the same, depthwise convolutions.
        memory: of the bandwidth.
        launch_us: per layer, at a board's highest standard clock, in microseconds.
        channel_block: dense outputs are computed in blocks of so many channels.
    """

    dense: float
    depthwise: float
    memory: float
    launch_us: float
    channel_block: int


@dataclass(frozen=True)
class LayerTime:
    """Microseconds of one layer: three parts that add up, and the bound that nothing can beat."""

    compute_us: float
    memory_us: float
    launch_us: float
    bound_compute_us: float
    bound_memory_us: float

    @property
    def estimate_us(self) -> float:
        """The three parts together."""
        return self.compute_us + self.memory_us + self.launch_us

    @property
    def binds(self) -> str:
        """The largest part."""
        parts = {"compute": self.compute_us, "memory": self.memory_us, "launch": self.launch_us}
        return max(parts, key=lambda name: parts[name])

    @property
    def bound_us(self) -> float:
        """The roofline: arithmetic at its peak and memory at its peak, overlapped."""
        return max(self.bound_compute_us, self.bound_memory_us)

    @property
    def bound_by(self) -> str:
        """The side of the roofline."""
        return "compute" if self.bound_compute_us > self.bound_memory_us else "memory"


def layer_time(work: Work, gpu: Gpu, efficiency: Efficiency) -> LayerTime:
    """What the work takes on the GPU."""
    depthwise = ARITHMETIC.get(work.kind) == "depthwise"
    peak = gpu.depthwise_gmacs_per_s if depthwise else gpu.gmacs_per_s
    share = efficiency.depthwise if depthwise else efficiency.dense
    counted = work.macs_in_blocks(efficiency.channel_block)
    return LayerTime(
        compute_us=counted / (peak * share) * 1e-3,
        memory_us=work.moved / (gpu.gbytes_per_s * efficiency.memory) * 1e-3,
        launch_us=efficiency.launch_us * gpu.slowdown,
        bound_compute_us=work.macs / peak * 1e-3,
        bound_memory_us=work.moved / gpu.gbytes_per_s * 1e-3,
    )


@cache
def calibration() -> Mapping[str, Any]:
    """The packaged fit, with how well it did on the models that it had not seen."""
    text = (files("edgeup") / "data" / "roofline.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


def packaged_efficiency() -> Efficiency:
    """The packaged figures."""
    return Efficiency(**calibration()["efficiency"])

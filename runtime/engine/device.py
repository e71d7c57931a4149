"""The GPU of this machine, as an engine's sidecar names it, and the memory that it may use."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from edgeup.runtime.jetson import find_jetson
from edgeup.runtime.machine import Machine

_TEGRA = {
    "tegra210": "5.3",  # Nano
    "tegra186": "6.2",  # TX2
    "tegra194": "7.2",  # Xavier
    "tegra234": "8.7",  # Orin
    "tegra264": "11.0",  # Thor
}
"""Compute capability by system on chip (jetson_stats' table, meta-tegra's CUDA architectures)."""


@dataclass(frozen=True)
class Device:
    """A GPU; ``shares_memory`` with the CPU, as on every Jetson."""

    name: str
    compute_capability: str
    shares_memory: bool

    def to_json(self) -> dict[str, object]:
        """The fields, as a sidecar holds them."""
        return asdict(self)


def find_device(machine: Machine) -> Device | None:
    """The GPU that TensorRT would use; None where there is none or it does not tell."""
    compatible = machine.read("proc/device-tree/compatible")
    for chip, capability in _TEGRA.items():
        if f"nvidia,{chip}" in compatible:
            jetson = find_jetson(machine)
            name = jetson.board if jetson is not None else chip
            return Device(name, capability, shares_memory=True)
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    if machine.which("nvidia-smi") is None:
        return None
    # The first GPU: CUDA's device 0 unless the environment says otherwise.
    first = (machine.run(query) or "").partition("\n")[0]
    name, comma, capability = first.rpartition(",")
    if not comma or not re.fullmatch(r"\d+\.\d+", capability.strip()):
        return None
    return Device(name.strip(), capability.strip(), shares_memory=False)


def free_memory(machine: Machine) -> int | None:
    """Bytes that can be had without swapping (``MemAvailable``); None where it is not told."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", machine.read("proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None

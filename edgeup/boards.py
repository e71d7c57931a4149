"""NVIDIA Jetson modules: their GPUs, memories and power modes, for estimates and limits.

The facts are in ``data/boards.json``, each with its source; peaks and bandwidths are derived from
clocks and widths when they are read, by the formulae below. No figure was measured by edgeup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgeup.errors import unknown

_DLA_OPS_PER_CLOCK = {1: 4096, 2: 16384}
"""INT8, dense, per core (NVIDIA/Deep-Learning-Accelerator-SW README, divided by clocks)."""

BOARD_ALIASES = {"nano": "nano-4gb"}
"""Other names that are understood."""


@dataclass(frozen=True)
class Dla:
    """The deep learning accelerators of a module.

    ``last_tensorrt`` is the last TensorRT that drives them, ``again_from_tensorrt`` the one from
    which a later one does again.
    """

    cores: int
    generation: int
    max_mhz: float
    last_tensorrt: tuple[int, int]
    again_from_tensorrt: tuple[int, int] | None

    @property
    def int8_tops_each(self) -> float:
        """Dense INT8 TOPS of one core at its highest clock."""
        return _DLA_OPS_PER_CLOCK[self.generation] * self.max_mhz / 1e6

    def runs_with(self, tensorrt: tuple[int, int]) -> bool:
        """Whether that TensorRT (major, minor) places layers on them."""
        again = self.again_from_tensorrt
        return tensorrt <= self.last_tensorrt or (again is not None and tensorrt >= again)


@dataclass(frozen=True)
class PowerMode:
    """One of nvpmodel's modes: it caps clocks and may switch SMs off.

    Attributes:
        id: nvpmodel's; None where no mode was read.
        name: nvpmodel's, with ``-super`` added where the standard configuration has it too.
        watts: the budget in its name, if it has one.
        super: whether it needs NVIDIA's "super" configuration (JetPack 6.2 and later).
        gpu_mhz: cap of the GPU clock.
        sms: active streaming multiprocessors.
        bandwidth_gbs: of the memory, in GB/s.
        peak: dense TFLOPS by precision (TOPS for int8).
        source: of the clocks and the SMs; see `sources`.
    """

    id: int | None
    name: str
    watts: float | None
    super: bool
    gpu_mhz: float | None
    sms: int
    bandwidth_gbs: float
    peak: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Board:
    """A Jetson module. ``memory_gb`` holds each variant's; ``peak`` and ``bandwidth_gbs`` are at
    the highest clocks of the standard configuration, dense, as in `PowerMode`; ``rails`` are the
    power rails that it measures, and ``total_rails`` those whose sum stands for the whole module:
    the others are contained in them.
    """

    name: str
    title: str
    soc: str
    compute_capability: tuple[int, int]
    sms: int
    cuda_cores: int
    tensor_cores: int
    gpu_max_mhz: float | None
    memory_gb: tuple[int, ...]
    bandwidth_gbs: float
    peak: Mapping[str, float]
    dla: Dla | None
    precisions: tuple[str, ...]
    power_modes: tuple[PowerMode, ...]
    default_mode: str
    rails: Mapping[str, str]
    total_rails: tuple[str, ...]
    sources: Mapping[str, str]
    unverified: tuple[str, ...]

    def mode(self, name: str | None = None) -> PowerMode:
        """The power mode of that name; by default the one that the module starts in.

        Raises:
            EdgeupError: there is none; the message holds the names.
        """
        wanted = self.default_mode if name is None else name
        for mode in self.power_modes:
            if mode.name.lower() == wanted.lower():
                return mode
        names = [mode.name for mode in self.power_modes]
        raise unknown(f"power mode of {self.title}", wanted, names)


@cache
def _document() -> Mapping[str, Any]:
    text = (files("edgeup") / "data" / "boards.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


def sources() -> Mapping[str, str]:
    """The sources that the boards' facts cite, by their short names."""
    cited: Mapping[str, str] = _document()["_sources"]
    return cited


@cache
def all_boards() -> tuple[Board, ...]:
    """Every board, oldest first."""
    return tuple(_board(entry) for entry in _document()["boards"])


def find_board(name: str) -> Board:
    """The board of that name.

    Raises:
        EdgeupError: there is none; the message holds the nearest names.
    """
    boards = {board.name: board for board in all_boards()}
    text = BOARD_ALIASES.get(name.lower(), name.lower())
    if text not in boards:
        raise unknown("board", name, boards)
    return boards[text]


def _board(entry: Mapping[str, Any]) -> Board:
    fields = dict(entry)
    rates = fields.pop("ops_per_clock", None)
    bus_bits, emc_max_mhz = fields.pop("bus_bits", None), fields.pop("emc_max_mhz", None)
    if rates is not None:
        fields["peak"] = _peak(rates, entry["sms"], entry["gpu_max_mhz"])
        fields["bandwidth_gbs"] = _bandwidth_gbs(bus_bits, emc_max_mhz)
        derived = {"peak": "derived", "bandwidth_gbs": "derived"}
        fields["sources"] = {**entry["sources"], **derived}
    modes = []
    for row in entry["power_modes"]:
        mode = {key: value for key, value in row.items() if key != "emc_mhz"}
        peak, bandwidth = fields["peak"], fields["bandwidth_gbs"]
        if rates is not None:
            peak = _peak(rates, row["sms"], row["gpu_mhz"])
            bandwidth = _bandwidth_gbs(bus_bits, row["emc_mhz"])
        modes.append(PowerMode(**mode, peak=peak, bandwidth_gbs=bandwidth))
    for key in ("memory_gb", "precisions", "unverified", "compute_capability", "total_rails"):
        fields[key] = tuple(entry[key])
    return Board(**fields | {"power_modes": tuple(modes), "dla": _dla(entry["dla"])})


def _peak(ops_per_clock: Mapping[str, int], sms: int, mhz: float) -> dict[str, float]:
    """TFLOPS by precision: operations per clock and SM x SMs x clock."""
    return {precision: rate * sms * mhz / 1e6 for precision, rate in ops_per_clock.items()}


def _bandwidth_gbs(bus_bits: int, emc_mhz: float) -> float:
    """GB/s: bytes across the bus, twice per clock (double data rate)."""
    return bus_bits / 8 * 2 * emc_mhz / 1e3


def _dla(entry: Mapping[str, Any] | None) -> Dla | None:
    if entry is None:
        return None
    again = entry["again_from_tensorrt"]
    versions = {
        "last_tensorrt": major_minor(entry["last_tensorrt"]),
        "again_from_tensorrt": None if again is None else major_minor(again),
    }
    return Dla(**{**entry, **versions})


def major_minor(version: str) -> tuple[int, int]:
    """("10.3.0") -> (10, 3): what TensorRT's behaviour goes by."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)

"""What a machine is doing at one moment: clocks, heat, throttling, load."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.runtime.board.clocks import Clock, find_clocks, find_gpu
from edgeup.runtime.board.heat import (
    SENSOR_OFF_C,
    find_cooling,
    find_over_current,
    find_temperatures,
)
from edgeup.runtime.board.sysfs import number
from edgeup.runtime.jetson import stored_power_mode
from edgeup.runtime.machine import Machine


@dataclass(frozen=True)
class BoardState:
    """One look; what cannot be read is None or empty.

    Attributes:
        at_s: when, in seconds of ``time.perf_counter``.
        temperatures: degrees Celsius by thermal zone.
        cooling: state by cooling device, fans left out; 0 is none.
        over_current: how often each alarm has throttled since the board started.
        gpu_load: percent of the time that the GPU is busy.
        load_average: runnable tasks over 1, 5 and 15 minutes.
        gpu_off_mask: the texture processing clusters that the power mode switches off (hex bits).
        power_mode: nvpmodel's.
    """

    at_s: float
    clocks: tuple[Clock, ...]
    temperatures: Mapping[str, float]
    cooling: Mapping[str, int]
    over_current: Mapping[str, int]
    gpu_load: float | None
    load_average: tuple[float, ...]
    gpu_off_mask: str | None
    power_mode: str | None

    def clock(self, name: str) -> Clock | None:
        """The clock of that name."""
        return next((clock for clock in self.clocks if clock.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "clocks": [clock.to_json() for clock in self.clocks],
            "temperatures_c": dict(self.temperatures),
            "cooling": dict(self.cooling),
            "over_current": dict(self.over_current),
            "gpu_load_percent": self.gpu_load,
            "load_average": list(self.load_average),
            "gpu_off_mask": self.gpu_off_mask,
            "power_mode": self.power_mode,
        }


class Probe:
    """Finds once where a machine tells its state, so that looking only reads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._clocks = find_clocks(machine)
        self._temperatures = find_temperatures(machine)
        self._cooling = find_cooling(machine)
        self._over_current = find_over_current(machine)
        gpu = find_gpu(machine)
        self._off_mask = "" if gpu is None else f"{gpu}/device/tpc_pg_mask"
        loads = [] if gpu is None else [f"{gpu}/device/load", "sys/devices/gpu.0/load"]
        readable = (path for path in loads if number(machine, path) is not None)
        self._gpu_load = next(readable, "")

    def look(self) -> BoardState:
        """The state now."""
        machine = self._machine
        average = re.match(
            r"(\d{1,6}\.\d\d) (\d{1,6}\.\d\d) (\d{1,6}\.\d\d) ", machine.read("proc/loadavg")
        )
        temperatures = self._numbers(self._temperatures, 1e-3)
        tenths = number(machine, self._gpu_load)
        return BoardState(
            at_s=time.perf_counter(),
            clocks=tuple(files.read(machine) for files in self._clocks),
            temperatures={
                name: celsius for name, celsius in temperatures.items() if celsius > SENSOR_OFF_C
            },
            cooling={name: int(value) for name, value in self._numbers(self._cooling).items()},
            over_current={n: int(value) for n, value in self._numbers(self._over_current).items()},
            gpu_load=None if tenths is None else tenths / 10,
            load_average=() if average is None else tuple(map(float, average.groups())),
            gpu_off_mask=machine.read(self._off_mask) or None,
            power_mode=stored_power_mode(machine)[1],
        )

    def _numbers(self, files: Mapping[str, str], unit: float = 1.0) -> dict[str, float]:
        """What can be read of them."""
        values = {name: number(self._machine, path) for name, path in files.items()}
        return {name: value * unit for name, value in values.items() if value is not None}


def summarize(states: Sequence[BoardState]) -> dict[str, Any]:
    """Between which values clocks and load moved while a model ran, and how hot it became."""
    clocks: dict[str, list[float]] = {}
    hottest: dict[str, float] = {}
    for state in states:
        for clock in state.clocks:
            if clock.mhz is not None:
                clocks.setdefault(clock.name, []).append(clock.mhz)
        for name, celsius in state.temperatures.items():
            hottest[name] = max(celsius, hottest.get(name, celsius))
    loads = [state.gpu_load for state in states if state.gpu_load is not None]
    return {
        "looks": len(states),
        "clocks": {
            name: {"low_mhz": min(values), "high_mhz": max(values)}
            for name, values in clocks.items()
        },
        "hottest_c": hottest,
        "gpu_load_percent": {"low": min(loads), "high": max(loads)} if loads else None,
    }

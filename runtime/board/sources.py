"""Where samples of power come from on this machine: the kernel's rails, or else tegrastats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from edgeup.runtime.board.power import NotMeasured, PowerSample
from edgeup.runtime.board.rails import Rail, find_rails, total_of
from edgeup.runtime.board.repeat import Repeater
from edgeup.runtime.board.tegrastats_process import TegrastatsProcess
from edgeup.runtime.jetson import Jetson
from edgeup.runtime.machine import Machine


class PowerSource(Protocol):
    """Collects ``samples`` from ``start``, which returns why it cannot, to ``stop``.

    ``sensor_interval_ms``: how often the sensor has a new value, where it tells. ``stopped``: how
    it ended by itself, if it did; known after `stop`.
    """

    name: str
    stopped: str | None
    sensor_interval_ms: float | None
    samples: list[PowerSample]

    def start(self) -> str | None:
        """Begin."""

    def stop(self) -> None:
        """End, surely; harmless when it never began."""


class SysfsRails:
    """Reads the kernel's rails every ``interval_s`` seconds."""

    name = "sysfs"
    stopped: str | None = None

    def __init__(self, machine: Machine, rails: Sequence[Rail], interval_s: float) -> None:
        self.samples: list[PowerSample] = []
        intervals = [rail.interval_ms for rail in rails if rail.interval_ms is not None]
        self.sensor_interval_ms = max(intervals, default=None)
        self._machine = machine
        self._rails = rails
        self._repeater = Repeater("power rails", interval_s, self._read)

    def start(self) -> str | None:
        """Begin."""
        self._repeater.start()
        return None

    def stop(self) -> None:
        """End after the reading under way."""
        self._repeater.stop()

    def _read(self) -> None:
        start_s = time.perf_counter()
        powers = {rail.name: rail.milliwatts(self._machine) for rail in self._rails}
        at_s = (start_s + time.perf_counter()) / 2
        read = {name: power for name, power in powers.items() if power is not None}
        self.samples.append(PowerSample(at_s, read))


def find_source(
    machine: Machine, jetson: Jetson | None, interval_s: float
) -> PowerSource | NotMeasured:
    """The rails where this user can read them and one is the whole's; else tegrastats.

    It finds the sensors by itself where the kernel's folders are hidden or new, at the price of
    a process that runs beside the model.
    """
    if jetson is None:
        return NotMeasured("this is no Jetson: power is read from a Jetson's rails")
    rails = find_rails(machine)
    readable = [rail for rail in rails if rail.milliwatts(machine) is not None]
    total = total_of([rail.name for rail in readable])
    if total is not None and total.is_whole:
        return SysfsRails(machine, readable, interval_s)
    program = machine.which("tegrastats")
    if program is not None:
        return TegrastatsProcess(program, max(1, round(interval_s * 1e3)))
    if total is not None:
        return SysfsRails(machine, readable, interval_s)
    if rails:
        return NotMeasured("this user may not read the power rails, and there is no tegrastats")
    return NotMeasured(
        "the kernel shows no power rails here, and there is no tegrastats (a container needs "
        "/sys, or tegrastats, from the board)"
    )

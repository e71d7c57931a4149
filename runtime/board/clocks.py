"""The clocks of GPU, CPU and memory: where they stand, and whether they can move.

`jetson_clocks` sets the least frequency to the greatest one of the present power mode; that is
what "locked" means here. The memory's lock is shown by debugfs, which only root reads, and from
JetPack 7.2 by devfreq.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeup.runtime.board.sysfs import find, number
from edgeup.runtime.machine import Machine


@dataclass(frozen=True)
class Clock:
    """One clock, in MHz; None is what cannot be read.

    ``name`` is "gpu", "memory", or "cpu" and the number of the policy's first core.
    """

    name: str
    mhz: float | None
    min_mhz: float | None
    max_mhz: float | None
    governor: str | None
    locked: bool | None

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return asdict(self)

    @property
    def held_mhz(self) -> float | None:
        """Where a lock holds it; None where none does."""
        if not self.locked:
            return None
        return self.max_mhz if self.max_mhz == self.min_mhz else self.mhz

    @property
    def range(self) -> str:
        """Where it may move: "306 to 1020 MHz"."""
        if self.min_mhz is None or self.max_mhz is None:
            return "not fixed"
        return f"{self.min_mhz:.0f} to {self.max_mhz:.0f} MHz"


@dataclass(frozen=True)
class ClockFiles:
    """Where a clock is told; an empty path is told nowhere.

    Attributes:
        name: as in `Clock`.
        now: current frequency, in ``per_mhz`` a MHz; so are ``least`` and ``most``.
        governor: its name.
        lock: holds 1 where jetson_clocks holds the clock. Without it, a clock is locked where
            the least frequency is the greatest.
    """

    name: str
    now: str
    least: str
    most: str
    governor: str = ""
    lock: str = ""
    per_mhz: float = 1e6

    def read(self, machine: Machine) -> Clock:
        """The clock now."""
        now, least, most = (
            None if (value := number(machine, path)) is None else value / self.per_mhz
            for path in (self.now, self.least, self.most)
        )
        locked = None if least is None or most is None else least >= most
        if self.lock:
            held = number(machine, self.lock)
            locked = None if held is None else held == 1
        return Clock(self.name, now, least, most, machine.read(self.governor) or None, locked)


_GPUS = ("gpu", "gp10b", "gv11b", "ga10b", "gb10b", "gpu-gpc-0")
"""Device-tree or devfreq names of the GPUs from Nano to Thor (jetson_stats lists them)."""


def find_gpu(machine: Machine) -> str | None:
    """The devfreq folder of a Jetson's GPU, by its name there or in the device tree."""
    for path in find(machine, "sys/class/devfreq/*/max_freq"):
        folder, entry = path.rsplit("/", 1)[0], path.split("/")[-2]
        names = (machine.read(f"{folder}/device/of_node/name"), entry, entry.rsplit(".", 1)[-1])
        if any(name in _GPUS for name in names):
            return folder
    return None


def find_clocks(machine: Machine) -> tuple[ClockFiles, ...]:
    """The clocks of GPU, CPU and memory of which at least one file can be read."""
    gpu = find_gpu(machine)
    policies = find(machine, "sys/devices/system/cpu/cpufreq/policy*")
    candidates = (
        *(() if gpu is None else (_devfreq("gpu", gpu),)),
        *(_cpufreq(f"cpu{path.rsplit('policy', 1)[1]}", path) for path in policies),
        *next(([files] for files in _MEMORY if number(machine, files.most) is not None), ()),
    )
    read = ((files, files.read(machine)) for files in candidates)
    return tuple(files for files, clock in read if clock.mhz or clock.max_mhz)


def all_locked(clocks: Sequence[Clock], *, gpu: bool) -> bool | None:
    """Whether no clock can move; None where that of the GPU (or else of the CPU) does not tell.

    That of the memory may be unknown: without root it mostly is, and jetson_clocks locks it along.
    """
    if any(clock.locked is False for clock in clocks):
        return False
    deciding = [clock for clock in clocks if clock.name.startswith("gpu" if gpu else "cpu")]
    return True if deciding and all(clock.locked for clock in deciding) else None


def _devfreq(name: str, folder: str) -> ClockFiles:
    now, least, most = (f"{folder}/{which}_freq" for which in ("cur", "min", "max"))
    return ClockFiles(name, now, least, most, f"{folder}/governor")


def _cpufreq(name: str, folder: str) -> ClockFiles:
    now, least, most = (f"{folder}/scaling_{which}_freq" for which in ("cur", "min", "max"))
    return ClockFiles(name, now, least, most, f"{folder}/scaling_governor", per_mhz=1e3)


_BPMP = "sys/kernel/debug/bpmp/debug/clk/emc"
_TREE, _MANAGER = "sys/kernel/debug/clk/override.emc", "sys/kernel/debug/tegra_bwmgr"
_MEMORY = (
    _devfreq("memory", "sys/class/devfreq/bwmgr"),
    ClockFiles(
        *("memory", f"{_BPMP}/rate", f"{_BPMP}/min_rate", f"{_BPMP}/max_rate"),
        lock=f"{_BPMP}/mrq_rate_locked",
    ),
    ClockFiles(
        *("memory", f"{_TREE}/clk_rate", f"{_MANAGER}/emc_min_rate", f"{_MANAGER}/emc_max_rate"),
        lock=f"{_TREE}/clk_state",
    ),
    ClockFiles("memory", "", "", "sys/kernel/nvpmodel_clk_cap/emc"),
)
"""The memory controller (EMC), the best place first: devfreq (JetPack 7.2), debugfs of TX2 to
Thor and of Nano, which need root (both as jetson_clocks uses them), and the power mode's cap."""

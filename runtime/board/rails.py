"""The power rails of a Jetson: which sensors measure them, and which of them is the total.

Sensors are TI's INA3221 (three channels; Documentation/hwmon/ina3221.rst of Linux), on Thor also
an INA238 at the board's input. JetPack 4 shows them through iio, later ones through hwmon.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from edgeup.boards import Board, all_boards
from edgeup.runtime.board.sysfs import find, number
from edgeup.runtime.machine import Machine

_I2C = "sys/bus/i2c/drivers"
_NOT_CONNECTED = "NC"


@dataclass(frozen=True)
class Rail:
    """One measured rail: the files whose product, in units of ``scale`` milliwatts, is its power.

    ``interval_ms``: how often the sensor has a new value, where it tells.
    """

    name: str
    files: tuple[str, ...]
    scale: float
    interval_ms: float | None = None

    def milliwatts(self, machine: Machine) -> float | None:
        """The power now; it may be negative near zero. None where it cannot be read."""
        power = self.scale
        for path in self.files:
            value = number(machine, path)
            if value is None:
                return None
            power *= value
        return power if math.isfinite(power) else None


def find_rails(machine: Machine) -> tuple[Rail, ...]:
    """The rails that the kernel shows; channels that are not connected or disabled are left out."""
    return (*_ina3221_iio(machine), *_ina3221_hwmon(machine), *_ina238(machine))


def _ina3221_iio(machine: Machine) -> list[Rail]:
    """JetPack 4: ``rail_name_N`` from 0, and the power in mW."""
    rails = []
    for path in find(machine, f"{_I2C}/ina3221x/*/iio:device*/rail_name_[0-9]"):
        folder, channel = path.rsplit("/", 1)[0], path[-1]
        name = machine.read(path)
        if _is_connected(name):
            rails.append(Rail(name, (f"{folder}/in_power{channel}_input",), 1.0))
    return rails


def _ina3221_hwmon(machine: Machine) -> list[Rail]:
    """JetPack 5 and later: ``inN_label`` 1 to 3, mV and mA.

    Channel 7, the sum of the shunt voltages, has a label too.
    """
    rails = []
    for path in find(machine, f"{_I2C}/ina3221/*/hwmon/hwmon*/in[123]_label"):
        folder, channel = path.rsplit("/", 1)[0], path.rsplit("/", 1)[1][2]
        name = machine.read(path)
        if _is_connected(name) and number(machine, f"{folder}/in{channel}_enable") != 0:
            files = (f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input")
            interval = number(machine, f"{folder}/update_interval")
            rails.append(Rail(name, files, 1e-3, interval))  # mV x mA = 1e-3 mW
    return rails


def _ina238(machine: Machine) -> list[Rail]:
    """Thor's board input: no label, µW; tegrastats names it VIN."""
    paths = find(machine, f"{_I2C}/ina238/*/hwmon/hwmon*/power1_input")
    return [Rail("VIN", (path,), 1e-3) for path in paths[:1]]


def _is_connected(name: str) -> bool:
    return bool(name) and name != _NOT_CONNECTED


@dataclass(frozen=True)
class Total:
    """The rails whose sum stands for the whole, and in words what that sum is.

    ``is_whole``: whether the rails are those that the board is known by, so that none is missing.
    """

    rails: tuple[str, ...]
    words: str
    is_whole: bool


def total_of(rails: Collection[str]) -> Total | None:
    """What stands for the power of the whole module (on Thor, of the board); None of no rail.

    The rails' own names tell the family of boards, also on a carrier board that hides its name.
    What is contained in another rail is not added again: AGX Orin's memory, VDDQ_VDD2_1V8AO,
    draws from VIN_SYS_5V0 ("power" among the sources of boards.json), AGX Xavier's VDDRQ stands
    beside SYS5V ("xvr").
    """
    names = frozenset(rails)
    if not names:
        return None
    for board in all_boards():
        if names.issuperset(board.total_rails):
            return _whole(names, board)
    known = next((board for board in all_boards() if names.issubset(board.rails)), None)
    shown = names.intersection(known.total_rails) if known is not None else names
    added = tuple(sorted(shown or names))
    words = f"the rail of the whole is not shown: the sum of {', '.join(added)}, a part"
    return Total(added, words, is_whole=False)


def _whole(names: frozenset[str], board: Board) -> Total:
    total = tuple(sorted(board.total_rails))
    if len(total) == 1:
        return Total(total, f"{total[0]}, the rail of the whole", is_whole=True)
    words = f"no rail of the whole: the sum of {', '.join(total)}"
    if contained := sorted(names.intersection(board.rails).difference(total)):
        words += f", in which {', '.join(contained)} is contained"
    return Total(total, words, is_whole=True)

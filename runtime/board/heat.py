"""Where temperatures are told, and what the board does against heat and over-current."""

from __future__ import annotations

from edgeup.runtime.board.sysfs import find
from edgeup.runtime.machine import Machine

_FANS = ("fan", "pwm-fan", "pwm")
SENSOR_OFF_C = -256.0


def find_temperatures(machine: Machine) -> dict[str, str]:
    """Files of thousandths of a degree Celsius, by thermal zone."""
    found = {}
    for path in find(machine, "sys/class/thermal/thermal_zone*/type"):
        name = machine.read(path).removesuffix("-thermal").removesuffix("-therm")
        found[name] = f"{path.rsplit('/', 1)[0]}/temp"
    return found


def find_cooling(machine: Machine) -> dict[str, str]:
    """Files of the state of every cooling device but fans: 0 is none, more is a lower clock.

    ``gpu-throttle-alert`` and its like are the hardware's own throttling; ``cpufreq-…`` and
    ``devfreq-…`` are caps that the kernel set.
    """
    found = {}
    for path in find(machine, "sys/class/thermal/cooling_device*/type"):
        name = machine.read(path)
        if not name.lower().startswith(_FANS):
            found[name] = f"{path.rsplit('/', 1)[0]}/cur_state"
    return found


def find_over_current(machine: Machine) -> dict[str, str]:
    """Files of how often each over-current or under-voltage alarm has throttled since the start.

    Orin and Thor: ``ocN_event_cnt`` of the hwmon device soctherm_oc.
    """
    paths = find(machine, "sys/class/hwmon/hwmon*/oc*_event_cnt")
    return {path.rsplit("/", 1)[1].removesuffix("_event_cnt"): path for path in paths}

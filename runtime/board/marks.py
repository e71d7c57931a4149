"""What is wrong with the conditions of a measurement, in words that stand beside its figures."""

from __future__ import annotations

from collections.abc import Sequence

from edgeup.runtime.board.power import NotMeasured, Power
from edgeup.runtime.board.state import BoardState

_FELL = 0.95
"""Clocks are reported within a few per cent of what was set; below this share they fell."""
_BUSY_PERCENT = 90.0
_IDLE_PERCENT = 10.0
_HARMLESS = ("hot-surface", "shutdown", "-floor")
"""Cooling devices that slow nothing down: Orin's warning that its surface is over 70 °C (the board
throttles at 99), the Nano's before it switches off, and voltage floors of a cold chip."""
_CAPS = ("cpufreq", "devfreq", "throttle", "balanced", "heavy", "processor")
"""In the names of those that cap a clock for as long as they are above 0: of JetPack 5 to 7, of
JetPack 4, and ACPI's. What others mean by a state that stays is not known."""


def throttling(
    before: BoardState,
    during: Sequence[BoardState],
    after: BoardState,
    timed: Sequence[BoardState],
) -> tuple[str, ...]:
    """How the board slowed itself down between two looks; empty where it did not.

    ``timed`` are those of ``during`` while the timed runs went on.
    """
    rises = {
        name: count - before.over_current.get(name, count)
        for name, count in after.over_current.items()
    }
    found = [
        f"over-current alarm {name} throttled {'once' if rise == 1 else f'{rise} times'}"
        for name, rise in rises.items()
        if rise > 0
    ]
    found += _cooling(before, (*during, after))
    found += _caps(before, (*during, after))
    found += _drops(before, timed)
    return tuple(found)


def tells_throttling(state: BoardState) -> bool:
    """Whether there is anything to see throttling by."""
    caps = any(clock.max_mhz is not None for clock in state.clocks)
    return bool(state.cooling or state.over_current or caps)


def _cooling(before: BoardState, later: Sequence[BoardState]) -> list[str]:
    """A cooling device that rose; one that caps a clock that was above 0 at all."""
    found = []
    for name in dict.fromkeys([*before.cooling, *later[-1].cooling]):
        start = before.cooling.get(name, 0)
        most = max(state.cooling.get(name, 0) for state in later)
        known = name.lower()
        if any(word in known for word in _HARMLESS):
            continue
        if "alert" in known and max(most, start) > 0:
            found.append(f"{name} was active")
        elif most > start:
            found.append(f"cooling device {name} rose from state {start} to {most}")
        elif start > 0 and any(word in known for word in _CAPS):
            found.append(f"cooling device {name} was at state {start} already before the run")
    return found


def _caps(before: BoardState, later: Sequence[BoardState]) -> list[str]:
    found = []
    for clock in before.clocks:
        caps = [other.max_mhz for state in later if (other := state.clock(clock.name))]
        least = min((cap for cap in caps if cap is not None), default=None)
        most = clock.max_mhz
        if most is not None and least is not None and least < most * _FELL:
            found.append(
                f"the cap of the {clock.name} clock fell from {most:.0f} to {least:.0f} MHz"
            )
    return found


def _drops(before: BoardState, timed: Sequence[BoardState]) -> list[str]:
    """GPU or memory below the clock that they were locked to; else a GPU that fell while busy.

    A locked clock may rest while nothing runs on the GPU, but not between the inferences of one
    run: if the GPU worked at any look, the clock counts at every look. A clock that is not locked
    falls by itself when there is little to do, but not when the GPU has no pause.
    """
    found = {}
    highest = 0.0
    working = any(s.gpu_load is None or s.gpu_load >= _IDLE_PERCENT for s in timed)
    for state in timed:
        load = state.gpu_load
        for name in ("gpu", "memory"):
            start, now = before.clock(name), state.clock(name)
            held = None if start is None else start.held_mhz
            if held is None or now is None or not now.mhz:
                continue
            if now.mhz < held * _FELL and working:
                found[name] = (
                    f"the {name} clock fell to {now.mhz:.0f} MHz though locked at {held:.0f}"
                )
        gpu = state.clock("gpu")
        if gpu is None or gpu.mhz is None or load is None or load < _BUSY_PERCENT:
            continue
        if gpu.mhz < highest * _FELL:
            words = f"the gpu clock fell from {highest:.0f} to {gpu.mhz:.0f} MHz while it was busy"
            found.setdefault("gpu", words)
        highest = max(highest, gpu.mhz)
    return list(found.values())


def unlocked(state: BoardState, locked: bool | None) -> str | None:
    """What to say of clocks that can move; None where they cannot."""
    if locked:
        return None
    moving = [
        f"{clock.name.rstrip('0123456789')} {clock.range}"
        for clock in state.clocks
        if clock.locked is False
    ]
    if moving:
        return f"the clocks are not locked: {', '.join(dict.fromkeys(moving))}"
    return "whether the clocks are locked cannot be read on this machine"


def changed(before: BoardState, after: BoardState) -> list[str]:
    """What somebody changed meanwhile."""
    if before.power_mode == after.power_mode:
        return []
    return [f"the power mode changed from {before.power_mode} to {after.power_mode}"]


def odd_power(power: Power | NotMeasured) -> list[str]:
    """An energy above idle that is none."""
    if isinstance(power, NotMeasured) or power.is_above_idle:
        return []
    return [
        f"the board drew no more in the timed runs ({power.mean_mw / 1e3:.2f} W) than idle before "
        f"them ({power.idle_mw / 1e3:.2f} W): the energy of an inference above idle is no figure, "
        f"for limits and baselines it was not measured"
    ]


def other_load(before: BoardState, cores: int) -> list[str]:
    """What else ran when the measurement started."""
    found = []
    if before.gpu_load is not None and before.gpu_load >= _IDLE_PERCENT:
        found.append(f"the GPU was {before.gpu_load:.0f} % busy before the run")
    if before.load_average and before.load_average[0] > cores / 2:
        found.append(
            f"the load average was {before.load_average[0]:.1f} on {cores} cores before the run"
        )
    return found

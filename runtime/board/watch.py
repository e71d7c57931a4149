"""Looks at the board before, while and after a model is measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.runtime.board.clocks import all_locked
from edgeup.runtime.board.marks import (
    changed,
    odd_power,
    other_load,
    tells_throttling,
    throttling,
    unlocked,
)
from edgeup.runtime.board.power import LEAST_SAMPLES, NotMeasured, Power, Window, measure_power
from edgeup.runtime.board.repeat import Repeater
from edgeup.runtime.board.sources import PowerSource, find_source
from edgeup.runtime.board.state import BoardState, Probe, summarize
from edgeup.runtime.cpu import cpu_threads
from edgeup.runtime.jetson import Jetson, find_jetson
from edgeup.runtime.machine import Machine

DEFAULT_INTERVAL_S = 0.1
_LOOK_EVERY_S = 0.5
"""Clocks, heat and alarms: a look opens some hundred files, and throttling lasts longer."""
_IDLE_AT_LEAST_S = 1.0


@dataclass(frozen=True)
class BoardRecord:
    """The conditions of one measurement.

    Attributes:
        jetson: None on another machine.
        locked: whether no clock could move; None where that cannot be read. ``loose`` says so in
            words, and is None where they were locked.
        throttled: how the board slowed itself down; empty where it did not, None where nothing
            here tells.
        marks: all that speaks against the figures, these two included, in words.
        power: or why it was not measured.
    """

    jetson: Jetson | None
    before: BoardState
    during: Sequence[BoardState]
    after: BoardState
    locked: bool | None
    loose: str | None
    throttled: tuple[str, ...] | None
    marks: tuple[str, ...]
    power: Power | NotMeasured

    def to_json(self) -> dict[str, Any]:
        """As a report holds it; ``power`` is a section of its own."""
        return {
            "jetson": None if self.jetson is None else asdict(self.jetson),
            "clocks_locked": self.locked,
            "throttled": None if self.throttled is None else list(self.throttled),
            "marks": list(self.marks),
            "before": self.before.to_json(),
            "during": summarize(self.during),
            "after": self.after.to_json(),
        }

    def refusal(self) -> str | None:
        """Why ``--require-locked-clocks`` does not let these figures stand, or None."""
        found = [text for text in (self.loose, *(self.throttled or ())) if text is not None]
        return f"--require-locked-clocks: {'; '.join(found)}" if found else None


def require_locked_clocks(machine: Machine) -> None:
    """Look before anything is measured.

    Raises:
        EdgeupError: a clock can move, or it cannot be read whether one can; or the board
            throttles already.
    """
    jetson, state = find_jetson(machine), Probe(machine).look()
    found = unlocked(state, all_locked(state.clocks, gpu=jetson is not None))
    if found is not None:
        remedy = "" if jetson is None else "run sudo jetson_clocks, or "
        raise EdgeupError(f"--require-locked-clocks: {found}; {remedy}leave the option out")
    if capped := throttling(state, (), state, ()):
        raise EdgeupError(
            f"--require-locked-clocks: {'; '.join(capped)}; let the board cool down, or leave the "
            f"option out"
        )


class BoardWatch:
    """Looks before, while and after the code inside it runs.

    Enter it when the model is loaded, so that "idle" means only that nothing runs: entering waits
    until enough idle samples of power are there, where power can be read. Call `begin` when the
    first timed run starts, `end` after the last. However the code inside ends, threads and
    tegrastats are stopped.

    Args:
        machine: where to look.
        interval_s: between samples of power.
        no_power: why power is not to be measured, if it is not.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        no_power: str | None = None,
    ) -> None:
        self._machine = machine
        self._interval_s = interval_s
        self._jetson = find_jetson(machine)
        self._probe = Probe(machine)
        self._source: PowerSource | NotMeasured = (
            find_source(machine, self._jetson, interval_s)
            if no_power is None
            else NotMeasured(no_power)
        )
        self._looks: list[BoardState] = []
        self._inferences = 0

    def __enter__(self) -> BoardWatch:
        now = time.perf_counter()
        self._idle = self._timed = Window(now, now)
        with ExitStack() as stack:
            self._rest(stack)
            self.before = self.after = self._probe.look()
            looker = Repeater("board state", _LOOK_EVERY_S, self._look)
            stack.callback(looker.stop)
            looker.start()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def begin(self) -> None:
        """The timed runs start now."""
        now = time.perf_counter()
        self._timed = Window(now, now)

    def end(self, inferences: int, seconds: float | None = None) -> None:
        """The timed runs are over; there were so many, and they took so long from `begin`.

        Without the seconds they lasted until now, with whatever was reckoned since.
        """
        start_s = self._timed.start_s
        stop_s = time.perf_counter() if seconds is None else start_s + seconds
        self._timed = Window(start_s, stop_s)
        self._inferences = inferences
        self.after = self._probe.look()

    def record(self) -> BoardRecord:
        """What was seen; after `end`, and best after leaving, when the last samples are in."""
        during = tuple(self._looks)
        on_gpu = self._jetson is not None
        ends = (self.before, self.after)
        before, after = (all_locked(state.clocks, gpu=on_gpu) for state in ends)
        loose = unlocked(self.before, before) or unlocked(self.after, after)
        timed = [look for look in during if look.at_s in self._timed]
        told = all(map(tells_throttling, ends))
        throttled = throttling(self.before, during, self.after, timed) if told else None
        power = self._power()
        marks = [
            *([] if loose is None else [loose]),
            *changed(self.before, self.after),
            *(throttled or ()),
            *odd_power(power),
            *other_load(self.before, cpu_threads(self._machine.root)),
        ]
        return BoardRecord(
            jetson=self._jetson,
            before=self.before,
            during=during,
            after=self.after,
            locked=_both(before, after),
            loose=loose,
            throttled=throttled,
            marks=tuple(marks),
            power=power,
        )

    def _rest(self, stack: ExitStack) -> None:
        """Let a Jetson come to rest, and see what it draws then.

        The look that follows would else find the load of the model's own first run.
        """
        if self._jetson is None:
            return
        source, wait_s = self._source, _IDLE_AT_LEAST_S
        if not isinstance(source, NotMeasured):
            stack.callback(source.stop)
            if (refused := source.start()) is not None:
                self._source = NotMeasured(refused)
            period_s = max(self._interval_s, (source.sensor_interval_ms or 0.0) * 1e-3)
            wait_s = max(wait_s, (LEAST_SAMPLES + 2) * period_s)
        started_s = time.perf_counter()
        time.sleep(wait_s)
        if not isinstance(self._source, NotMeasured) and not self._source.samples:
            time.sleep(wait_s)  # tegrastats starts slowly
        self._idle = Window(started_s, time.perf_counter())

    def _look(self) -> None:
        self._looks.append(self._probe.look())

    def _power(self) -> Power | NotMeasured:
        source = self._source
        if isinstance(source, NotMeasured):
            return source
        return measure_power(
            source.samples,
            idle=self._idle,
            timed=self._timed,
            inferences=self._inferences,
            source=source.name,
            interval_s=self._interval_s,
            sensor_interval_ms=source.sensor_interval_ms,
            stopped=source.stopped,
        )


def _both(first: bool | None, second: bool | None) -> bool | None:
    """Locked only where it was so at both looks."""
    if first is False or second is False:
        return False
    return first and second

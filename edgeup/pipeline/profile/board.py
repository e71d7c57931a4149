"""The board around a measurement: the one place where a profile touches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from edgeup.pipeline.profile.request import ProfileRequest
from edgeup.runtime.board.power import Power
from edgeup.runtime.board.watch import BoardRecord, BoardWatch


class Watch(Protocol):
    """What a measurement tells the watch."""

    def begin(self) -> None:
        """The timed runs start now."""
        ...

    def end(self, inferences: int, seconds: float | None = None) -> None:
        """They are over; there were so many, which took so long."""
        ...


class Watched:
    """A watch, and once it is over what it saw."""

    def __init__(self) -> None:
        self.record: BoardRecord | None = None


@contextmanager
def watching(request: ProfileRequest) -> Iterator[tuple[Watch, Watched]]:
    """Watch the board; enter it when the model is loaded."""
    watched = Watched()
    in_turns = "two models took turns: neither's share of the power can be told"
    with BoardWatch(
        request.machine,
        interval_s=request.power_interval_s,
        no_power=None if request.other is None else in_turns,
    ) as watch:
        yield watch, watched
    watched.record = watch.record()


def board_sections(record: BoardRecord) -> dict[str, Any]:
    """The report's ``board`` and ``power``."""
    return {"board": record.to_json(), "power": record.power.to_json()}


def board_facts(record: BoardRecord) -> dict[str, float | str]:
    """For gates: what was not measured is missing."""
    facts: dict[str, float | str] = {}
    if record.throttled is not None:
        facts["throttled"] = "; ".join(record.throttled)
    if record.locked is not None:
        facts["unlocked"] = "" if record.locked else "the clocks could move"
    power = record.power
    if isinstance(power, Power):
        facts["power"] = power.mean_mw * 1e-3
        if power.is_above_idle:
            facts["energy"] = power.energy_per_inference_mj
    return facts

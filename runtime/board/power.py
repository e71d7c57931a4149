"""Energy from samples of power: the trapezoid over a window, less what the board draws idle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.runtime.board.rails import total_of

_Floats: TypeAlias = npt.NDArray[np.float64]

LEAST_SAMPLES = 10
"""In the timed window, and in the idle one: a disturbed sample then moves a mean by a tenth of
its own error at most."""

_ROUNDING = 1e-6
"""Of the energy with idle: what floating-point sums over equal powers may leave above 0."""

_PERIODS, _HICCUP_S, _SHARE = 5.0, 0.25, 0.02
"""The longest time without a sample in the timed window: so many periods; or what a busy machine
may delay one; or a share of the window that no power between idle and full makes matter."""


@dataclass(frozen=True)
class PowerSample:
    """Milliwatts by rail, and when they were read: seconds of ``time.perf_counter``."""

    at_s: float
    rails: Mapping[str, float]


@dataclass(frozen=True)
class Window:
    """A span of time, in seconds of ``time.perf_counter``."""

    start_s: float
    stop_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.stop_s - self.start_s

    def __contains__(self, at_s: float) -> bool:
        return self.start_s <= at_s <= self.stop_s


@dataclass(frozen=True)
class NotMeasured:
    """Why there is no figure of power."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {"measured": False, "reason": self.reason}


@dataclass(frozen=True)
class Power:
    """Power over the timed window, in milliwatts, and the energy of an inference.

    Attributes:
        source: "sysfs" or "tegrastats".
        total: what the sum of ``total_rails`` stands for, in words.
        sensor_interval_ms: how often the sensor has a new value, where it tells.
        seconds: the length of the timed window; ``inferences`` ran in it.
        samples: in the timed window; ``idle_samples`` in the time before the first run, when the
            model was loaded.
        mean_mw: of the total; its samples range from ``min_mw`` to ``max_mw``.
        idle_mw: the mean before the first run; its samples' standard deviation is ``idle_std_mw``.
        rails_mw: the mean over the timed window of every rail.
        energy_per_inference_mj: above idle, in millijoules; ``gross_per_inference_mj`` is with it.
    """

    source: str
    total: str
    total_rails: tuple[str, ...]
    sensor_interval_ms: float | None
    seconds: float
    inferences: int
    samples: int
    idle_samples: int
    mean_mw: float
    min_mw: float
    max_mw: float
    idle_mw: float
    idle_std_mw: float
    rails_mw: Mapping[str, float]
    energy_per_inference_mj: float
    gross_per_inference_mj: float

    @property
    def is_above_idle(self) -> bool:
        """Whether the runs drew more than idle; else the energy above it says nothing."""
        return self.energy_per_inference_mj > 0

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {"measured": True, **asdict(self), "total_rails": list(self.total_rails)}


def _above(gross: float, idle: float) -> float:
    """The difference; 0 where it may be what the sums' rounding left of two equal numbers."""
    return gross - idle if abs(gross - idle) > _ROUNDING * gross else 0.0


def measure_power(
    samples: Sequence[PowerSample],
    *,
    idle: Window,
    timed: Window,
    inferences: int,
    source: str,
    interval_s: float = 0.1,
    sensor_interval_ms: float | None = None,
    stopped: str | None = None,
) -> Power | NotMeasured:
    """Integrate the total over the timed window; or say why not, and what would be enough.

    A sample that lacks one of the rails is left out: it would not mean the same.

    Args:
        samples: in the order of time.
        idle: before the first run.
        timed: the runs; ``inferences`` of them.
        inferences: how many.
        source: what gave the samples.
        interval_s: how often they were asked for.
        sensor_interval_ms: how often the sensor has a new value, where it tells.
        stopped: how the source ended by itself, if it did.
    """
    names = sorted({name for sample in samples for name in sample.rails})
    total = total_of(names)
    if total is None:
        return NotMeasured(f"{f'{stopped}: ' if stopped else ''}{source} gave no power")
    if inferences < 1:
        return NotMeasured("no timed run was counted")
    whole = [sample for sample in samples if all(name in sample.rails for name in names)]
    series = _Series(
        np.array([sample.at_s for sample in whole]),
        {name: np.array([sample.rails[name] for sample in whole]) for name in names},
    )
    if why := _too_little(
        series,
        {window: _unread(samples, names, window) or stopped for window in (idle, timed)},
        idle=idle,
        timed=timed,
        interval_s=interval_s,
        sensor_interval_ms=sensor_interval_ms,
    ):
        return NotMeasured(why)
    watched, resting = series.within(timed, total.rails), series.within(idle, total.rails)
    gross_mj = series.energy_mj(timed, total.rails)
    idle_mw = series.energy_mj(idle, total.rails) / idle.seconds
    return Power(
        source=source,
        total=total.words,
        total_rails=total.rails,
        sensor_interval_ms=sensor_interval_ms,
        seconds=timed.seconds,
        inferences=inferences,
        samples=watched.size,
        idle_samples=resting.size,
        mean_mw=gross_mj / timed.seconds,
        min_mw=float(watched.min()),
        max_mw=float(watched.max()),
        idle_mw=idle_mw,
        idle_std_mw=float(resting.std()),
        rails_mw={name: series.energy_mj(timed, (name,)) / timed.seconds for name in names},
        energy_per_inference_mj=_above(gross_mj, idle_mw * timed.seconds) / inferences,
        gross_per_inference_mj=gross_mj / inferences,
    )


def _too_little(
    series: _Series,
    causes: Mapping[Window, str | None],
    *,
    idle: Window,
    timed: Window,
    interval_s: float,
    sensor_interval_ms: float | None,
) -> str:
    """Why the samples of the windows do not tell their energy; empty where they do.

    Args:
        series: the samples that have all rails.
        causes: by window, what kept samples away, where that is known.
        idle: see `measure_power`, as for the rest.
    """
    for window, when, remedy in (
        (timed, "during the timed runs", "run longer"),
        (idle, "before the runs, idle", "take them more often"),
    ):
        count = series.count(window, sensor_interval_ms)
        if count < LEAST_SAMPLES:
            return (
                f"{count} samples of power {when} ({window.seconds:.2f} s), "
                f"{LEAST_SAMPLES} are needed: {causes[window] or remedy}"
            )
    gap_s = series.longest_gap_s(timed)
    if gap_s > series.longest_allowed_s(timed, max(interval_s, (sensor_interval_ms or 0) * 1e-3)):
        busy = "this machine was too busy to take them; measure again"
        return (
            f"no sample of power for {gap_s:.2f} of the {timed.seconds:.2f} s of the timed runs: "
            f"{causes[timed] or busy}"
        )
    return ""


def _unread(samples: Sequence[PowerSample], names: Sequence[str], window: Window) -> str | None:
    """Which rails could not be read in a window; None where all could."""
    inside = [sample for sample in samples if sample.at_s in window]
    lost = [name for name in names if any(name not in sample.rails for sample in inside)]
    return f"{', '.join(lost)} could not be read any more" if lost else None


@dataclass(frozen=True)
class _Series:
    """Powers in mW by rail, at times in seconds that never go back."""

    times: _Floats
    rails: Mapping[str, _Floats]

    def count(self, window: Window, sensor_interval_ms: float | None) -> int:
        """The samples in a window; read faster than the sensor has new values, only the new."""
        count = int(self._inside(window).sum())
        if not sensor_interval_ms:
            return count
        return min(count, int(window.seconds * 1e3 / sensor_interval_ms))

    def longest_gap_s(self, window: Window) -> float:
        """The longest time in a window without a sample, its ends included."""
        inside = self.times[self._inside(window)]
        return float(np.diff([window.start_s, *inside, window.stop_s]).max())

    def longest_allowed_s(self, window: Window, interval_s: float) -> float:
        """The longest that says nothing: samples may come less often than they were asked for."""
        usual_s = float(np.median(np.diff(self.times[self._inside(window)])))
        periods_s = _PERIODS * max(interval_s, usual_s)
        return max(periods_s, _HICCUP_S, _SHARE * window.seconds)

    def within(self, window: Window, names: Sequence[str]) -> _Floats:
        """The samples in a window, of the sum of rails."""
        return self._sum(names)[self._inside(window)]

    def energy_mj(self, window: Window, names: Sequence[str]) -> float:
        """mW x s: the trapezoid; at the ends, the power of the nearest sample inside.

        Not interpolated with the next one outside: the board does something else there.
        """
        inside = self.times[self._inside(window)]
        times = np.concatenate([[window.start_s], inside, [window.stop_s]])
        powers = np.interp(times, inside, self.within(window, names))
        return float(((powers[1:] + powers[:-1]) / 2 * np.diff(times)).sum())

    def _inside(self, window: Window) -> npt.NDArray[np.bool_]:
        return (self.times >= window.start_s) & (self.times <= window.stop_s)

    def _sum(self, names: Sequence[str]) -> _Floats:
        total: _Floats = np.sum([self.rails[name] for name in names], axis=0)
        return total

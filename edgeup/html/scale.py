"""A logarithmic axis: from values to places in a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Places ``low`` at ``start`` and ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float, by: float = 1.5) -> Scale:
        """With room around positive values: a factor on both sides."""
        known = [value for value in values if value > 0] or [1.0]
        return cls(min(known) / by, max(known) * by, start, end)

    def __call__(self, value: float) -> float:
        """The place of a value, within the drawing even where the value is not."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)


def ticks(scale: Scale) -> list[float]:
    """Round numbers along the scale: the finest steps that give not more than seven."""
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    inside: list[float] = []
    for steps in _STEPS:
        found = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in found if scale.low <= value <= scale.high]
        if len(inside) <= _MOST:
            break
    return inside[:: math.ceil(len(inside) / _MOST)] if inside else []


_MOST = 7
_STEPS: tuple[tuple[float, ...], ...] = (
    tuple(1 + step / 5 for step in range(45)),
    tuple(1 + step / 2 for step in range(18)),
    (1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)

"""What a condition can be about (`edgeup.pipeline.gates`), in which unit, and which side is bad."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgeup.digits import shortest
from edgeup.errors import unknown


@dataclass(frozen=True)
class Unit:
    """How a quantity is written: the factors to the base unit, the first being the base.

    ``aliases`` are understood too, and not written. ``digits`` are shown of a value.
    """

    factors: Mapping[str, float]
    aliases: Mapping[str, float] = field(default_factory=dict)
    digits: int = 4

    @property
    def known(self) -> dict[str, float]:
        """All that are understood."""
        return {**self.factors, **self.aliases}

    def text(self, value: float, beside: float | None = None) -> str:
        """In the largest unit that keeps it at or above 1.

        Args:
            value: in the base unit.
            beside: another value, from which the text's rounding must not hide that it differs.
        """
        fitting = [(factor, name) for name, factor in self.factors.items() if value >= factor]
        factor, name = max(fitting, default=(1.0, next(iter(self.factors))))
        space = "" if name in ("", "%", "/s") else " "
        number = shortest(value / factor, None if beside is None else beside / factor, self.digits)
        return f"{number}{space}{name}"


MS = Unit({"ms": 1.0, "us": 1e-3, "s": 1e3})
BYTES = Unit(
    {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9},
    {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
)
SHARE = Unit({"%": 0.01})
RATE = Unit({"/s": 1.0}, {"qps": 1.0, "fps": 1.0})
WATTS = Unit({"W": 1.0, "mW": 1e-3})
JOULES = Unit({"mJ": 1.0, "J": 1e3})
FACTOR = Unit({"": 1.0}, {"x": 1.0})
OF_THE_OUTPUT = Unit({"": 1.0})
"""An output's own unit, which edgeup does not know."""
RELATIVE = Unit({"": 1.0}, {"%": 0.01})
COSINE = Unit({"": 1.0}, digits=9)
DECIBELS = Unit({"dB": 1.0})


@dataclass(frozen=True)
class Quantity:
    """What a condition can be about; without a unit it is a check, which passes or fails.

    ``limit`` is the number of an example.
    """

    about: str
    unit: Unit | None = None
    worse: Literal[">", "<"] = ">"
    limit: str = "12"


QUANTITIES = {
    "parity": Quantity("the outputs differ beyond the tolerance"),
    "precision": Quantity("a layer is not in the precision that was asked for"),
    "max_abs": Quantity("the largest |error|", OF_THE_OUTPUT, limit="0.001"),
    "mean_abs": Quantity("the mean |error|", OF_THE_OUTPUT, limit="0.001"),
    "max_rel": Quantity("the largest |error| by |reference|", RELATIVE, limit="0.01"),
    "rmse": Quantity("the root of the mean squared error", OF_THE_OUTPUT, limit="0.001"),
    "cosine": Quantity("the cosine to the reference", COSINE, "<", limit="0.9999"),
    "psnr": Quantity("the peak signal-to-noise ratio", DECIBELS, "<", limit="40"),
    "abs_rel": Quantity("the mean |error| by the reference's depth", RELATIVE, limit="0.01"),
    "delta_1.25": Quantity("the share of pixels within 1.25 times", RELATIVE, "<", limit="0.99"),
    "edge_error": Quantity("the mean |error| next to edges", OF_THE_OUTPUT, limit="0.01"),
    "argmax_disagreement": Quantity("the share of pixels of another class", RELATIVE, limit="0.01"),
    "mean_iou": Quantity("the mean IoU of the classes", RELATIVE, "<", limit="0.99"),
    "boundary_iou": Quantity("the mean boundary IoU of the classes", RELATIVE, "<", limit="0.98"),
    "ssim": Quantity("the structural similarity", RELATIVE, "<", limit="0.99"),
    "latency": Quantity("median latency", MS),
    "mean": Quantity("mean latency", MS),
    "min": Quantity("least latency", MS),
    "max": Quantity("greatest latency", MS),
    "std": Quantity("standard deviation of the latency", MS),
    "cv": Quantity("coefficient of variation of the latency", SHARE),
    "drift": Quantity("how far the latency drifted, up or down", SHARE),
    "h2d": Quantity("median time of the copies to the device", MS),
    "compute": Quantity("median time of the network on the device", MS),
    "d2h": Quantity("median time of the copies from the device", MS),
    "enqueue": Quantity("median time of handing the network over", MS),
    "throughput": Quantity("inferences per second", RATE, "<"),
    "ratio": Quantity("median latency over that of --vs", FACTOR),
    "slower": Quantity("slower than --vs beyond noise"),
    "size": Quantity("bytes of the model's file", BYTES),
    "memory": Quantity("peak resident memory of the process", BYTES),
    "power": Quantity("mean power", WATTS),
    "energy": Quantity("energy of an inference above idle", JOULES),
    "throttled": Quantity("the board slowed itself down"),
    "unlocked": Quantity("the clocks could move"),
}

ANY_PERCENTILE = "any percentile (p99)"

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")


def percent_of(name: str) -> float | None:
    """99.9 of ``p99.9``, between 0 and 100; None of what is no percentile of the latency."""
    match = _PERCENTILE.fullmatch(name)
    return None if match is None else float(match[1]) or None


def percentile_name(percent: float) -> str:
    """The one spelling of a percentile: ``p99``, ``p99.9``; never ``p99.0`` or ``p09``."""
    return f"p{percent:g}"


def find_quantity(name: str) -> Quantity:
    """By its name; every percentile of the latency is one.

    Raises:
        EdgeupError: there is none of that name.
    """
    if percent_of(name) is not None:
        return Quantity(f"{name[1:]}th percentile of the latency", MS)
    if name not in QUANTITIES:
        raise unknown("quantity of --fail-on", name, (*QUANTITIES, "p99"))
    return QUANTITIES[name]

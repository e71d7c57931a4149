"""Conditions under which a run fails: ``--fail-on 'parity,latency>12ms,size>25MB'``.

A verb says which quantities it can judge before it starts, so that a condition that it cannot is
refused and not silently passed; when it is done, it gives their values, and gets a line for every
condition that failed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeup.errors import EdgeupError, unknown

Facts = Mapping[str, "float | str"]
"""By quantity: a number in its base unit; of a check, why it failed, and "" where it passed."""


@dataclass(frozen=True)
class Unit:
    """How a quantity is written: the factors to the base unit, the first being the base.

    ``aliases`` are understood too, and not written.
    """

    factors: Mapping[str, float]
    aliases: Mapping[str, float] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, float]:
        """All that are understood."""
        return {**self.factors, **self.aliases}

    def text(self, value: float) -> str:
        """In the largest unit that keeps it at or above 1, to four digits."""
        fitting = [(factor, name) for name, factor in self.factors.items() if value >= factor]
        factor, name = max(fitting, default=(1.0, next(iter(self.factors))))
        space = "" if name in ("", "%", "/s") else " "
        return f"{value / factor:.4g}{space}{name}"


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


@dataclass(frozen=True)
class Quantity:
    """What a condition can be about; without a unit it is a check, which passes or fails."""

    about: str
    unit: Unit | None = None
    worse: Literal[">", "<"] = ">"


QUANTITIES = {
    "parity": Quantity("the outputs differ beyond the tolerance"),
    "precision": Quantity("a layer is not in the precision that was asked for"),
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

EXPORTED = (
    *("parity", "precision", "size"),
    *("latency", "mean", "min", "std", "cv", "drift", "p90", "p95", "p99"),
)
"""What a report of `edgeup export` and `edgeup optimize` tells: see `report_facts`."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")
_CONDITION = re.compile(
    r"(?P<name>[a-z][\w.]*)\s*(?:(?P<sign>[<>]=?)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[\w/%]*))?"
)


@dataclass(frozen=True)
class Condition:
    """A run fails where the quantity is worse than the limit; a check has none."""

    text: str
    name: str
    limit: float = 0.0
    inclusive: bool = False

    @property
    def percent(self) -> float | None:
        """99.9 of ``p99.9``."""
        match = _PERCENTILE.fullmatch(self.name)
        return None if match is None else float(match[1])


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """``parity,latency>12ms``; several options add up.

    Raises:
        EdgeupError: not of that form, an unknown quantity or unit, a number without its unit, a
            limit on the wrong side.
    """
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    return tuple(_condition(part) for part in parts)


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise EdgeupError(
            f"--fail-on {text!r}: wanted a check (parity) or a limit with its unit (latency>12ms)"
        )
    name, sign = match["name"], match["sign"]
    quantity = _quantity(name)
    if quantity.unit is None:
        if sign:
            raise EdgeupError(f"--fail-on {text}: {name} passes or fails; leave the limit out")
        return Condition(text, name)
    units = [unit for unit in quantity.unit.known if unit]
    example = f"{name}{quantity.worse}12{next(iter(quantity.unit.factors))}"
    if not sign:
        raise EdgeupError(f"--fail-on {text}: {name} needs a limit, as in {example}")
    if sign[0] != quantity.worse:
        raise EdgeupError(
            f"--fail-on {text} would fail a run for being good; a limit on {name} "
            f"({quantity.about}) is written as {example}"
        )
    if match["unit"] not in quantity.unit.known:
        raise EdgeupError(
            f"--fail-on {text}: {match['unit'] or 'a number without a unit'} is no unit of "
            f"{name}: {', '.join(units)}"
        )
    limit = float(match["number"]) * quantity.unit.known[match["unit"]]
    return Condition(text, name, limit, inclusive=sign.endswith("="))


def _quantity(name: str) -> Quantity:
    match = _PERCENTILE.fullmatch(name)
    if match is not None:
        return Quantity(f"{match[1]}th percentile of the latency", MS)
    if name not in QUANTITIES:
        raise unknown("quantity of --fail-on", name, (*QUANTITIES, "p99"))
    return QUANTITIES[name]


def check_judgeable(
    conditions: Sequence[Condition], quantities: Collection[str], verb: str
) -> None:
    """Refuse what this run will not find out.

    Args:
        conditions: what was asked.
        quantities: what it will find; `ANY_PERCENTILE` among them stands for all.
        verb: what the message calls it.

    Raises:
        EdgeupError: a condition is about something else.
    """
    for condition in conditions:
        known = condition.name in quantities
        if not known and (condition.percent is None or ANY_PERCENTILE not in quantities):
            raise EdgeupError(
                f"--fail-on {condition.text}: this run of {verb} does not find {condition.name} "
                f"out; it can judge {', '.join(quantities)}"
            )


def failures(conditions: Sequence[Condition], facts: Facts) -> tuple[str, ...]:
    """A line for each condition that failed; what was not measured after all fails."""
    return tuple(
        line for condition in conditions if (line := _failure(condition, facts)) is not None
    )


def _failure(condition: Condition, facts: Facts) -> str | None:
    quantity = _quantity(condition.name)
    value = facts.get(condition.name)
    if value is None:
        return f"{condition.text}: {condition.name} was not measured"
    if isinstance(value, str):
        return f"{condition.text}: {value}" if value else None
    assert quantity.unit is not None  # noqa: S101 - a number has a unit
    beyond = value - condition.limit if quantity.worse == ">" else condition.limit - value
    if beyond > 0 or (condition.inclusive and beyond == 0):
        return f"{condition.text}: {quantity.about} is {quantity.unit.text(value)}"
    return None


def gates_section(conditions: Sequence[Condition], failed: Sequence[str]) -> dict[str, object]:
    """As a report holds it."""
    return {"conditions": [condition.text for condition in conditions], "failures": list(failed)}


def gated(report: Mapping[str, Any], conditions: Sequence[Condition]) -> dict[str, Any]:
    """The ``gates`` and ``passed`` of a report of `edgeup export` or `edgeup optimize`."""
    if not conditions:
        return {}
    failed = failures(conditions, report_facts(report))
    return {
        "gates": gates_section(conditions, failed),
        "passed": bool(report["passed"]) and not failed,
    }


def report_facts(report: Mapping[str, Any]) -> Facts:
    """What such a report says of its quantities; a latency that was not measured is missing."""
    data = report["onnx"].get("data", {"bytes": 0})
    facts: dict[str, float | str] = {"size": float(report["onnx"]["bytes"] + data["bytes"])}
    if report["parity"]:
        failed = [output["name"] for output in report["parity"] if not output["passed"]]
        facts["parity"] = f"{', '.join(failed)} beyond the tolerance" if failed else ""
    facts["precision"] = _not_as_asked(report.get("precision"))
    latency = report["latency"]
    if "not_measured" in latency:
        return facts
    facts |= {"latency": latency["median_ms"], "cv": latency["cv"], "drift": abs(latency["drift"])}
    return facts | {
        name: latency[f"{name}_ms"] for name in ("mean", "min", "std", "p90", "p95", "p99")
    }


def _not_as_asked(section: Mapping[str, Any] | None) -> str:
    """Which nodes stay in float32; nothing where float32 is what was asked."""
    if section is None or not section["kept"]:
        return ""
    kept = [entry["node"] for entry in section["kept"]]
    more = f" and {len(kept) - 3} more" if len(kept) > 3 else ""
    return f"{', '.join(kept[:3])}{more} kept in fp32 where {section['asked']} was asked"

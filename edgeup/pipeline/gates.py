"""Conditions under which a run fails: ``--fail-on 'parity,latency>12ms,size>25MB'``.

A verb says which quantities it can judge before it starts, so that a condition that it cannot is
refused and not silently passed; when it is done, it gives their values
(`edgeup.pipeline.gate_facts`), and gets a line for every condition that failed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.quantities import (
    ANY_PERCENTILE,
    find_quantity,
    percent_of,
    percentile_name,
)


@dataclass(frozen=True)
class Figure:
    """A number in its base unit, and where it was found: the output and the input."""

    value: float
    where: str


Facts = Mapping[str, "float | Figure | str"]
"""By quantity: a number in its base unit; or why it fails, and "" where it passes whatever the
limit is."""

_CONDITION = re.compile(
    r"(?P<name>[a-z][\w.]*)\s*"
    r"(?:(?P<sign>[<>]=?)\s*(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(?P<unit>[\w/%]*))?"
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
        return percent_of(self.name)


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """``parity,latency>12ms``; several options add up.

    Raises:
        EdgeupError: not of that form, an unknown quantity or unit, a number without its unit, a
            limit on the wrong side, or nothing at all: a variable that is not set would else
            switch the gate off.
    """
    for text in texts:
        if not all(part.strip() for part in text.split(",")):
            raise EdgeupError(
                f"--fail-on {text!r} has an empty condition: write one (parity), or leave it out"
            )
    return tuple(_condition(part.strip()) for text in texts for part in text.split(","))


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise EdgeupError(
            f"--fail-on {text!r}: wanted a check (parity) or a limit with its unit (latency>12ms)"
        )
    name, sign = match["name"], match["sign"]
    quantity = find_quantity(name)
    if (percent := percent_of(name)) is not None:
        name = percentile_name(percent)
    if quantity.unit is None:
        if sign:
            raise EdgeupError(f"--fail-on {text}: {name} passes or fails; leave the limit out")
        return Condition(text, name)
    units = [unit for unit in quantity.unit.known if unit]
    example = f"{name}{quantity.worse}{quantity.limit}{next(iter(quantity.unit.factors))}"
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
            f"{name}: {', '.join(units) or f'it has none, as in {example}'}"
        )
    limit = float(match["number"]) * quantity.unit.known[match["unit"]]
    if not math.isfinite(limit):
        raise EdgeupError(f"--fail-on {text}: nothing is beyond such a limit")
    return Condition(text, name, limit, inclusive=sign.endswith("="))


def check_judgeable(
    conditions: Sequence[Condition],
    quantities: Collection[str],
    verb: str,
    why: Mapping[str, str] | None = None,
) -> None:
    """Refuse what this run will not find out.

    Args:
        conditions: what was asked.
        quantities: what it will find; `ANY_PERCENTILE` among them stands for all.
        verb: what the message calls it.
        why: of what it will not find, the reason, where there is more to say.

    Raises:
        EdgeupError: a condition is about something else.
    """
    for condition in conditions:
        known = condition.name in quantities
        if not known and (condition.percent is None or ANY_PERCENTILE not in quantities):
            reason = (why or {}).get(condition.name, "")
            raise EdgeupError(
                f"--fail-on {condition.text}: this run of {verb} does not find {condition.name} "
                f"out{f' ({reason})' if reason else ''}; it can judge {', '.join(quantities)}"
            )


def failures(conditions: Sequence[Condition], facts: Facts) -> tuple[str, ...]:
    """A line for each condition that failed; what was not measured after all fails."""
    return tuple(
        line for condition in conditions if (line := _failure(condition, facts)) is not None
    )


def _failure(condition: Condition, facts: Facts) -> str | None:
    quantity = find_quantity(condition.name)
    found = facts.get(condition.name)
    if found is None:
        return f"{condition.text}: {condition.name} was not measured"
    if isinstance(found, str):
        return f"{condition.text}: {found}" if found else None
    assert quantity.unit is not None  # noqa: S101 - a number has a unit
    value, where = (found.value, f" ({found.where})") if isinstance(found, Figure) else (found, "")
    beyond = value - condition.limit if quantity.worse == ">" else condition.limit - value
    if beyond > 0 or (condition.inclusive and beyond == 0):
        said = quantity.unit.text(value, beside=condition.limit)
        return f"{condition.text}: {quantity.about} is {said}{where}"
    return None


def gates_section(conditions: Sequence[Condition], failed: Sequence[str]) -> dict[str, object]:
    """As a report holds it."""
    return {"conditions": [condition.text for condition in conditions], "failures": list(failed)}


def gated(
    report: Mapping[str, Any], conditions: Sequence[Condition], facts: Facts
) -> dict[str, Any]:
    """The ``gates`` and ``passed`` of a report that has passed or failed already for its own
    reasons; empty without conditions.
    """
    if not conditions:
        return {}
    failed = failures(conditions, facts)
    return {
        "gates": gates_section(conditions, failed),
        "passed": bool(report["passed"]) and not failed,
    }

"""An earlier profile to hold a later one against: ``--save-baseline``, ``--baseline``.

Held against it are what does not scatter much: the median latency, the size of the file, and the
energy of an inference where both have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.quantities import QUANTITIES

KIND = "baseline"
SCHEMA_VERSION = 1
HELD = ("latency", "size", "energy")

_LEAST, _MOST = 1e-9, 1e18
"""No figure in its base unit (ms, bytes, mJ) is beyond them, and the ratio of two is a number."""


@dataclass(frozen=True)
class Baseline:
    """Figures, and the setting in which alone they can be compared."""

    setting: Mapping[str, Any]
    figures: Mapping[str, float]
    model: str

    @classmethod
    def of(cls, setting: Mapping[str, Any], facts: Mapping[str, Any], model: str) -> Baseline:
        """From what a profile found."""
        figures = {name: facts[name] for name in HELD if isinstance(facts.get(name), float)}
        return cls(dict(setting), figures, model)

    def to_bytes(self, command: str) -> bytes:
        """The file."""
        document = {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": command,
            "model": self.model,
            "setting": dict(self.setting),
            "figures": dict(self.figures),
        }
        return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def read_baseline(path: Path) -> Baseline:
    """Read what `Baseline.to_bytes` wrote.

    Raises:
        EdgeupError: no such file, or none that ``--save-baseline`` wrote.
    """
    if not path.is_file():
        raise EdgeupError(f"--baseline {path} {'is a folder' if path.is_dir() else 'is not there'}")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise EdgeupError(f"--baseline {path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise EdgeupError(f"--baseline {path} was not written by --save-baseline")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise EdgeupError(f"--baseline {path} is of another version of edgeup; save it again")
    setting, figures = document.get("setting"), document.get("figures")
    if not isinstance(setting, dict) or not isinstance(figures, dict) or "latency" not in figures:
        raise EdgeupError(f"--baseline {path} lacks its setting or its figures; save it again")
    for name, value in figures.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name not in HELD or not is_number or not _LEAST <= value <= _MOST:
            raise EdgeupError(
                f"--baseline {path}: {name[:40]} is {repr(value)[:40]}, which is no such figure"
            )
    held = {name: float(value) for name, value in figures.items()}
    return Baseline(setting, held, str(document.get("model", "")))


def check_setting(baseline: Baseline, path: Path, setting: Mapping[str, Any]) -> None:
    """Refuse to compare what was measured in another way.

    Raises:
        EdgeupError: the setting differs; the line says in what.
    """
    for key, now in setting.items():
        then = baseline.setting.get(key)
        if then != now:
            raise EdgeupError(
                f"--baseline {path} was measured with {key} {then}, and this run has {now}: no "
                f"comparison; save a baseline here first"
            )


def regressions(
    baseline: Baseline, facts: Mapping[str, Any], most: float
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Each figure against the baseline's, and a line for each that is worse by more than ``most``.

    Args:
        baseline: what to hold against.
        facts: what was found now, as for `gates.failures`.
        most: a share: 0.05 allows 5 %.
    """
    rows, failed = [], []
    for name, before in baseline.figures.items():
        now = facts.get(name)
        if not isinstance(now, float):
            failed.append(f"{name} was not measured, and the baseline has it")
            continue
        change = now / before - 1.0
        rows.append({"quantity": name, "baseline": before, "now": now, "change": change})
        if change > most:
            unit = QUANTITIES[name].unit
            assert unit is not None  # noqa: S101 - those that are held against have units
            failed.append(
                f"{name} is {unit.text(now)}, {change:+.1%} against the baseline's "
                f"{unit.text(before)}; {most:.1%} is allowed"
            )
    return tuple(rows), tuple(failed)

"""An earlier profile to hold a later one against: ``--save-baseline``, ``--baseline``.

Held against it are what does not scatter much: the median latency, the size of the file, and the
energy of an inference where both have it.

The setting must be the same: other boards, power modes, threads or shapes are refused. Another
model, or another version of the backend, is what a baseline is often held against: that is noted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.quantities import QUANTITIES

KIND = "baseline"
SCHEMA_VERSION = 2
HELD = ("latency", "size", "energy")

_LEAST, _MOST = 1e-9, 1e18
"""No figure in its base unit (ms, bytes, mJ) is beyond them, and the ratio of two is a number."""


@dataclass(frozen=True)
class Baseline:
    """Figures, and the setting in which alone they can be compared.

    Attributes:
        setting: must be equal.
        figures: in base units.
        model: path of its file; ``sha256`` is the file's.
        software: what ran it, with its version.
    """

    setting: Mapping[str, Any]
    figures: Mapping[str, float]
    model: str
    sha256: str = ""
    software: str = ""

    @classmethod
    def of(
        cls,
        setting: Mapping[str, Any],
        facts: Mapping[str, Any],
        model: Mapping[str, Any],
        software: str,
    ) -> Baseline:
        """From what a profile found, of a report's ``model``."""
        figures = {name: facts[name] for name in HELD if _is_figure(facts.get(name))}
        return cls(dict(setting), figures, model["path"], model["sha256"], software)

    def to_bytes(self, command: str) -> bytes:
        """The file."""
        document = {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": command,
            "model": self.model,
            "sha256": self.sha256,
            "software": self.software,
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
        if name not in HELD or not _is_figure(value):
            raise EdgeupError(
                f"--baseline {path}: {name[:40]} is {repr(value)[:40]}, which is no such figure"
            )
    held = {name: float(value) for name, value in figures.items()}
    texts = (str(document.get(key, "")) for key in ("model", "sha256", "software"))
    return Baseline(setting, held, *texts)


def _is_figure(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and _LEAST <= value <= _MOST


def check_setting(baseline: Baseline, path: Path, setting: Mapping[str, Any]) -> None:
    """Refuse to compare what was measured in another way.

    Raises:
        EdgeupError: the setting differs; the line says in what.
    """
    for key in (*setting, *(key for key in baseline.setting if key not in setting)):
        then, now = baseline.setting.get(key), setting.get(key)
        if then != now:
            raise EdgeupError(
                f"--baseline {path} was measured {_difference(key, then, now)}: no comparison; "
                f"save a baseline here first"
            )


def _difference(key: str, then: Any, now: Any) -> str:
    if key == "measured":
        return f"{then}, and this run is measured {now}"
    then, now = ("unknown" if value is None else value for value in (then, now))
    return f"with {key.replace('_', ' ')} {then}, and this run has {now}"


def differences(baseline: Baseline, model: Mapping[str, Any], software: str) -> tuple[str, ...]:
    """What else is not as it was, and may be why the figures differ; lines for the user.

    Args:
        baseline: what to hold against.
        model: as in a report.
        software: what runs it now, with its version.
    """
    found = []
    if model["sha256"] != baseline.sha256 and not _one_name(model["path"], baseline.model):
        found.append(f"the baseline is of {baseline.model}, and this is {model['path']}")
    if software != baseline.software:
        found.append(f"the baseline was measured by {baseline.software}, and this by {software}")
    return tuple(found)


def _one_name(first: str, second: str) -> bool:
    """Whether two paths may name one file: one ends as the whole other one does."""
    a, b = (PurePath(path).parts for path in (first, second))
    shared = min(len(a), len(b))
    return a[-shared:] == b[-shared:]


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
                f"{name} is {unit.text(now, beside=before)}, {share_text(change, most, '+')} "
                f"against the baseline's {unit.text(before, beside=now)}; "
                f"{share_text(most, change)} is allowed"
            )
    return tuple(rows), tuple(failed)


def share_text(value: float, beside: float, sign: str = "") -> str:
    """0.05 as ``5.0%``, with as many digits more as show that it differs from the other."""
    most = 15  # decimals of a per cent: a double has no more
    for digits in range(1, most):
        text, other = (f"{share:{sign}.{digits}%}" for share in (value, beside))
        if text != other or value == beside:
            return text
    return f"{value:{sign}.{most}%}"

"""Which verb wrote a report, and whether all is in it that the verb writes.

Both by the schemas that ship with the package: only their lists of what is required are looked
at. What has another type than it should is noticed where it is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError

_VERBS = {
    "report": "export` or `edgeup optimize",
    "compare": "compare",
    "verify": "verify",
    "check": "check",
    "profile": "profile",
    "estimate": "estimate",
    "build": "build",
    "engine": "build",
}
"""Who writes what a schema describes; "engine" is what lies beside an engine."""
_LIKENESS = 0.5
_NAMED = 6


def kind_of(document: Mapping[str, Any], path: Path) -> str:
    """The schema that it follows: the one that it names, else the one of which it has most.

    Raises:
        EdgeupError: it is no report, or lacks what that schema requires.
    """
    named = document.get("kind")
    if named is not None and (not isinstance(named, str) or named not in _VERBS):
        raise EdgeupError(f"{path} is no report of edgeup: its kind is {named!r}")
    shares = {kind: _share(document, kind) for kind in ([named] if named else _VERBS)}
    kind = max(shares, key=lambda kind: shares[kind])
    if not named and shares[kind] < _LIKENESS:
        raise EdgeupError(
            f"{path} is not a report as edgeup writes it: it has little of what any verb writes"
        )
    lacking = list(dict.fromkeys(_lacking(document, _schema(kind), _schema(kind), "")))
    if lacking:
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        raise EdgeupError(
            f"{path} is not a report as edgeup writes it: of what `edgeup {_VERBS[kind]}` writes, "
            f"it lacks {', '.join(lacking[:_NAMED])}{more}"
        )
    return kind


@cache
def _schema(kind: str) -> dict[str, Any]:
    text = (files("edgeup") / "data" / f"{kind}.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _share(document: Mapping[str, Any], kind: str) -> float:
    required = _schema(kind)["required"]
    return sum(key in document for key in required) / len(required)


def _lacking(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str
) -> Iterator[str]:
    """Names of what is required and not there, as paths; of alternatives, the nearest's."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for one in _alternatives(value, schema):
        yield from min((list(_lacking(value, s, root, at)) for s in one), key=len, default=[])
    if isinstance(value, list):
        for item in value:
            yield from _lacking(item, schema.get("items", {}), root, f"{at}[]")
    if isinstance(value, Mapping):
        here = f"{at}." if at else ""
        yield from (here + key for key in schema.get("required", ()) if key not in value)
        for key, inner in schema.get("properties", {}).items():
            if key in value:
                yield from _lacking(value[key], inner, root, here + key)


def _alternatives(value: Any, schema: Mapping[str, Any]) -> Iterator[list[Mapping[str, Any]]]:
    """Those that are about such a value: of its type, and with the constants that it has."""
    for word in ("oneOf", "anyOf"):
        if word in schema:
            yield [one for one in schema[word] if _is_about(value, one)]


def _is_about(value: Any, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, Mapping):
        return False  # nothing is required of what is no object
    constants = {k: s["const"] for k, s in schema.get("properties", {}).items() if "const" in s}
    said = schema.get("type", "object")
    return said == "object" and all(value.get(k, c) == c for k, c in constants.items())

"""Names and values of a part of a report that needs no form of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, facts


def plain(document: Mapping[str, Any]) -> Markup:
    """Names and values; what is nested is counted, or written in one line."""
    return facts(
        {
            str(key).removesuffix("_bytes").replace("_", " "): (
                words.megabytes(value) if str(key).endswith("_bytes") else said(value)
            )
            for key, value in document.items()
        }
    )


def said(value: Any) -> str:
    """A value in a line; nothing where there is none."""
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k} {said(v)}" for k, v in value.items() if not isinstance(v, list))
    if isinstance(value, list):
        if all(isinstance(one, (str, int, float)) for one in value):
            return ", ".join(said(one) for one in value)
        return f"{len(value)} entries"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)

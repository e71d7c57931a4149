"""What ``-o`` of a verb writes: the report, and its page beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def report_goals(output: Path | None) -> tuple[Path, ...]:
    """Both files; none without ``-o``.

    Raises:
        EdgeupError: they would have one name.
    """
    from edgeup.html.files import page_beside

    return () if output is None else (output, page_beside(output))


def report_files(report: Mapping[str, Any], output: Path | None) -> dict[Path, bytes]:
    """What goes into them."""
    from edgeup.html.files import html_of
    from edgeup.report import to_bytes

    if output is None:
        return {}
    path, page = report_goals(output)
    return {path: to_bytes(report), page: html_of(report)}

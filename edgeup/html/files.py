"""From report files to a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgeup.errors import EdgeupError
from edgeup.html.regression import Run, regressions
from edgeup.html.several import compare_page, runs_page
from edgeup.html.single import report_page

LARGEST = 64_000_000
"""Bytes of a report; the largest that edgeup wrote, with pictures, had less than one million."""


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report of any verb.

    Raises:
        EdgeupError: no such file, too large, not JSON, not a report of edgeup.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise EdgeupError(f"{path} is larger than any report: over {LARGEST // 1_000_000} MB")
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise EdgeupError(f"report {path} does not exist") from error
    except IsADirectoryError as error:
        raise EdgeupError(f"report {path} is a folder; name the report.json in it") from error
    except (ValueError, RecursionError) as error:
        raise EdgeupError(f"{path} is not JSON as edgeup writes it: {error}") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise EdgeupError(f"{path} is not a report of edgeup: it has no schema_version")
    if document["schema_version"] != 1:
        raise EdgeupError(
            f"{path} has schema version {document['schema_version']}, and this edgeup reads 1"
        )
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def page_beside(report: Path) -> Path:
    """Where the page of a report goes: beside it, under its name.

    Raises:
        EdgeupError: the report itself would have that name.
    """
    page = report.with_suffix(".html")
    if page == report:
        raise EdgeupError(f"-o {report} ends in .html, and the report is JSON: name a .json file")
    return page


def html_of(document: Mapping[str, Any], origin: str = "this report") -> bytes:
    """The page of one report, or of a comparison.

    Raises:
        EdgeupError: it is not as edgeup writes it.
    """
    return _drawn(lambda: (compare_page if "models" in document else report_page)(document), origin)


def html_of_several(paths: Sequence[Path]) -> tuple[bytes, dict[str, list[str]]]:
    """One page of several reports, and what is worse than in the first, by run.

    Raises:
        EdgeupError: one cannot be read; a comparison is among several.
    """
    runs = [Run(name, read_report(path)) for name, path in zip(names_of(paths), paths, strict=True)]
    if len(runs) == 1:
        return html_of(runs[0].report, str(paths[0])), {}
    for path, run in zip(paths, runs, strict=True):
        if "models" in run.report:
            raise EdgeupError(f"{path} is a comparison already; make its page by itself")
        html_of(run.report, str(path))  # so that the line names the file that is not a report
    listed = ", ".join(map(str, paths))
    page = _drawn(lambda: runs_page(runs), listed)
    first = runs[0].report
    return page, {run.name: regressions(first, run.report) for run in runs[1:]}


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each: the folder of a report.json, else the file; whole where two are alike."""
    short = [p.parent.name if p.name == "report.json" and p.parent.name else p.stem for p in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[index] = f"{name} ({seen[name]})"
    return names


_NOT_OURS = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError),
    RecursionError,
)
"""What comes of a document with other keys, types, numbers or depth than a verb writes."""


def _drawn(draw: Callable[[], bytes], origin: str) -> bytes:
    try:
        return draw()
    except _NOT_OURS as error:
        raise EdgeupError(
            f"{origin} is not a report as edgeup writes it ({type(error).__name__}: {error})"
        ) from error

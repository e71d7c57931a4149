"""From report files to a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edgeup.errors import EdgeupError
from edgeup.html.compared import compare_page
from edgeup.html.engine import engine_page, is_sidecar
from edgeup.html.held import Held, held_against
from edgeup.html.kinds import kind_of
from edgeup.html.regression import Run
from edgeup.html.several import runs_page
from edgeup.html.single import report_page
from edgeup.html.verdict import refuse_untrue

_Drawn = TypeVar("_Drawn")

LARGEST = 64_000_000
"""Bytes of a report; the largest that edgeup wrote, with pictures, had less than one million."""


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report of any verb.

    Raises:
        EdgeupError: no such file, too large, not JSON, not a report of edgeup, not a whole one.
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
    version = document["schema_version"]
    if type(version) is not int or version != 1:
        raise EdgeupError(f"{path} has schema version {version!r}, and this edgeup reads 1")
    kind_of(document, path)
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
    draw: Callable[[Mapping[str, Any]], bytes] = report_page
    if "models" in document:
        draw = compare_page
    elif is_sidecar(document):
        draw = engine_page

    def drawn() -> bytes:
        refuse_untrue(document)
        return draw(document)

    return _drawn(drawn, origin)


def html_of_several(paths: Sequence[Path]) -> tuple[bytes, list[Held]]:
    """One page of several reports, and each but the first held against the first.

    Raises:
        EdgeupError: one cannot be read; a comparison, or an engine's sidecar, is among several.
    """
    runs = [Run(name, read_report(path)) for name, path in zip(names_of(paths), paths, strict=True)]
    if len(runs) == 1:
        return html_of(runs[0].report, str(paths[0])), []
    for path, run in zip(paths, runs, strict=True):
        if "models" in run.report:
            raise EdgeupError(f"{path} is a comparison already; make its page by itself")
        if is_sidecar(run.report):
            raise EdgeupError(f"{path} describes an engine and holds no figures; give it alone")
        html_of(run.report, str(path))  # so that the line names the file that is not a report
    page, held = _drawn(lambda: _page_of(runs), ", ".join(map(str, paths)))
    return page, held


def _page_of(runs: Sequence[Run]) -> tuple[bytes, list[Held]]:
    held = [held_against(runs[0], run) for run in runs[1:]]
    return runs_page(runs, held), held


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


def _drawn(draw: Callable[[], _Drawn], origin: str) -> _Drawn:
    try:
        return draw()
    except _NOT_OURS as error:
        raise EdgeupError(
            f"{origin} is not a report as edgeup writes it ({type(error).__name__}: {error})"
        ) from error

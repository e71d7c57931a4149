"""`edgeup list`: what there is, by name. Needs no torch."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.cli.verb import Answer, Format, FormatOption, run_verb

if TYPE_CHECKING:
    from rich.table import Table


class Kind(str, Enum):
    """What can be listed."""

    MODELS = "models"
    DECODERS = "decoders"
    TARGETS = "targets"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    style: FormatOption = Format.TEXT,
) -> int:
    """List models, decoders or targets."""

    def body(answer: Answer) -> bool:
        rows = _ROWS[kind]()
        if answer.style is Format.JSON:
            answer.json({kind.value: rows})
        else:
            answer.show(_table(rows, _COLUMNS[kind]))
        return True

    return run_verb(style, body)


def _models() -> list[dict[str, Any]]:
    from edgeup.models.catalog import ENCODERS, PRESETS, SKIPS

    presets = [
        {"name": name, "kind": "preset", "use": f"edgeup export --preset {name}"}
        for name in PRESETS
    ]
    fastdepth = {
        "name": "fastdepth",
        "kind": "model",
        "use": "edgeup export --decoder nnconv5",
        "encoders": list(ENCODERS),
        "skips": list(SKIPS),
    }
    return [fastdepth, *presets]


def _decoders() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from edgeup.models.catalog import DECODERS

    return [asdict(decoder) for decoder in DECODERS.values()]


def _targets() -> list[dict[str, Any]]:
    from edgeup.targets import all_targets, default_target

    return [
        {**target.to_json(), "default": target.name == default_target()} for target in all_targets()
    ]


_ROWS = {Kind.MODELS: _models, Kind.DECODERS: _decoders, Kind.TARGETS: _targets}
_COLUMNS = {
    Kind.MODELS: ("name", "use"),
    Kind.DECODERS: ("name", "description"),
    Kind.TARGETS: ("name", "tensorrt", "opset", "ir_version", "l4t"),
}


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column == "name")
    for row in rows:
        mark = "  (default)" if row.get("default") else ""
        cells = [str(row[column]) if row[column] is not None else "-" for column in columns]
        table.add_row(cells[0] + mark, *cells[1:])
    return table

"""`edgeup list`: what there is, by name. Needs no torch."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.cli.upsamplers import upsampler_rows, upsampler_table
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb

if TYPE_CHECKING:
    from rich.table import Table


class Kind(str, Enum):
    """What can be listed."""

    MODELS = "models"
    DECODERS = "decoders"
    UPSAMPLERS = "upsamplers"
    TARGETS = "targets"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    style: FormatOption = Format.TEXT,
) -> int:
    """List models, decoders, upsamplers or targets."""

    def body(answer: Answer) -> bool:
        rows = _ROWS[kind]()
        if answer.style is Format.JSON:
            answer.json({kind.value: rows})
        elif kind is Kind.UPSAMPLERS:
            answer.show(upsampler_table(rows))
        elif kind is Kind.MODELS:
            answer.show(_table([{**row, "about": _about(row)} for row in rows], ("name", "about")))
        else:
            answer.show(_table(rows, _COLUMNS[kind]))
        return True

    return run_verb(style, body)


def _models() -> list[dict[str, Any]]:
    from edgeup.models.catalog import PRESETS
    from edgeup.models.networks import NETWORKS

    rows: list[dict[str, Any]] = [
        {
            "name": network.name,
            "kind": "network",
            "title": network.title,
            "paper": network.paper,
            "input": {"name": network.input_name, "shape": list(network.input_shape)},
            "outputs": list(network.output_names),
            "encoders": list(network.encoders),
            "decoders": list(network.decoders),
            "options": {
                name: {"default": option.default, "choices": option.choices, "help": option.help}
                for name, option in network.options.items()
            },
        }
        for network in NETWORKS.values()
    ]
    presets = [
        {"name": name, "kind": "preset", "title": f"edgeup export --preset {name}"}
        for name in PRESETS
    ]
    return rows + presets


def _about(row: dict[str, Any]) -> str:
    """Title, input, and what can be chosen, a line each."""
    lines = [row["title"]]
    if row["kind"] == "network":
        lines.append(f"input {row['input']['name']}:{'x'.join(map(str, row['input']['shape']))}")
    for kind in ("encoders", "decoders"):
        names = row.get(kind, [])
        if kind == "decoders" and row["name"] == "fastdepth":
            lines.append(f"{len(names)} decoders: edgeup list decoders")
        elif names:
            lines.append(f"{kind} {', '.join(names)}")
    if row["name"] == "fastdepth":  # its options have names of their own on the command line
        return "\n".join([*lines, "--skip none|add|concat, or --preset with a name below"])
    for name, option in row.get("options", {}).items():
        values = "|".join(option["choices"] or ["…"])
        lines.append(f"--option {name}={values} (default {option['default']}): {option['help']}")
    return "\n".join(lines)


def _decoders() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from edgeup.models.catalog import DECODERS

    return [asdict(decoder) for decoder in DECODERS.values()]


def _targets() -> list[dict[str, Any]]:
    from edgeup.targets import all_targets, default_target

    return [
        {**target.to_json(), "default": target.name == default_target()} for target in all_targets()
    ]


_ROWS = {
    Kind.MODELS: _models,
    Kind.DECODERS: _decoders,
    Kind.UPSAMPLERS: upsampler_rows,
    Kind.TARGETS: _targets,
}
_COLUMNS = {
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

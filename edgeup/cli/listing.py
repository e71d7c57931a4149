"""`edgeup list`: what there is, by name. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.cli.targets import targets_document, targets_text
from edgeup.cli.upsamplers import upsampler_rows, upsampler_table
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb

if TYPE_CHECKING:
    from rich.console import RenderableType
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
        if answer.style is Format.JSON:
            answer.json(_DOCUMENTS[kind]())
        else:
            answer.show(*_TEXTS[kind]())
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


_DOCUMENTS: dict[Kind, Callable[[], dict[str, Any]]] = {
    Kind.MODELS: lambda: {"models": _models()},
    Kind.DECODERS: lambda: {"decoders": _decoders()},
    Kind.UPSAMPLERS: lambda: {"upsamplers": upsampler_rows()},
    Kind.TARGETS: targets_document,
}
_TEXTS: dict[Kind, Callable[[], Iterable[RenderableType]]] = {
    Kind.MODELS: lambda: [_table("about", {row["name"]: _about(row) for row in _models()})],
    Kind.DECODERS: lambda: [
        _table("description", {row["name"]: row["description"] for row in _decoders()})
    ],
    Kind.UPSAMPLERS: lambda: [upsampler_table(upsampler_rows())],
    Kind.TARGETS: targets_text,
}


def _table(title: str, rows: Mapping[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column(title)
    for name, text in rows.items():
        table.add_row(name, text)
    return table

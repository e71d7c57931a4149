"""`edgeup list upsamplers`: the catalogue, beside what was measured of it. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def upsampler_rows() -> list[dict[str, Any]]:
    """A row per method, in the catalogue's order: what it is, what it costs, its operators.

    ``tools/make_upsamplers.py`` makes the figures; they are of the canonical example.
    """
    from edgeup.models.upsampling.catalog import UPSAMPLERS

    text = (files("edgeup") / "data" / "upsamplers.json").read_text(encoding="utf-8")
    measured = json.loads(text)["upsamplers"]
    return [
        {
            "name": method.name,
            "description": method.description,
            "paper": method.paper or None,
            **measured[method.name],
        }
        for method in UPSAMPLERS.values()
    ]


def upsampler_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """A paragraph per method: one line of all this is wider than a terminal."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(row["name"], _paragraph(row))
    return table


def _paragraph(row: Mapping[str, Any]) -> Text:
    from rich.text import Text

    operators = sorted(row["operators"].items(), key=lambda item: (-item[1], item[0]))
    lines = [
        Text(row["description"]),
        Text(f"{row['parameters']:,} parameters, {row['macs_per_pixel']:,} MACs per output pixel"),
        Text("ONNX: " + ", ".join(f"{operator} {count}" for operator, count in operators)),
    ]
    if row["paper"]:
        lines.append(Text(row["paper"], style="dim"))
    return Text("\n").join(lines)

"""Options that several verbs have: the same name, help and bounds everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgeup.targets import default_target

DEFAULT_TARGET = default_target()
"""Of the verbs that export; its name stands in their help."""


def given_path(text: str) -> Path:
    """A path; an empty one (an unset variable in a script) would be the current folder.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not text.strip():
        raise typer.BadParameter("an empty path was given")
    return Path(text)


def cache_folder() -> Path:
    """Where measurements are kept, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "edgeup"


SkipOption = Annotated[
    str | None, typer.Option(help="FastDepth: none, add or concat.", show_default="none")
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="A setting of the model: see `edgeup list models`."),
]
EncoderOption = Annotated[
    str | None, typer.Option(help="See `edgeup list models`.", show_default="the model's")
]
TargetOption = Annotated[str, typer.Option(help="Where it will run: see `edgeup list targets`.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="For the latency.", show_default="all cores"),
]
TuneOption = Annotated[
    bool,
    typer.Option(
        "--tune", help="Measure the forms of each site on this CPU (target cpu, fixed shapes)."
    ),
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Of random weights and test inputs.")
]
FailOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="CONDITIONS",
        help="Exit status 1 where one holds: 'parity,latency>12ms,p99>20ms,size>25MB'.",
    ),
]

"""Options that several verbs have: the same name, help and bounds everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeup.targets import default_target

DEFAULT_TARGET = default_target()
"""Of the verbs that export; its name stands in their help."""

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
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Of random weights and test inputs.")
]

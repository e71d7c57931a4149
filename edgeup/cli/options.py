"""Options that several verbs have: the same name, help and bounds everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeup.targets import default_target

DEFAULT_TARGET = default_target()
"""Of the verbs that export; its name stands in their help."""


def given_path(text: str | Path) -> Path:
    """A path; an empty one (an unset variable in a script) would be the current folder.

    typer hands a default, which is a path already, through here too.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not str(text).strip():
        raise typer.BadParameter("an empty path was given")
    return Path(text)


def cache_folder() -> Path:
    """Where measurements are kept, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "edgeup"


def output_option(metavar: str, about: str, default: str | bool = True) -> Any:
    """``-o``: what a verb writes; ``default`` is what its help says of it."""
    return typer.Option(
        *("--output", "-o"), parser=given_path, metavar=metavar, help=about, show_default=default
    )


def shapes_option(about: str, *more: str, default: str | bool = True) -> Any:
    """``--shape``, under ``more`` names too."""
    return typer.Option("--shape", "--shapes", *more, help=about, show_default=default)


def fail_on_option(example: str) -> Any:
    """``--fail-on``: each verb has an example of what it can judge."""
    return typer.Option(
        "--fail-on", metavar="CONDITIONS", help=f"Exit status 1 where one holds: '{example}'."
    )


def respelled(names: Mapping[str, str]) -> Callable[[str], str]:
    """For typer: an option's name, whichever of the two spellings it came in."""
    return lambda name: names.get(name, name)


ModelFileArgument = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any ONNX file.")]
ReportOption = Annotated[
    Path | None,
    output_option("REPORT.json", "Write the report here, and its page beside it (.html)."),
]
FixedShapesOption = Annotated[
    list[str] | None,
    shapes_option("Fix an input: 1x3x224x224 or image:1x3x224x224; once per input."),
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="Load an engine whose sidecar is missing or does not fit."),
]
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
InputSeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Of test inputs.")]
FailOnOption = Annotated[
    list[str] | None, fail_on_option("parity, latency>12ms, p99>20ms, size>25MB")
]

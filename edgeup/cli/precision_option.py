"""The options about precision, the same for every verb that has them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgeup.cli.options import given_path


class Precision(str, Enum):
    """Of weights and activations."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Of weights and activations; nodes that lose too much stay fp32."),
]
IoPrecisionOption = Annotated[
    Literal["fp32", "same"],
    typer.Option(help="Of inputs and outputs: fp32, or the same as --precision."),
]
KeepFp32Option = Annotated[
    Path | None,
    typer.Option(
        parser=given_path,
        metavar="FILE",
        help="Nodes that stay fp32, one name a line; `edgeup verify --find-fp32-nodes` writes it.",
    ),
]

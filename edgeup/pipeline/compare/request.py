"""What `edgeup compare` is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edgeup.pipeline.subject import Subject
from edgeup.runtime.board.watch import DEFAULT_INTERVAL_S
from edgeup.runtime.machine import Machine
from edgeup.targets import Target

BACKENDS = ("onnxruntime", "torch", "tensorrt")


@dataclass(frozen=True)
class Entrant:
    """A network in one precision.

    Attributes:
        name: what progress calls it.
        make: builds it.
        precision: "fp32" or "fp16".
        rows: for each of `BACKENDS` that runs it, the name that it has in the report.
    """

    name: str
    make: Callable[[], Subject]
    precision: str
    rows: Mapping[str, str]


@dataclass(frozen=True)
class CompareRequest:
    """How to compare.

    Attributes:
        network: what the report calls the networks' common frame.
        command: as the user wrote it.
        target: what each is exported for.
        threads: of each run on the CPU; None for all cores.
        seed: of random weights and test inputs.
        duration_s: how long to measure, per model.
        notices: what was known before anything ran.
        machine: where the board is looked up.
        power_interval_s: between samples of power.
    """

    network: str
    command: str
    target: Target
    threads: int | None = None
    seed: int = 0
    duration_s: float = 3.0
    notices: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)
    power_interval_s: float = DEFAULT_INTERVAL_S

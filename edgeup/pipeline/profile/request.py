"""What `edgeup profile` is asked, and the refusals that need no model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeup.errors import EdgeupError
from edgeup.pipeline.baseline import Baseline
from edgeup.pipeline.gates import Condition, check_judgeable
from edgeup.pipeline.quantities import ANY_PERCENTILE
from edgeup.runtime.board.watch import DEFAULT_INTERVAL_S
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.machine import Machine
from edgeup.runtime.sessions import is_engine
from edgeup.runtime.timer import Budget
from edgeup.spec import TensorSpec

PERCENTS = (90.0, 95.0, 99.0)

_ALWAYS = (
    *("latency", ANY_PERCENTILE, "mean", "min", "max", "std", "cv", "drift"),
    *("throughput", "size"),
)
_OF_A_RUN = ("memory", "power", "energy", "throttled", "unlocked")
_OF_AN_ENGINE = ("h2d", "compute", "d2h", "enqueue")


@dataclass(frozen=True)
class Gates:
    """What a run must keep to: limits, and an earlier run.

    ``most`` is the regression that is allowed, as a share.
    """

    conditions: tuple[Condition, ...] = ()
    baseline: tuple[Path, Baseline] | None = None
    most: float = 0.0


@dataclass(frozen=True)
class ProfileRequest:
    """What to time, and how.

    Attributes:
        model: an ONNX file or an engine.
        other: what to time it against, interleaved.
        shapes: of inputs with open dimensions.
        batch: the size of an open first dimension.
        budget: of warm-up and measuring.
        percents: the percentiles.
        threads: of ONNX Runtime; None takes all cores.
        streams: inferences at a time, of an engine.
        cuda_graph: launch the engine as one CUDA graph.
        transfers: copy inputs and outputs in every run of an engine.
        layers: also what each layer takes.
        onnx: what an engine was built from: names its layers' nodes.
        trust: load an engine that no sidecar vouches for.
        seed: of inputs, order and resamples.
        gates: what the run must keep to.
        locked_clocks: refuse to measure with clocks that can move.
        power_interval_s: between samples of power.
        machine: where board and GPU are looked up.
        command: as typed.
    """

    model: Path
    other: Path | None = None
    shapes: tuple[TensorSpec, ...] = ()
    batch: int | None = None
    budget: Budget = field(default_factory=Budget)
    percents: tuple[float, ...] = PERCENTS
    threads: int | None = None
    streams: int = 1
    cuda_graph: bool = False
    transfers: bool = True
    layers: bool = False
    onnx: Path | None = None
    trust: bool = False
    seed: int = 0
    gates: Gates = field(default_factory=Gates)
    locked_clocks: bool = False
    power_interval_s: float = DEFAULT_INTERVAL_S
    machine: Machine = field(default_factory=Machine)
    command: str = ""

    @property
    def run_options(self) -> RunOptions:
        """Of an engine."""
        return RunOptions(cuda_graph=self.cuda_graph)

    @property
    def all_percents(self) -> tuple[float, ...]:
        """Those asked for, those that conditions need, and 90, 95 and 99, which reports hold."""
        gated = [c.percent for c in self.gates.conditions if c.percent is not None]
        return tuple(sorted({*self.percents, *gated, *PERCENTS}))


def check_request(request: ProfileRequest) -> None:
    """Refuse what the backends lack, before anything is loaded.

    Raises:
        EdgeupError: an option that the model's backend lacks, a condition that will not be known.
    """
    paths = [path for path in (request.model, request.other) if path is not None]
    for path in paths:
        if not path.is_file():
            raise EdgeupError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
        if path.suffix.lower() != ".onnx" and not is_engine(path):
            raise EdgeupError(
                f"{path} is neither an ONNX file nor an engine (.engine, .plan, .trt)"
            )
    engines = [path for path in paths if is_engine(path)]
    if not engines:
        _refuse_on_cpu(request)
    if len(engines) == len(paths) and request.threads is not None:
        raise EdgeupError(
            f"--threads is for ONNX Runtime, and {engines[0].name} runs on the GPU; leave it out"
        )
    if request.onnx is not None and not (is_engine(request.model) and request.layers):
        raise EdgeupError("--onnx names the layers of an engine: it goes with --layers")
    check_judgeable(request.gates.conditions, judged(request), "profile")


def _refuse_on_cpu(request: ProfileRequest) -> None:
    asked = {
        "--streams": (request.streams > 1, "has no streams: it runs one inference at a time"),
        "--use-cuda-graph": (request.cuda_graph, "runs on the CPU, where there is no CUDA graph"),
        "--no-data-transfers": (
            not request.transfers,
            "runs on the CPU, where nothing is transferred",
        ),
        "--trust": (request.trust, "loads no engine here, and an ONNX file needs no trust"),
    }
    for option, (given, why) in asked.items():
        if given:
            raise EdgeupError(f"{option}: ONNX Runtime {why}; leave it out")


def judged(request: ProfileRequest) -> tuple[str, ...]:
    """The quantities that this run will find out."""
    return (
        *_ALWAYS,
        *_OF_A_RUN,
        *(_OF_AN_ENGINE if is_engine(request.model) else ()),
        *(("ratio", "slower") if request.other is not None else ()),
    )

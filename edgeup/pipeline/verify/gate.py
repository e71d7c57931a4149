"""``--fail-on`` of `edgeup verify`: what is known of the candidate before anything is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.pipeline.gate_facts import COMPARED, Found, engine_precision, task_quantities
from edgeup.pipeline.gates import Condition, check_judgeable
from edgeup.pipeline.model_files import model_bytes
from edgeup.pipeline.verify.sides import FileSide, SideRequest, check_file
from edgeup.runtime.sessions import is_engine
from edgeup.runtime.task_metrics import TASKS, Task, find_task

_NO_FILE = "the candidate is no ONNX file and no engine"
_NEEDS_TASK = {
    metric: f"--task {task.name} does"
    for task in map(find_task, TASKS)
    for metric in task_quantities(task)
}
_NOT_SAID = "an ONNX file does not say what was asked: export, optimize and build judge it"


@dataclass(frozen=True)
class Known:
    """What need not be measured; ``why``: of what will not be known, the reason."""

    facts: Found = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


def known_of(
    candidate: SideRequest, conditions: Sequence[Condition], task: Task | None = None
) -> Known:
    """The candidate's size and precision, where conditions are about them and it tells.

    Args:
        candidate: what is judged.
        conditions: what was asked.
        task: whose metrics will be found, too.

    Raises:
        EdgeupError: there is no such file, or a condition is about what will not be known.
    """
    if not conditions:
        return Known()
    known = _known(candidate)
    quantities = (*COMPARED, *(task_quantities(task) if task else ()), *known.facts)
    check_judgeable(conditions, quantities, "verify", {**_NEEDS_TASK, **known.why})
    return known


def _known(candidate: SideRequest) -> Known:
    if not isinstance(candidate, FileSide):
        return Known(why=dict.fromkeys(("size", "precision"), _NO_FILE))
    path = candidate.path
    check_file(path)
    if path.suffix.lower() == ".onnx":
        return Known({"size": float(model_bytes(path))}, {"precision": _NOT_SAID})
    if not is_engine(path):
        return Known(why=dict.fromkeys(("size", "precision"), _NO_FILE))
    size: Found = {"size": float(path.stat().st_size)}
    try:
        return Known({**size, "precision": _precision_of(path)})
    except EdgeupError as error:
        return Known(size, {"precision": str(error)})


def _precision_of(engine: Path) -> str:
    """Which of its layers `edgeup build` read back in less than what was asked, or "".

    Raises:
        EdgeupError: its sidecar does not say, or describes another engine.
    """
    from edgeup.runtime.engine.sidecar import read_sidecar

    sidecar = read_sidecar(engine)
    if sidecar is None:
        raise EdgeupError("the engine has no sidecar that says what was asked")
    if sha256_of(engine) != sidecar.engine_sha256:
        raise EdgeupError("its sidecar describes another engine")
    try:
        read_back, kept = sidecar.more["read_back"], sidecar.more["kept_fp32"]
        if not read_back["verified"]:
            raise EdgeupError(f"its layers were not compared: {read_back['why']}")
        return engine_precision(read_back, sidecar.precision, [str(node) for node in kept])
    except (KeyError, TypeError) as error:
        raise EdgeupError("its sidecar does not hold what the layers were read back as") from error

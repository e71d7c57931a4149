"""What trtexec measured elsewhere, as the same report: its files are read, nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.pipeline.gates import Condition, check_judgeable
from edgeup.pipeline.model_files import model_bytes
from edgeup.pipeline.profile.latency import latency_facts, latency_section
from edgeup.pipeline.profile.layers import (
    Layers,
    layers_section,
    read_model,
    recorded_layers,
)
from edgeup.pipeline.profile.model import judge, not_measured
from edgeup.pipeline.profile.request import PERCENTS, Gates
from edgeup.pipeline.quantities import ANY_PERCENTILE
from edgeup.pipeline.sections import tensor_section
from edgeup.runtime.engine.layer_info import parse_layers
from edgeup.runtime.engine.trtexec_exports import Query, parse_profile, parse_times
from edgeup.runtime.report_head import head
from edgeup.runtime.statistics import Summary
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

_Read = TypeVar("_Read")

_LARGEST_FILE = 1 << 30
JUDGED = (
    *("latency", ANY_PERCENTILE, "mean", "min", "max", "std", "cv", "drift", "size"),
    *("h2d", "compute", "d2h", "enqueue"),
)


@dataclass(frozen=True)
class Recorded:
    """trtexec's files about an engine that was built from ``model``.

    Attributes:
        model: the ONNX file.
        times: of ``--exportTimes``.
        profile: of ``--exportProfile``.
        layer_info: of ``--exportLayerInfo``: says more of the layers in ``profile``.
        shapes: of the inputs that the engine ran on, where the file leaves dimensions open.
        percents: the percentiles.
        seed: of resamples.
        conditions: what the run must keep to.
        command: as typed.
    """

    model: Path
    times: Path
    profile: Path | None = None
    layer_info: Path | None = None
    shapes: tuple[TensorSpec, ...] = ()
    percents: tuple[float, ...] = PERCENTS
    seed: int = 0
    conditions: tuple[Condition, ...] = ()
    command: str = ""


def profile_recorded(request: Recorded) -> dict[str, Any]:
    """The report of `edgeup profile` from what trtexec wrote.

    Raises:
        EdgeupError: a file cannot be read, or is not what that option writes.
    """
    check_judgeable(request.conditions, JUDGED, "profile --load-times")
    if request.layer_info is not None and request.profile is None:
        raise EdgeupError("--load-layer-info says more of the layers in --load-profile: give both")
    queries = _parsed(request.times, parse_times)
    if not queries:
        raise EdgeupError(f"{request.times} holds no inference")
    model = read_model(request.model, request.shapes)
    layers: Layers | None = None
    if request.profile is not None:
        info = () if request.layer_info is None else _parsed(request.layer_info, parse_layers)
        layers = recorded_layers(_parsed(request.profile, parse_profile), info, model)
    section, facts, notices = _figures(request, queries)
    described = _described(request.model, model)
    facts["size"] = float(described["bytes"])
    report: dict[str, Any] = {
        "kind": "profile",
        **head(request.command),
        "model": described,
        "setting": {
            "backend": "trtexec",
            "device": "where trtexec ran",
            "times": str(request.times),
            "seed": request.seed,
        },
        "warmup": None,
        "latency": section,
        "overhead": None,
        "versus": None,
        "notices": [
            "nothing was run here: the times are those in trtexec's files, and the environment "
            "is this machine's",
            *notices,
        ],
        "board": None,
        "power": None,
        "memory": None,
        "device_memory": not_measured("nothing was run here"),
        "layers": None if layers is None else layers_section(layers),
    }
    judge(report, facts, Gates(request.conditions))
    return report


def _described(path: Path, model: ir.Model) -> dict[str, Any]:
    """The report's ``model``."""
    from edgeup.export.load import input_specs

    return {
        "name": path.stem,
        "path": str(path),
        "kind": "onnx",
        "bytes": model_bytes(path),
        "sha256": sha256_of(path),
        "inputs": [tensor_section(spec) for spec in input_specs(model)],
        "outputs": [
            {"name": v.name, "shape": [*map(_dim, v.shape or ())], "dtype": _dtype(v)}
            for v in model.graph.outputs
        ],
    }


def _figures(
    request: Recorded, queries: tuple[Query, ...]
) -> tuple[dict[str, Any], dict[str, float | str], tuple[str, ...]]:
    times = np.array([query.latency for query in queries])
    gated = [c.percent for c in request.conditions if c.percent is not None]
    percents = tuple(sorted({*request.percents, *gated, *PERCENTS}))
    summary = Summary.of(times, percents, request.seed)
    setting = {"backend": "trtexec", "device": "where trtexec ran"}
    section = latency_section(summary, times, setting, threads=1)
    parts = {}
    for part in ("h2d", "compute", "d2h", "enqueue"):
        values = np.array([getattr(query, part) for query in queries])
        parts[part] = {
            "median_ms": float(np.median(values)),
            "mean_ms": float(values.mean()),
            "max_ms": float(values.max()),
        }
    section |= {"parts": parts, "throughput_per_s": None, "host_median_ms": None}
    facts = latency_facts(section) | {part: one["median_ms"] for part, one in parts.items()}
    return section, facts, summary.warnings()


def _dim(dim: Any) -> int | str:
    return dim if isinstance(dim, int) else str(dim.value or "?")


def _dtype(value: Any) -> str:
    return "?" if value.dtype is None else str(value.dtype.numpy().name)


def _parsed(path: Path, parse: Callable[[str], _Read]) -> _Read:
    """What a parser makes of a file; its refusals name the file."""
    text = _text(path)
    try:
        return parse(text)
    except EdgeupError as error:
        raise EdgeupError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    if not path.is_file():
        raise EdgeupError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
    if path.stat().st_size > _LARGEST_FILE:
        raise EdgeupError(f"{path} is over 1 GiB; that is nothing that trtexec wrote")
    return path.read_text(encoding="utf-8", errors="replace")

"""What each layer takes: as the backend ran it, by the user's nodes, by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.pipeline.estimate.model import precision_of
from edgeup.pipeline.profile.forms import forms_beside
from edgeup.pipeline.profile.work import work_of
from edgeup.runtime.statistics import Sample
from edgeup.runtime.timer import Budget
from edgeup.spec import Feeds, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.pipeline.profile.subject import Subject
    from edgeup.runtime.engine.layer_info import Layer
    from edgeup.runtime.engine.trtexec_exports import Profile

ENGINE_RUNS = 50


@dataclass(frozen=True)
class LayerRow:
    """A layer as a backend ran it; ``nodes`` are numbers of the user's model's nodes, if known."""

    name: str
    operator: str
    mean_ms: float
    median_ms: float | None
    nodes: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    """Numbers of the layers that it reads."""


@dataclass(frozen=True)
class Layers:
    """All layers in the order of execution; ``times`` are milliseconds by run, if known.

    ``precision``: of the numbers that the layers move; None where that is not known. ``onnx``: the
    file that ``model`` was read from.
    """

    source: str
    runs: int
    rows: tuple[LayerRow, ...]
    times: Mapping[str, Sample]
    model: ir.Model | None
    notices: tuple[str, ...] = ()
    precision: str | None = None
    onnx: Path | None = None


def read_model(path: Path, inputs: Sequence[TensorSpec]) -> ir.Model:
    """The user's model with all shapes that can be inferred for these inputs.

    Raises:
        EdgeupError: it cannot be read, or the inputs are not its own.
    """
    from edgeup.export.load import freeze_shapes, load_model
    from edgeup.export.shapes import infer_shapes

    model = load_model(path)
    freeze_shapes(model, [TensorSpec(spec.name, spec.static_shape) for spec in inputs])
    infer_shapes(model)
    return model


def onnx_layers(path: Path, feeds: Feeds, threads: int, budget: Budget) -> Layers:
    """By ONNX Runtime's profiler; what it fused is traced back to the file's nodes.

    The file is run under other names (`edgeup.export.labelled`), else unchanged, for a second at
    most.

    Raises:
        EdgeupError: it cannot be run.
    """
    from edgeup.export.fused_nodes import RuntimeNode, nodes_behind
    from edgeup.export.labelled import labelled
    from edgeup.export.load import load_model
    from edgeup.export.packed import loadable
    from edgeup.runtime.ort_layers import profile_nodes

    specs = [TensorSpec(name, array.shape) for name, array in feeds.items()]
    with loadable(labelled(load_model(path))) as source:
        ran = profile_nodes(
            source,
            feeds,
            threads=threads,
            warmup_s=min(budget.warmup_s, 1.0),
            duration_s=min(budget.duration_s, 1.0),
        )
    model = read_model(path, specs)
    behind = nodes_behind(model, [RuntimeNode(one.name, one.op, one.outputs) for one in ran])
    made = {name: number for number, one in enumerate(ran) for name in one.outputs}
    nodes = list(model.graph)
    names = _unique(
        " + ".join(_label(nodes[n]) for n in numbers) or one.op
        for one, numbers in zip(ran, behind, strict=True)
    )
    rows = tuple(
        LayerRow(
            name,
            one.op,
            float(one.times.mean()),
            float(np.median(one.times)),
            numbers,
            tuple(made[value] for value in one.inputs if value in made),
        )
        for name, one, numbers in zip(names, ran, behind, strict=True)
    )
    times = {name: one.times for name, one in zip(names, ran, strict=True)}
    precision = precision_of(model)
    return Layers(
        *("ONNX Runtime's profiler", ran[0].times.size, rows, times, model),
        precision=precision,
        onnx=path,
    )


def engine_layers(subject: Subject, onnx: Path | None, inputs: Sequence[TensorSpec]) -> Layers:
    """By TensorRT's profiler; ``onnx`` is what the engine was built from.

    Raises:
        EdgeupError: the run failed, or the model cannot be read.
    """
    from edgeup.runtime.engine.layer_info import Layer
    from edgeup.runtime.engine.session import TensorRTSession

    assert isinstance(subject.session, TensorRTSession)  # noqa: S101 - it is an engine
    found = subject.session.layer_times(subject.feeds, ENGINE_RUNS)
    times = {name: np.array(values) for name, values in found.items()}
    model = None if onnx is None else read_model(onnx, inputs)
    rows = _by_layer_names(
        [
            (Layer(name), float(sample.mean()), float(np.median(sample)))
            for name, sample in times.items()
        ],
        model,
    )
    notice = (
        ()
        if model is not None
        else ("the engine's layers are not traced to nodes: --onnx names what it was built from",)
    )
    return Layers(
        *("TensorRT's profiler", ENGINE_RUNS, rows, times, model, notice),
        precision=_engine_precision(subject.path),
        onnx=onnx,
    )


def _engine_precision(engine: Path) -> str | None:
    """What its sidecar says."""
    from edgeup.export.roofline.work import ITEM_BYTES
    from edgeup.runtime.engine.sidecar import read_sidecar

    sidecar = read_sidecar(engine)
    return None if sidecar is None or sidecar.precision not in ITEM_BYTES else sidecar.precision


def recorded_layers(profile: Profile, layers: Sequence[Layer], model: ir.Model | None) -> Layers:
    """From files that trtexec wrote: ``--exportProfile``, and ``--exportLayerInfo`` if given."""
    from edgeup.runtime.engine.layer_info import Layer

    known = {layer.name: layer for layer in layers}
    rows = _by_layer_names(
        [(known.get(one.name, Layer(one.name)), one.average, one.median) for one in profile.layers],
        model,
    )
    return Layers("trtexec's profile", profile.iterations, rows, {}, model)


def _by_layer_names(
    timed: Sequence[tuple[Layer, float, float | None]], model: ir.Model | None
) -> tuple[LayerRow, ...]:
    from edgeup.runtime.engine.layer_info import nodes_of

    order = [] if model is None else [node.name or "" for node in model.graph]
    number = {name: index for index, name in enumerate(order) if name}
    return tuple(
        LayerRow(
            layer.name,
            layer.kind,
            mean,
            median,
            tuple(sorted(number[name] for name in nodes_of(layer, order))),
        )
        for layer, mean, median in timed
    )


def layers_section(layers: Layers) -> dict[str, Any]:
    """The report's ``layers``: rows in order of execution, and the sums by stage."""
    whole = sum(row.mean_ms for row in layers.rows)
    nodes = [] if layers.model is None else list(layers.model.graph)
    stages = _Stages(layers)
    rows = [
        {
            "name": row.name,
            "operator": row.operator,
            "nodes": [_label(nodes[n]) for n in row.nodes],
            "operators": [nodes[n].op_type for n in row.nodes],
            "stage": stages.of_row[number],
            "mean_ms": row.mean_ms,
            "median_ms": row.median_ms,
            "share": row.mean_ms / whole if whole else 0.0,
            **work_of([nodes[n] for n in row.nodes], layers.precision),
        }
        for number, row in enumerate(layers.rows)
    ]
    staged = stages.section(whole)
    return {
        "source": layers.source,
        "runs": layers.runs,
        "total_ms": whole,
        "rows": rows,
        "stages": staged,
        **stages.rest(whole),
        **({} if layers.onnx is None or not staged else forms_beside(layers.onnx, staged)),
    }


class _Stages:
    """The stage of each layer: that of its last node; without nodes, of what it reads."""

    def __init__(self, layers: Layers) -> None:
        from edgeup.export.stages import stages_of

        self._layers = layers
        self._stages = [] if layers.model is None else stages_of(layers.model)
        nodes = [] if layers.model is None else list(layers.model.graph)
        place = {
            id(node): number for number, stage in enumerate(self._stages) for node in stage.nodes
        }
        self.of_row: list[int | None] = []
        for number, row in enumerate(layers.rows):
            staged = [place[id(nodes[n])] for n in row.nodes if id(nodes[n]) in place]
            if not staged:
                read = [self.of_row[n] for n in row.reads if n < number]
                staged = [stage for stage in read if stage is not None]
            self.of_row.append(staged[-1] if staged else None)

    def section(self, whole: float) -> list[dict[str, Any]]:
        return [
            {
                "name": stage.name,
                "side": stage.side,
                "height": stage.height,
                "width": stage.width,
                "channels": stage.channels,
                "macs": stage.macs,
                **self._taken(number, whole),
            }
            for number, stage in enumerate(self._stages)
        ]

    def rest(self, whole: float) -> dict[str, Any]:
        """``unstaged``: what the layers of no stage take, where there are any beside stages."""
        found = self._taken(None, whole)
        return {"unstaged": found} if self._stages and found["layers"] else {}

    def _taken(self, stage: int | None, whole: float) -> dict[str, Any]:
        own = [
            row.mean_ms
            for row, place in zip(self._layers.rows, self.of_row, strict=True)
            if place == stage
        ]
        return {
            "layers": len(own),
            "mean_ms": sum(own),
            "share": sum(own) / whole if whole else 0.0,
        }


def _label(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def _unique(names: Any) -> list[str]:
    """With a number behind those that occur again."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def check_layer_model(model: Path | None) -> None:
    """Refuse before anything runs.

    Raises:
        EdgeupError: no such file.
    """
    if model is not None and not model.is_file():
        raise EdgeupError(f"--onnx {model} does not exist")

"""What a Jetson would take for a model, estimated from shapes: nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.estimate.place import Place, choose_mode, place_of
from edgeup.runtime.report_head import head
from edgeup.spec import TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.roofline.layers import Layer
    from edgeup.export.roofline.speed import Efficiency, Gpu

COSTLIEST = 10


@dataclass(frozen=True)
class EstimateRequest:
    """What to estimate for; None is the precision of the graph's weights, or the board's mode."""

    target: Target
    command: str
    precision: str | None = None
    power_mode: str | None = None
    shapes: tuple[TensorSpec, ...] = ()


def estimate_file(path: Path, request: EstimateRequest) -> dict[str, Any]:
    """The report of `edgeup estimate`.

    Raises:
        EdgeupError: the target names no board, the board has no such mode or precision, the file
            cannot be read, or a shape in it is open.
    """
    from edgeup.export.load import freeze_shapes, input_specs, load_model
    from edgeup.export.roofline.speed import calibration
    from edgeup.export.shapes import infer_shapes
    from edgeup.pipeline.graph_sections import stages_section, times_by_layer
    from edgeup.pipeline.sections import tensor_section

    choose_mode(request.target, request.power_mode)  # refuses before the file is read
    notices: list[str] = []
    model = load_model(path, notices.append)
    freeze_shapes(model, request.shapes)
    specs = input_specs(model)
    _refuse_open(specs)
    infer_shapes(model)
    sections = estimate_sections(model, request.target, request.precision, request.power_mode)
    return {
        "kind": "estimate",
        **head(request.command),
        "model": {
            "name": path.stem,
            "path": str(path),
            "inputs": [tensor_section(spec) for spec in specs],
        },
        "target": request.target.to_json(),
        **sections,
        "stages": stages_section(model, None, times_by_layer(sections)),
        "notices": [*notices, *sections["notices"]],
        "calibration": {
            key: value for key, value in calibration().items() if not key.startswith("_")
        },
    }


def estimate_sections(
    model: ir.Model, target: Target, precision: str | None = None, power_mode: str | None = None
) -> dict[str, Any]:
    """The parts of an estimate that are about the graph: GPU, total, layers, notices.

    Args:
        model: its shapes are inferred already; not changed.
        target: names the board.
        precision: None is the precision of the graph's weights.
        power_mode: None is the board's own.

    Raises:
        EdgeupError: see `estimate_file`.
    """
    from edgeup.export.roofline.layers import layers_of
    from edgeup.export.roofline.speed import packaged_efficiency
    from edgeup.pipeline.estimate.notices import estimate_notices

    board, mode = choose_mode(target, power_mode)
    place = place_of(board, mode, precision or precision_of(model))
    efficiency = packaged_efficiency()
    layers = layers_of(model, place.precision)
    if not layers:
        raise EdgeupError(
            "the model computes nothing from its inputs: there is no layer to estimate"
        )
    rows = layer_rows(layers, place.gpu, efficiency)
    return {
        "gpu": _gpu_section(place, efficiency),
        "total": _total(rows),
        "costliest": sorted(range(len(rows)), key=lambda i: -rows[i]["estimate_us"])[:COSTLIEST],
        "layers": rows,
        "notices": list(estimate_notices(place, {layer.work.kind for layer in layers})),
    }


def layer_rows(layers: Sequence[Layer], gpu: Gpu, efficiency: Efficiency) -> list[dict[str, Any]]:
    """A report entry per layer."""
    from edgeup.export.roofline.speed import layer_time
    from edgeup.export.roofline.work import MEASURED_KINDS

    times = [layer_time(layer.work, gpu, efficiency) for layer in layers]
    whole = sum(time.estimate_us for time in times)
    return [
        {
            "name": layer.name,
            "operators": list(layer.operators),
            "kind": layer.work.kind,
            "kind_measured": layer.work.kind in MEASURED_KINDS,
            "macs": layer.work.macs,
            "bytes": layer.work.moved,
            "bound_us": time.bound_us,
            "bound_by": time.bound_by,
            "compute_us": time.compute_us,
            "memory_us": time.memory_us,
            "launch_us": time.launch_us,
            "estimate_us": time.estimate_us,
            "binds": time.binds,
            "share": time.estimate_us / whole,
        }
        for layer, time in zip(layers, times, strict=True)
    ]


def _refuse_open(specs: Sequence[TensorSpec]) -> None:
    for spec in specs:
        if any(not isinstance(dim, int) for dim in spec.shape):
            shape = "x".join(str(dim) for dim in spec.shape)
            example = "x".join(str(dim if isinstance(dim, int) else 1) for dim in spec.shape)
            raise EdgeupError(
                f"input {spec.name} is {shape}, and a time needs numbers: give them as in "
                f"--shape {spec.name}:{example}"
            )


def precision_of(model: ir.Model) -> str:
    """fp16 where most weights are, by number; else fp32."""
    import onnx_ir as ir

    sizes = {ir.DataType.FLOAT16: 0, ir.DataType.FLOAT: 0}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.dtype in sizes:
            sizes[tensor.dtype] += int(tensor.size)
    return "fp16" if sizes[ir.DataType.FLOAT16] > sizes[ir.DataType.FLOAT] else "fp32"


def _gpu_section(place: Place, efficiency: Efficiency) -> dict[str, Any]:
    return {
        "board": place.board.name,
        "title": place.board.title,
        "power_mode": place.mode.name,
        "watts": place.mode.watts,
        "gpu_mhz": place.mode.gpu_mhz,
        "sms": place.mode.sms,
        "precision": place.precision,
        **asdict(place.gpu),
        "launch_us": efficiency.launch_us * place.gpu.slowdown,
    }


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def ms(key: str) -> float:
        return float(sum(row[key] for row in rows)) * 1e-3

    return {
        "estimate_ms": ms("estimate_us"),
        "compute_ms": ms("compute_us"),
        "memory_ms": ms("memory_us"),
        "launch_ms": ms("launch_us"),
        "bound_ms": ms("bound_us"),
        "macs": sum(row["macs"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
        "layers": len(rows),
    }

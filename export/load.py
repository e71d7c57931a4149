"""An ONNX file that nobody vouches for, as a model; or one clear line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError, unknown
from edgeup.export.tensors import tensors_of
from edgeup.spec import Dim, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

OLDEST_READABLE = 7
"""The oldest opset that is read: what ONNX Runtime still runs with its own guarantee."""


def load_model(path: Path, notice: Callable[[str], None] = lambda words: None) -> ir.Model:
    """Read a model; its external data stays in its files until it is used.

    Args:
        path: the file.
        notice: is told where its nodes had to be sorted.

    Raises:
        EdgeupError: no such file, not an ONNX model, an opset that is unknown here, nodes that
            read each other's results in a circle, or external data that lies outside the model's
            folder or is not there.
    """
    import onnx
    import onnx_ir as ir

    if not path.exists():
        raise EdgeupError(f"there is no file {path}")
    if not path.is_file():
        raise EdgeupError(f"{path} is no file; name an ONNX model")
    if path.stat().st_size == 0:
        raise EdgeupError(f"{path} is empty (0 bytes); export the model again")
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors share no base class across its backends
        raise EdgeupError(
            f"{path} is not an ONNX model, or was cut short: {_line(error)}"
        ) from error
    if not proto.graph.node and not proto.graph.output:
        raise EdgeupError(f"{path} is not an ONNX model: it holds no graph")
    if proto.graph.sparse_initializer:
        raise EdgeupError(
            f"{path} holds sparse weights ({proto.graph.sparse_initializer[0].values.name}), which "
            f"edgeup does not read; export it with dense ones"
        )
    _check_opsets(path, {entry.domain: entry.version for entry in proto.opset_import})
    try:
        model = ir.from_proto(proto)
        _point_to_folder(model, path)
        if not _can_run(model):
            _sort(model, path)
            model.clone()
            notice(
                f"{path.name}: its nodes were not in an order in which they can run, which ONNX "
                f"wants and some readers insist on; they were sorted"
            )
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        why = _invalid(path) or _line(error)
        raise EdgeupError(f"{path} holds a graph that cannot be read: {why}") from error
    return model


def _can_run(model: ir.Model) -> bool:
    """Whether each node reads only what stands before it."""
    try:
        model.clone()
    except RuntimeError:
        return False
    return True


def _sort(model: ir.Model, path: Path) -> None:
    """Bring nodes into an order in which they can run; stable.

    Raises:
        EdgeupError: there is none.
    """
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        reads = {
            node: [maker for value in node.inputs if value and (maker := value.producer())]
            for node in graph
        }
        try:
            TopologicalSorter(reads).prepare()
        except CycleError as error:
            names = " <- ".join(node.name or node.op_type for node in error.args[1][:5])
            raise EdgeupError(
                f"{path}: nodes read each other's results in a circle ({names}), so it cannot run; "
                f"export it again"
            ) from error
        graph.sort()


def _invalid(path: Path) -> str | None:
    """What onnx's own checker says of it."""
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        return _line(error)
    return None


def _check_opsets(path: Path, opsets: dict[str, int]) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = opsets.get("", opsets.get("ai.onnx"))
    if opset is None:
        if opsets:
            return  # nothing but custom domains: passes find nothing in it
        raise EdgeupError(f"{path} names no opset; export the model again")
    if not OLDEST_READABLE <= opset <= newest:
        raise EdgeupError(
            f"{path} has opset {opset}; the installed onnx {onnx.__version__} knows up to "
            f"{newest}, and edgeup reads {OLDEST_READABLE} or newer"
        )


def _point_to_folder(model: ir.Model, path: Path) -> None:
    """Give external tensors their folder, and refuse any that leads out of it."""
    import onnx_ir as ir

    folder = Path(os.path.realpath(path)).parent
    for tensor in tensors_of(model):
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(tensor, folder, path)
            tensor.base_dir = folder


def external_files(model: ir.Model) -> frozenset[Path]:
    """The files, besides its own, that a model's numbers lie in."""
    import onnx_ir as ir

    return frozenset(
        Path(os.path.realpath(tensor.path))
        for tensor in tensors_of(model)
        if isinstance(tensor, ir.ExternalTensor)
    )


def _check_external(tensor: ir.ExternalTensor, folder: Path, path: Path) -> None:
    location = Path(tensor.location)
    # Follows links, so a link cannot lead out either; and not Path.resolve, which raises a
    # RuntimeError before Python 3.13 where links lead in a circle.
    data = Path(os.path.realpath(folder / location))
    if location.is_absolute() or not data.is_relative_to(folder):
        raise EdgeupError(
            f"{path}: weights of {tensor.name!r} lie at {tensor.location!r}, outside the model's "
            f"folder; such a file is not read"
        )
    if not data.is_file():
        raise EdgeupError(f"{path}: its weights file {tensor.location} is not beside it")
    end = (tensor.offset or 0) + (tensor.length or 0)
    if (tensor.offset or 0) < 0 or (tensor.length or 0) < 0 or end > data.stat().st_size:
        raise EdgeupError(
            f"{path}: weights of {tensor.name!r} end at byte {end}, and {tensor.location} has "
            f"{data.stat().st_size}; it was cut short"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def freeze_shapes(model: ir.Model, shapes: Sequence[TensorSpec]) -> list[str]:
    """Set input dimensions for good, in place: the only change of interface that is ever made.

    Returns:
        Which inputs had open dimensions, and what they became: "image: nx3xhxw became 1x3x8x8".

    Raises:
        EdgeupError: no such input, or a number where the model has another.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    frozen: list[str] = []
    if not shapes:
        return frozen
    inputs = {value.name or "": value for value in _fed(model)}
    for spec in shapes:
        name = spec.name or (next(iter(inputs)) if len(inputs) == 1 else "")
        if name not in inputs:
            if not name:
                raise EdgeupError(f"which input has shape {spec}? {', '.join(inputs)} are there")
            raise unknown("input", name, inputs)
        value = inputs[name]
        had = None if value.shape is None else list(value.shape)
        wanted = spec.static_shape
        if had is not None and (
            len(had) != len(wanted)
            or any(isinstance(a, int) and a != b for a, b in zip(had, wanted, strict=False))
        ):
            raise EdgeupError(
                f"input {name} is {'x'.join(map(_dim_text, had))}, which "
                f"{'x'.join(map(str, wanted))} "
                f"does not fit"
            )
        if had != list(wanted):
            before = "of unknown rank" if had is None else "x".join(map(_dim_text, had))
            frozen.append(f"{name}: {before} became {'x'.join(map(str, wanted))}")
        value.shape = ir.Shape(wanted)
    _forget_inferred(model)
    # The outputs' dimensions are part of the interface, so they are settled here and now.
    ShapeInferencePass()(model)
    return frozen


def _dim_text(dim: int | ir.SymbolicDim) -> str:
    return str(dim if isinstance(dim, int) else dim.value or "?")


def _forget_inferred(model: ir.Model) -> None:
    """Shapes behind the inputs held names of open dimensions; inference fills them anew."""
    for value in model.graph.outputs:
        if value.shape is not None and not value.shape.is_static():
            value.shape = None
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                if value.shape is not None and not value.shape.is_static():
                    value.shape = None


def _fed(model: ir.Model) -> list[ir.Value]:
    return [v for v in model.graph.inputs if v.name not in model.graph.initializers]


def input_specs(model: ir.Model) -> tuple[TensorSpec, ...]:
    """What must be fed: graph inputs that have no default; open dimensions keep their names.

    Raises:
        EdgeupError: an input is no tensor, or its type or rank is unknown.
    """
    return tuple(_spec(value) for value in _fed(model))


def _spec(value: ir.Value) -> TensorSpec:
    import onnx_ir as ir

    if not isinstance(value.type, ir.TensorType) or value.shape is None or value.dtype is None:
        raise EdgeupError(f"input {value.name} is no tensor of known type and rank")
    dims: list[Dim] = [
        dim if isinstance(dim, int) else (dim.value or f"{value.name}_{axis}")
        for axis, dim in enumerate(value.shape)
    ]
    return TensorSpec(value.name or "", tuple(dims), value.dtype.numpy().name)

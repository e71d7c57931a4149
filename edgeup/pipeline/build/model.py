"""A model as an engine's builder gets it: named nodes, its precision, the shapes it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError, unknown
from edgeup.runtime.engine.request import Shape, ShapeRange
from edgeup.spec import TensorSpec
from edgeup.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from edgeup.export.precision.plan import PrecisionPlan
    from edgeup.pipeline.precision.lower import Io
    from edgeup.runtime.engine.downgrade import Asked

_FLOATS = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16"}
"""The precisions of onnx_ir's types."""

_NO_ARITHMETIC = ("Cast", "CastLike", "Constant", "Identity", "QuantizeLinear", "DequantizeLinear")
"""Nodes that have no precision of their own."""


@dataclass(frozen=True)
class BuildModel:
    """What the builder gets.

    Attributes:
        model: the graph; with ``converted`` types, or float32.
        precision: "fp32", "fp16", "bf16", or several joined by "+" where the file mixes them.
        plan: how it came to its precision; None where it is the file's own.
        section: the report's ``precision``.
        passed: the lowered model is close enough to the float32 one.
        keep_fp32: under weak typing with fp16, the nodes whose layers stay fp32.
        notices: what the user must know of the precision.
    """

    model: ir.Model
    precision: str
    plan: PrecisionPlan | None
    section: Mapping[str, Any]
    passed: bool = True
    keep_fp32: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def in_precision(
    model: ir.Model,
    precision: str | None,
    target: Target,
    ranges: Sequence[ShapeRange],
    *,
    io: Io = "fp32",
    keep_fp32: frozenset[str] = frozenset(),
    seed: int,
    stage: Callable[[str], None],
) -> BuildModel:
    """The model in the precision that was asked for; None leaves it as the file has it.

    Raises:
        EdgeupError: the target lacks the precision, the file is not float32, or a node that is
            to be kept is not in it.
    """
    from edgeup.pipeline.precision.lower import PrecisionRequest, lower_precision
    from edgeup.pipeline.verified import cases_for

    own = file_precision(model)
    if precision is None or (precision == "fp32" and own == "fp32"):
        if target.typing == "weak" and own != "fp32":
            raise EdgeupError(
                f"{target.name} builds with weak types, which may undo what the file says of "
                f"{own}; give it the float32 model and --precision fp16"
            )
        return BuildModel(model, own, None, {"asked": precision, "is": own})
    if own != "fp32":
        raise EdgeupError(
            f"--precision {precision}: the file is in {own} already; leave --precision out to "
            f"build it as it is, or give the float32 model"
        )
    if io != "fp32" and target.typing == "weak":
        raise EdgeupError(
            f"{target.name} builds with weak types, under which inputs and outputs stay float32; "
            f"leave --io-precision out"
        )
    cases = list(cases_for(_at_usual_shapes(model, ranges), seed))
    request = PrecisionRequest(precision, target, io, keep_fp32)
    lowered = lower_precision(model, request, cases, stage)
    section = {**lowered.section, "is": precision, "passed": lowered.passed}
    section["parity"] = [output.to_json() for output in lowered.parity]
    kept = _kept_layers(lowered.model, lowered.plan)
    return BuildModel(
        *(lowered.model, precision, lowered.plan, section, lowered.passed, kept, lowered.notices)
    )


def _kept_layers(model: ir.Model, plan: PrecisionPlan) -> tuple[str, ...]:
    """The nodes of the plan that have a precision to keep: not those of shapes and indices."""
    if plan.weak_typing is None:
        return ()
    precisions = _node_precisions(model)
    return tuple(n for n in plan.weak_typing.layers_fp32 if precisions.get(n) is not None)


def file_precision(model: ir.Model) -> str:
    """What a graph's convolutions and products compute in, widest first, joined by "+".

    Other nodes decide where there are none of them; "fp32" where no node has a precision.
    """
    from edgeup.export.cost import node_macs
    from edgeup.export.shapes import infer_shapes

    copy = model.clone()
    infer_shapes(copy)
    nodes = [node for node in copy.graph if node_macs(node)] or list(copy.graph)
    found = {_node_precision(node) for node in nodes}
    return "+".join(name for name in _FLOATS.values() if name in found) or "fp32"


def asked_of(built: BuildModel, target: Target, *, dla: bool, gpu_fallback: bool) -> Asked:
    """What the engine must be, node by node."""
    from edgeup.export.cost import node_macs
    from edgeup.export.shapes import infer_shapes
    from edgeup.runtime.engine.downgrade import Asked

    model = built.model.clone()
    infer_shapes(model)
    strongly = target.has_strong_typing
    precisions = _node_precisions(model)
    if not strongly and built.plan is not None:
        precisions = {
            name: None if found is None else ("fp32" if name in built.keep_fp32 else "fp16")
            for name, found in precisions.items()
        }
    return Asked(
        precisions,
        {node.name or "": node_macs(node) for node in model.graph},
        strongly_typed=strongly,
        dla=dla,
        gpu_fallback=gpu_fallback,
    )


def _node_precisions(model: ir.Model) -> dict[str, str | None]:
    """By node, in the graph's order; None for one without."""
    from edgeup.export.shapes import infer_shapes

    copy = model.clone()
    infer_shapes(copy)
    return {node.name or "": _node_precision(node) for node in copy.graph}


def _node_precision(node: ir.Node) -> str | None:
    if node.op_type in _NO_ARITHMETIC:
        return None
    for value in (*node.outputs, *node.inputs):
        if value is not None and value.dtype is not None and value.dtype.name in _FLOATS:
            return _FLOATS[value.dtype.name]
    return None


def shape_ranges(
    specs: Sequence[TensorSpec],
    least: Sequence[TensorSpec],
    usual: Sequence[TensorSpec],
    most: Sequence[TensorSpec],
) -> tuple[ShapeRange, ...]:
    """The ranges of inputs with open dimensions; without least or most, the usual shape is both.

    Raises:
        EdgeupError: an input with open dimensions has no shape, a shape is of no input or does
            not fit it, or a range is empty.
    """
    inputs = {spec.name: spec for spec in specs}
    given = [_by_name(shapes, inputs, option) for shapes, option in (
        (least, "--min-shapes"), (usual, "--opt-shapes"), (most, "--max-shapes"))]  # fmt: skip
    low, middle, high = given
    ranges = []
    for name, spec in inputs.items():
        if spec.is_static:
            continue  # a shape that was given for it is its own
        centre = middle.get(name) or (low.get(name) if low.get(name) == high.get(name) else None)
        if centre is None:
            raise EdgeupError(_missing(spec))
        bounds = ShapeRange(name, low.get(name, centre), centre, high.get(name, centre))
        _check_range(bounds)
        ranges.append(bounds)
    return tuple(ranges)


def _by_name(
    shapes: Sequence[TensorSpec], inputs: Mapping[str, TensorSpec], option: str
) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for spec in shapes:
        name = spec.name or (next(iter(inputs)) if len(inputs) == 1 else "")
        if name not in inputs:
            if not name:
                shape_text = str(spec).removeprefix(":")
                raise EdgeupError(
                    f"{option} {shape_text}: of which input? There are {', '.join(inputs)}"
                )
            raise unknown("input", name, inputs)
        if name in found:
            raise EdgeupError(f"{option} names input {name} twice; leave one out")
        wanted, shape = inputs[name].shape, spec.static_shape
        fits = len(wanted) == len(shape) and all(
            isinstance(want, str) or want == got for want, got in zip(wanted, shape, strict=True)
        )
        if not fits:
            given = TensorSpec(name, shape)
            raise EdgeupError(f"{option} {given} does not fit the model's input {inputs[name]}")
        found[name] = shape
    return found


def _missing(spec: TensorSpec) -> str:
    example = "x".join(str(d) if isinstance(d, int) else "1" for d in spec.shape)
    return (
        f"input {spec} has open dimensions, and an engine is built for a range of shapes: "
        f"give --opt-shapes {spec.name}:{example}, with --min-shapes and --max-shapes for a range"
    )


def _check_range(bounds: ShapeRange) -> None:
    ordered = all(
        low <= usual <= high
        for low, usual, high in zip(bounds.least, bounds.usual, bounds.most, strict=True)
    )
    if not ordered:
        low, usual, high = (
            "x".join(map(str, shape)) for shape in (bounds.least, bounds.usual, bounds.most)
        )
        raise EdgeupError(
            f"input {bounds.name}: the shapes {low} (min), {usual} (opt) and {high} (max) must "
            f"grow or stay the same in each dimension"
        )


def _at_usual_shapes(model: ir.Model, ranges: Sequence[ShapeRange]) -> ir.Model:
    from edgeup.export.load import freeze_shapes

    if not ranges:
        return model
    copy = model.clone()
    freeze_shapes(copy, [TensorSpec(r.name, r.usual) for r in ranges])
    return copy

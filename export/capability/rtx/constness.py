"""Inputs whose numbers TensorRT for RTX wants before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.known import is_weights
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.passes.facts import constant, input_of, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
SIZES = {
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Upsample", "OneHot", "TopK", "Split"), (1,)),
    **dict.fromkeys(("Pad", "CenterCropPad"), (1,)),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
}
"""Inputs that decide the size of an output, by operator."""
_RANGE_TYPES = ("INT32", "INT64", "FLOAT", "DOUBLE")


def _axes(node: ir.Node, aim: Aim) -> Fault | None:
    """Nothing computed, not even from constants: Identity and Cast are looked through."""
    value = input_of(node, 1)
    if not is_rtx(aim) or value is None:
        return None
    while not is_weights(value):
        producer = value.producer()
        if not is_onnx(producer, "Identity", "Cast") or producer is None:
            return refused(
                "its axes are computed",
                "Axis input must resolve to a build-time constant (an initializer or a "
                "constant-foldable subgraph)!",
                "make them an initializer: edgeup optimize folds what is constant",
            )
        if producer.inputs[0] is None:
            return None
        value = producer.inputs[0]
    return None


def _squeezed(node: ir.Node, aim: Aim) -> Fault | None:
    value = input_of(node, 1)
    if not is_rtx(aim) or value is None or not depends_on_inputs(value):
        return None
    return refused(
        "its axes are computed at run time",
        f"{node.op_type.lower()} axis is not a constant",
        "make them an initializer",
    )


def _static(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.inputs[0]
    if not is_rtx(aim) or value is None or value.shape is None or static_shape(value) is not None:
        return None
    return refused(
        f"{node.op_type} of a shape that is open",
        "Eyelike does not work for dynamically shaped tensors.",
        "fix the input's shape (--shape)",
    )


def _size_of_floats(node: ir.Node, aim: Aim) -> Fault | None:
    """A size computed at run time must follow from integers: a fed float is no shape tensor."""
    if not is_rtx(aim):
        return None
    for place in SIZES[node.op_type]:
        value = input_of(node, place)
        if value is not None and depends_on_inputs(value, floats=True):
            return refused(
                f"input {place}, which decides a size, is computed from floating-point numbers "
                f"that are known at run time alone",
                "Network input is a shape tensor and must have type Int32 or Int64",
                "compute it from shapes or from integers, or make it an initializer",
            )
    return None


def _range_type(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.inputs[0]
    if not is_rtx(aim) or value is None or value.dtype is None:
        return None
    if value.dtype.name in _RANGE_TYPES:
        return None
    return refused(
        f"a Range of {value.dtype.name}",
        "This version of TensorRT only supports int32, int64, and float input types for Range!",
        "count in float and cast",
    )


def depends_on_inputs(value: ir.Value, *, floats: bool = False) -> bool:
    """Whether numbers (not shapes) of the model's inputs go into a value."""
    todo, seen = [value], {id(value)}
    while todo:
        one = todo.pop()
        if constant(one) is not None:
            continue
        producer = one.producer()
        if producer is None:
            if not one.is_initializer() and (not floats or _is_float(one)):
                return True
            continue
        if is_onnx(producer, "Shape", "Size"):
            continue
        for read in producer.inputs:
            if read is not None and id(read) not in seen:
                seen.add(id(read))
                todo.append(read)
    return False


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


RULES = (
    Rule("rtx-reduce-axes", REDUCTIONS, _axes),
    Rule("rtx-squeeze-axes", ("Squeeze", "Unsqueeze"), _squeezed),
    Rule("rtx-eye", ("EyeLike",), _static),
    Rule("rtx-size-of-floats", tuple(SIZES), _size_of_floats),
    Rule("rtx-range-type", ("Range",), _range_type),
)

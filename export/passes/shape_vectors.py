"""Shapes as the graph computes them: vectors of Shape, Concat and constants, read as dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeup.export.passes.facts import attribute, constant, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir


def dims_of_vector(value: ir.Value | None) -> Sequence[Any] | None:
    """The dimensions in a shape vector, numbers or symbols; None where one is not known."""
    numbers = constant(value)
    if numbers is not None:
        return [int(number) for number in numbers.reshape(-1)]
    node = None if value is None else value.producer()
    if node is None:
        return None
    if is_onnx(node, "Cast", "Identity"):
        return dims_of_vector(node.inputs[0])
    if is_onnx(node, "Shape"):
        measured = node.inputs[0]
        if measured is None or measured.shape is None:
            return None
        return list(measured.shape)[attribute(node, "start", 0) : attribute(node, "end", None)]
    if is_onnx(node, "Concat"):
        parts = [dims_of_vector(part) for part in node.inputs]
        known = [part for part in parts if part is not None]
        return [dim for part in known for dim in part] if len(known) == len(parts) else None
    if is_onnx(node, "Slice") and len(node.inputs) in (3, 4):
        whole, bounds = dims_of_vector(node.inputs[0]), [constant(v) for v in node.inputs[1:3]]
        if whole is None or any(bound is None or bound.size != 1 for bound in bounds):
            return None
        start, end = (int(bound.item()) for bound in bounds if bound is not None)
        return list(whole)[start:end]
    return None


def same_dims(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two shapes are equal by number or by symbol; an unnamed dimension equals none."""
    return len(one) == len(other) and all(
        a == b and (isinstance(a, int) or getattr(a, "value", None) is not None)
        for a, b in zip(one, other, strict=True)
    )

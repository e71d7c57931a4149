"""Numbers that a graph computes from constants and from fixed shapes, noted on the values.

Afterwards `passes.facts.constant` answers for them as it does for an initializer. Where only
a true constant will do, ask `is_weights`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.facts import Array, attribute, constant, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

FOLDED = (
    *("Shape", "Size", "Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Flatten"),
    *("Cast", "Identity", "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Neg", "Abs"),
    *("Floor", "Ceil", "Round", "Sqrt", "Pow", "ReduceProd", "ReduceSum", "ReduceMax"),
    *("Range", "ConstantOfShape", "Expand", "Tile", "Transpose", "Equal", "Less", "Greater"),
    *("Not", "And", "Or", "Where", "Split", "CastLike", "LessOrEqual", "GreaterOrEqual"),
)
"""What exporters compute sizes, axes and scales with."""

MOST_ELEMENTS = 1024
"""A larger tensor is no shape, and no attribute in disguise."""

DEEPEST = 100
"""Sizes take a dozen steps to compute; a longer chain is something else, and ends the stack."""


def is_weights(value: ir.Value | None) -> bool:
    """Whether a value is an initializer that cannot be fed, or a Constant: no computation."""
    if value is None or value.is_graph_input():
        return False
    producer = value.producer()
    return value.is_initializer() if producer is None else is_onnx(producer, "Constant")


def note_known_numbers(model: ir.Model) -> None:
    """Evaluate what follows from constants, in place; a node that cannot be evaluated is left."""
    import onnx_ir as ir

    for node in model.graph.all_nodes():
        for value, numbers in zip(node.outputs, numbers_given_by(node), strict=False):
            if numbers.size <= MOST_ELEMENTS and value.const_value is None:
                value.const_value = ir.tensor(np.ascontiguousarray(numbers))


def known_numbers(value: ir.Value | None) -> Array | None:
    """A value's numbers, where they follow from constants and fixed shapes; nothing is noted."""
    found: dict[ir.Value, Array | None] = {}  # a value that is read twice is computed once
    depth = 0

    def read(value: ir.Value | None) -> Array | None:
        nonlocal depth
        numbers = constant(value)
        producer = None if value is None or numbers is not None else value.producer()
        if value is None or producer is None:
            return numbers
        if value not in found:
            if depth == DEEPEST:
                return None
            depth += 1
            results = numbers_given_by(producer, read)
            depth -= 1
            index = list(producer.outputs).index(value)
            found[value] = results[index] if index < len(results) else None
        return found[value]

    return read(value)


def numbers_given_by(
    node: ir.Node, read: Callable[[ir.Value | None], Array | None] = constant
) -> tuple[Array, ...]:
    """A node's outputs, where `read` knows its inputs, or their shapes are all that it measures."""
    if not is_onnx(node, *FOLDED) or _is_large(node):
        return ()
    if node.op_type in ("Shape", "Size"):
        return _measured(node)
    numbers = [None if value is None else read(value) for value in node.inputs]
    given = [value is not None for value in node.inputs]
    if any(here and number is None for here, number in zip(given, numbers, strict=True)):
        return ()
    return _computed(node, numbers)


def _is_large(node: ir.Node) -> bool:
    return any(
        value is not None
        and value.const_value is not None
        and value.const_value.size > MOST_ELEMENTS
        for value in node.inputs
    ) or any(
        np.prod(static_shape(value) or (0,), dtype=np.float64) > MOST_ELEMENTS
        for value in node.outputs
    )


def _measured(node: ir.Node) -> tuple[Array, ...]:
    shape = static_shape(node.inputs[0])
    if shape is None:
        return ()
    if node.op_type == "Size":
        return (np.asarray(np.prod(shape, dtype=np.int64)),)
    begin, end = attribute(node, "start", 0), attribute(node, "end", None)
    return (np.asarray(shape[begin:end], dtype=np.int64),)


def _computed(node: ir.Node, numbers: list[Array | None]) -> tuple[Array, ...]:
    import onnx_ir as ir
    from onnx.reference import ReferenceEvaluator

    opsets = {"": 20, **({} if node.graph is None else node.graph.opset_imports)}
    feeds: dict[str, Any] = {
        value.name: number
        for value, number in zip(node.inputs, numbers, strict=True)
        if value is not None and value.name
    }
    try:
        proto: Any = ir.to_proto(node)
        results = ReferenceEvaluator(proto, opsets=opsets).run(None, feeds)
    except Exception:  # its operators raise whatever NumPy raises; then the numbers stay unknown
        return ()
    return tuple(np.asarray(result) for result in results)

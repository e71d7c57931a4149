"""Who takes the 16-bit format, and why the others do not; nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.errors import unknown
from edgeup.export.precision.operators import (
    FREE_INPUTS,
    MOVERS,
    Lowered,
    is_float32,
    is_unknown,
    lowered,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.precision.formats import Format

_SATURATED = {"Clip": (1, 2)}
"""Constants that may be pulled to the largest finite value: no value of a map lies beyond it."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """What every node of the main graph takes; ``kept`` names those that stay float32."""

    form: Format
    lowered: Mapping[ir.Node, Lowered]
    kept: tuple[tuple[str, str], ...]
    keep_io: bool

    def stores_16_bit(self, value: ir.Value) -> bool:
        """Whether a float32 value of the main graph is held in the format."""
        producer = value.producer()
        if producer is None:
            return value.is_graph_input() and not self.keep_io
        taken = self.lowered.get(producer)
        return taken is not None and value.index() in taken.outputs

    def wants_16_bit(self, node: ir.Node, index: int) -> bool | None:
        """Whether a node reads the format at an input; None where it reads anything."""
        if node.domain in ("", "ai.onnx") and index in FREE_INPUTS.get(node.op_type, ()):
            return None
        taken = self.lowered.get(node)
        return taken is not None and index in taken.inputs


ASKED = "it was asked for"
"""Why a node is kept that a user named."""


def assign(
    model: ir.Model, form: Format, keep_fp32: frozenset[str], *, keep_io: bool
) -> Assignment:
    """Decide for every node of the main graph.

    Args:
        model: every node has a name of its own, types are inferred, constants are initializers.
        form: what to lower to.
        keep_fp32: names of nodes that stay float32.
        keep_io: graph inputs and outputs keep float32.

    Raises:
        EdgeupError: ``keep_fp32`` names a node that is not there.
    """
    names = {node.name or "" for node in model.graph}
    for name in sorted(keep_fp32 - names):
        raise unknown("node", name, names)
    takes: dict[ir.Node, Lowered] = {}
    kept: dict[ir.Node, str] = {}
    opset, data = model.graph.opset_imports.get("", 1), _depends_on_data(model.graph)
    for node in model.graph:
        if not _has_float32(node):
            continue
        answer = _answer(node, opset, form, node.name in keep_fp32, node in data)
        if isinstance(answer, Lowered):
            takes[node] = answer
        else:
            kept[node] = answer
    assignment = Assignment(form, takes, (), keep_io)  # sees what is taken out of `takes` below
    while idle := [n for n in takes if n.op_type in MOVERS and _lies_between(n, assignment)]:
        for node in idle:
            del takes[node]
            kept[node] = "it only moves or compares values that are float32 on both sides"
    named = tuple((node.name or "", kept[node]) for node in model.graph if node in kept)
    return Assignment(form, takes, named, keep_io)


def rounded_constants(model: ir.Model, assignment: Assignment) -> dict[str, tuple[ir.Value, str]]:
    """Constants that are held in the format, by name, each with the first node that reads it so."""
    found: dict[str, tuple[ir.Value, str]] = {}
    for node in assignment.lowered:
        for index in sorted(assignment.lowered[node].inputs):
            value = node.inputs[index]
            if value is not None and value.const_value is not None and not value.is_graph_input():
                found.setdefault(value.name or "", (value, node.name or ""))
    return found


def _answer(node: ir.Node, opset: int, form: Format, asked: bool, data: bool) -> Lowered | str:
    if asked:
        return ASKED
    if _holds_graph(node):
        return f"{node.op_type} holds graphs of its own, which stay float32"
    if any(is_unknown(value) for value in (*node.inputs, *node.outputs)):
        return "types at it are unknown, or no plain tensors"
    if not data:
        return "it is computed from shapes and constants alone"
    if node.op_type == "Cast" and node.inputs[0] is not None and _is_16_bit(node.inputs[0]):
        return "it widens 16 bits to float32 as it was written"
    answer = lowered(node, opset, form)
    return answer if isinstance(answer, str) else _unfit(node, answer, form) or answer


def unfit_nodes(model: ir.Model, form: Format) -> dict[str, str]:
    """Nodes of the main graph with a constant that cannot be held in the format, and why."""
    opset, data = model.graph.opset_imports.get("", 1), _depends_on_data(model.graph)
    found = {}
    for node in model.graph:
        takes = lowered(node, opset, form)
        if node in data and isinstance(takes, Lowered) and (reason := _unfit(node, takes, form)):
            found[node.name or ""] = reason
    return found


def _unfit(node: ir.Node, takes: Lowered, form: Format) -> str | None:
    reasons = (unfit_constant(node, index, form) for index in sorted(takes.inputs))
    return next(filter(None, reasons), None)


def unfit_constant(node: ir.Node, index: int, form: Format) -> str | None:
    """Why a constant input cannot be held in the format, if it cannot."""
    value = node.inputs[index]
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    if index in _SATURATED.get(node.op_type, ()):
        return None
    array = np.abs(value.const_value.numpy())
    finite = array[np.isfinite(array)]
    largest = float(finite.max(initial=0.0))
    if largest > form.largest:
        return f"its constant {value.name} holds {largest:g}, beyond {form.largest:g}"
    if 0 < largest <= form.vanishing:
        return f"its constant {value.name} is {largest:g} at most, and would become 0"
    return None


def saturates(node: ir.Node, index: int) -> bool:
    """Whether a constant input may be pulled to the largest finite value."""
    return index in _SATURATED.get(node.op_type, ())


def _has_float32(node: ir.Node) -> bool:
    """Whether there is anything to decide: float32 that is not a constant by itself."""
    return any(is_float32(value) for value in node.outputs) or any(
        is_float32(value) and value is not None and value.const_value is None
        for value in node.inputs
    )


def _holds_graph(node: ir.Node) -> bool:
    import onnx_ir as ir

    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


def _is_16_bit(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.name in ("FLOAT16", "BFLOAT16")


def _depends_on_data(graph: ir.Graph) -> set[ir.Node]:
    """Nodes whose results change with what is fed, not only with its shape."""
    data: set[ir.Node] = set()

    def carries(value: ir.Value | None) -> bool:
        if value is None:
            return False
        producer = value.producer()
        return value.is_graph_input() if producer is None else producer in data

    for node in graph:
        if node.op_type in ("Shape", "Size"):
            continue
        random = node.op_type.startswith("Random") or node.op_type == "Multinomial"
        if random or _holds_graph(node) or any(carries(value) for value in node.inputs):
            data.add(node)
    return data


def _lies_between(node: ir.Node, assignment: Assignment) -> bool:
    taken = assignment.lowered[node]
    before = [node.inputs[i] for i in taken.inputs]
    if any(v is not None and v.const_value is None and assignment.stores_16_bit(v) for v in before):
        return False
    for index in taken.outputs:
        value = node.outputs[index]
        if value.is_graph_output() and not assignment.keep_io:
            return False
        if any(assignment.wants_16_bit(use.node, use.idx) for use in value.uses()):
            return False
    return True

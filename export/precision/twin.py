"""The rounding twin: a float32 graph that rounds what a 16-bit one stores in 16 bits.

ONNX Runtime's CPU provider has no fp16 kernel for most operators: it computes in float32 and may
keep a result wide from one node to the next, so a run of the 16-bit graph can round less often
than a GPU, and hide an overflow inside; of bf16 it has hardly any kernel at all. Here each result
is cast to 16 bits and back, whatever the kernels are. That stands for storage: a device that
accumulates in float32 and rounds each layer's output. It does not stand for fp16 accumulation
(which rounds more), nor for fused layers (which round less).

Before:  x -> A -> v -> B -> y, all in 16 bits
After, all in float32 but what a cast just narrowed:

         x -> narrow, wide -> A -> v/unrounded -> narrow, wide -> v -> B -> ... -> y

A value keeps its name with what its readers see: the rounded number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.export.precision.formats import FORMATS, Format
from edgeup.export.precision.operators import TYPED_BY_ATTRIBUTE

if TYPE_CHECKING:
    import onnx_ir as ir


UNROUNDED = "/unrounded"
"""Behind a value's name: the number before it is rounded."""


def rounding_twin(narrow: ir.Model, form: Format) -> ir.Model:
    """A float32 copy of a model in ``form`` with the same roundings; its interface is float32.

    Args:
        narrow: types are inferred and constants are initializers, as `convert` leaves them.
        form: what is rounded to; the other 16-bit format stays as it is.
    """
    import onnx_ir as ir

    work = narrow.clone()
    graph = work.graph
    for value in graph.initializers.values():
        if value.dtype == form.data_type and value.const_value is not None:
            wide = value.const_value.numpy().astype(np.float32)
            value.const_value = ir.tensor(wide, name=value.name)
            value.type = ir.TensorType(ir.DataType.FLOAT)
    for value in graph.inputs:
        if value.dtype == form.data_type:
            value.type = ir.TensorType(ir.DataType.FLOAT)
            _read_through(graph, value, _there_and_back(value, form))
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == form.data_type:
                _round(graph, node, value, form)
    return work


def twin_of_file(model: ir.Model) -> ir.Model:
    """The twin of any model in 16 bits, whoever wrote it: both formats, and Constant nodes too.

    Raises:
        EdgeupError: the reason why none can be made.
    """
    from edgeup.export.precision.convert import prepared

    work = prepared(model)
    if reason := next(_obstacles(work), None):
        raise EdgeupError(reason)
    for form in FORMATS.values():
        work = rounding_twin(work, form)
    return work


def _obstacles(model: ir.Model) -> Iterator[str]:
    """Why types cannot be changed to float32 without changing what is computed."""
    for node in model.graph:
        label = f"{node.op_type} {node.name}"
        if any(value.name and value.dtype is None for value in node.outputs):
            yield f"the type of what {label} makes is not known"
        if not any(map(_is_16_bit, (*node.inputs, *node.outputs))):
            continue
        if node.op_type == "BitCast":
            yield f"{label} reads the bits of a value"
        if "Sequence" in node.op_type or "Optional" in node.op_type:  # onnx-ir mistypes them
            yield f"{label} holds 16 bits in other than a plain tensor"
    for graph in model.graphs():
        if graph is not model.graph and any(_is_narrow_inside(node) for node in graph):
            yield f"graph {graph.name}, inside If, Loop or Scan, is in 16 bits or of unknown types"


def _is_narrow_inside(node: ir.Node) -> bool:
    """Whether 16 bits, or what may be 16 bits, is read or made at a node of an inner graph."""
    values = [v for v in (*node.inputs, *node.outputs) if v is not None and v.name]
    return any(value.dtype is None or _is_16_bit(value) for value in values)


def _is_16_bit(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in {form.data_type for form in FORMATS.values()}


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value, form: Format) -> None:
    """Let the readers of a value, and the graph's outputs, see it rounded, in float32."""
    import onnx_ir as ir

    name = value.name
    if node.op_type in TYPED_BY_ATTRIBUTE:  # 16-bit still, or not: the cast behind takes either
        value.type = value.shape = None
    else:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    if node.op_type == "Cast":
        node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
    casts = _there_and_back(value, form)
    last = casts[-1].outputs[0]
    _read_through(graph, value, casts)
    value.name, last.name = f"{name}{UNROUNDED}", name
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = last


def _read_through(graph: ir.Graph, value: ir.Value, casts: list[ir.Node]) -> None:
    """Put casts behind a value, and let its readers read the last of them."""
    first, last = casts[0], casts[-1].outputs[0]
    readers = [use for use in value.uses() if use.node is not first]
    for node, index in readers:
        node.replace_input_with(index, last)
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, casts)
    elif readers:
        graph.insert_before(graph[0], casts)


def _there_and_back(value: ir.Value, form: Format) -> list[ir.Node]:
    import onnx_ir as ir

    narrow = _cast(value, form.data_type, "narrow")
    return [narrow, _cast(narrow.outputs[0], ir.DataType.FLOAT, "wide")]


def _cast(value: ir.Value, to: ir.DataType, what: str) -> ir.Node:
    import onnx_ir as ir

    name = f"{value.name}~{what}"
    node = ir.node("Cast", [value], {"to": to.value}, name=name)
    made = node.outputs[0]
    made.name, made.type, made.shape = name, ir.TensorType(to), value.shape
    return node

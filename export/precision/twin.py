"""The rounding twin: a float32 graph that rounds what the converted one stores in 16 bits.

ONNX Runtime's CPU provider has no fp16 kernel for most operators: it computes in float32 and may
keep a result wide from one node to the next, so a run of the converted graph can round less often
than a GPU. Here each result is cast to 16 bits and back, whatever the kernels are. That stands
for storage: a device that accumulates in float32 and rounds each layer's output. It does not
stand for fp16 accumulation (which rounds more), nor for fused layers (which round less).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.precision.formats import Format

if TYPE_CHECKING:
    import onnx_ir as ir


def rounding_twin(converted: ir.Model, form: Format) -> ir.Model:
    """A float32 copy of a converted model with the same roundings, with the same interface."""
    import onnx_ir as ir

    work = converted.clone()
    graph = work.graph
    for value in graph.initializers.values():
        if value.dtype == form.data_type and value.const_value is not None:
            wide = value.const_value.numpy().astype(np.float32)
            value.const_value = ir.tensor(wide, name=value.name)
            value.type = ir.TensorType(ir.DataType.FLOAT)
    for value in graph.inputs:
        if value.dtype == form.data_type and value.name not in graph.initializers:
            _read_through(graph, value, [_cast(value, ir.DataType.FLOAT, "wide")])
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == form.data_type and not _is_input_cast(node, graph):
                _round(graph, node, value, form)
    return work


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value, form: Format) -> None:
    import onnx_ir as ir

    value.type = ir.TensorType(ir.DataType.FLOAT)
    if node.op_type == "Cast":
        node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
    narrow = _cast(value, form.data_type, "narrow")
    wide = _cast(narrow.outputs[0], ir.DataType.FLOAT, "wide")
    given_out = value.is_graph_output()
    _read_through(graph, value, [narrow, wide])
    if given_out:  # it was 16-bit in the interface, and stays so
        name, narrow.outputs[0].name = value.name, value.name
        value.name = f"{name}/unrounded"
        for index, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[index] = narrow.outputs[0]


def _read_through(graph: ir.Graph, value: ir.Value, casts: list[ir.Node]) -> None:
    """Put casts behind a value, and let its readers read the last of them."""
    first, last = casts[0], casts[-1].outputs[0]
    for use in list(value.uses()):
        if use.node is not first:
            use.node.replace_input_with(use.idx, last)
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, casts)
    else:
        graph.insert_before(graph[0], casts)


def _is_input_cast(node: ir.Node, graph: ir.Graph) -> bool:
    """Whether the node is a cast that this file put behind a 16-bit graph input."""
    return node.op_type == "Cast" and node.name is not None and node.name.endswith("~wide")


def _cast(value: ir.Value, to: ir.DataType, what: str) -> ir.Node:
    import onnx_ir as ir

    name = f"{value.name}~{what}"
    node = ir.node("Cast", [value], {"to": to.value}, name=name)
    made = node.outputs[0]
    made.name, made.type, made.shape = name, ir.TensorType(to), value.shape
    return node

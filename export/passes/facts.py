"""Questions that rules ask of a graph, answered one way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

Array = npt.NDArray[Any]


def is_onnx(node: ir.Node | None, *op_types: str) -> bool:
    """Whether the node is one of these operators of ONNX's own domain."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """An input; None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant(value: ir.Value | None) -> Array | None:
    """The numbers of a value that nobody can change at run time, or None.

    An initializer that is also a graph input can be fed, so it is not constant.
    """
    if value is None or value.is_graph_input():
        return None
    if value.const_value is not None:
        return value.const_value.numpy()
    producer = value.producer()
    if producer is not None and is_onnx(producer, "Constant"):
        tensor = producer.attributes.get("value")
        if tensor is not None:
            numbers: Array = tensor.as_tensor().numpy()
            return numbers
        for name in ("value_float", "value_floats", "value_int", "value_ints"):
            if name in producer.attributes:
                dtype = np.float32 if "float" in name else np.int64
                return np.asarray(producer.attributes[name].value, dtype=dtype)
    return None


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape as numbers; None where a dimension or the rank is unknown."""
    if value is None or value.shape is None:
        return None
    dims = tuple(dim for dim in value.shape if isinstance(dim, int))
    return dims if len(dims) == len(value.shape) else None


def rank(value: ir.Value | None) -> int | None:
    """The number of dimensions, where known."""
    return None if value is None or value.shape is None else len(value.shape)


def dtype_of(value: ir.Value | None) -> np.dtype[Any] | None:
    """The element type, where known."""
    return None if value is None or value.dtype is None else value.dtype.numpy()


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or the operator's default; strings as str, lists as tuples."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value = found.value
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, (list, tuple)) else value


def sole_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads the value; None where several do, or the graph gives it out."""
    users = {usage.node for usage in value.uses()}
    if len(users) != 1 or value.is_graph_output():
        return None
    return next(iter(users))


_PLACE = "edgeup: place"


def number_nodes(nodes: Iterable[ir.Node], before: tuple[int, ...] = ()) -> None:
    """Note the nodes' order for `in_order`; those put before a node pass on that one's place."""
    for index, node in enumerate(nodes):
        node.meta[_PLACE] = (*before, index)


def place_of(node: ir.Node) -> tuple[int, ...]:
    """Where the node stands in its graph, as numbered when the sweep began."""
    place: tuple[int, ...] = node.meta[_PLACE]
    return place


def in_order(nodes: Iterable[ir.Node]) -> tuple[ir.Node, ...]:
    """A few nodes of one graph in its order, without a walk through the graph."""
    return tuple(sorted(nodes, key=place_of))


def opset_of(node: ir.Node, aim: Aim) -> int:
    """The opset in which the node is written; a pass writes in the same one."""
    imports = {} if node.graph is None else node.graph.opset_imports
    return imports.get("", aim.opset)

"""Small tools for steps between opsets: read constants and shapes, put nodes in place of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir


class CannotMove(Exception):  # noqa: N818 (a refusal that carries its reason, not a failure)
    """The node has no equal in the wanted opset; the text is the reason."""


def constant_of(value: ir.Value | None, what: str) -> npt.NDArray[Any]:
    """The value of a constant input.

    Raises:
        CannotMove: it is computed, or not there.
    """
    from onnx_ir.convenience import get_const_tensor

    tensor = None if value is None else get_const_tensor(value)
    if tensor is None:
        raise CannotMove(f"{what} must be constant to be rewritten, and it is computed")
    return tensor.numpy()


def rank_of(value: ir.Value | None, what: str) -> int:
    """The rank of a value.

    Raises:
        CannotMove: it is not known.
    """
    if value is None or value.shape is None:
        raise CannotMove(f"the rank of {what} must be known to rewrite it")
    return len(value.shape)


def size_of(value: ir.Value | None, axis: int, what: str) -> int:
    """The size of one axis.

    Raises:
        CannotMove: it is dynamic or not known.
    """
    if value is None or value.shape is None:
        raise CannotMove(f"the shape of {what} must be known to rewrite it")
    size = value.shape[axis]
    if not isinstance(size, int):
        raise CannotMove(f"axis {axis} of {what} must have a fixed size to rewrite it")
    return size


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Input ``index``, or None when it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def set_attribute(node: ir.Node, name: str, value: Any) -> None:
    """Set an attribute; None removes it."""
    from onnx_ir.convenience import convert_attributes

    if value is None:
        node.attributes.pop(name, None)
        return
    (made,) = convert_attributes({name: value})
    node.attributes[name] = made


def set_constant_input(node: ir.Node, index: int, array: npt.NDArray[Any], what: str) -> None:
    """Make input ``index`` a new initializer of the node's graph."""
    while len(node.inputs) <= index:
        node.resize_inputs(len(node.inputs) + 1)
    node.replace_input_with(index, _initializer(node, array, what))


def _initializer(node: ir.Node, array: npt.NDArray[Any], what: str) -> ir.Value:
    import onnx_ir as ir

    # Output names are unique in a graph and its subgraphs, so this one is too.
    name = f"{node.outputs[0].name}__{what}"
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    assert node.graph is not None  # noqa: S101 (steps run on nodes of a graph)
    node.graph.register_initializer(value)
    return value


class Replacement:
    """Nodes, written one after another, that take the place of one node."""

    def __init__(self, node: ir.Node) -> None:
        self._node = node
        self._made: list[ir.Node] = []
        self._constants = 0

    def op(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        attributes: Mapping[str, Any] | None = None,
    ) -> ir.Value:
        """Append a node with one output."""
        import onnx_ir as ir

        index = len(self._made)
        made = ir.node(op_type, inputs, attributes, name=f"{self._node.name}_{op_type}_{index}")
        made.outputs[0].name = f"{self._node.outputs[0].name}__{op_type.lower()}_{index}"
        self._made.append(made)
        return made.outputs[0]

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> ir.Value:
        """A constant as an initializer."""
        self._constants += 1
        array = np.asarray(value, dtype=dtype)
        return _initializer(self._node, array, f"constant_{self._constants}")

    def finish(self) -> None:
        """Put the nodes in place; the last one's output takes the name and users of the old."""
        from onnx_ir.convenience import replace_nodes_and_values

        old = self._node
        assert old.graph is not None  # noqa: S101 (steps run on nodes of a graph)
        replace_nodes_and_values(
            old.graph, old, [old], self._made, [old.outputs[0]], [self._made[-1].outputs[0]]
        )

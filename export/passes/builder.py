"""Writes nodes and constants with names that are new to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir


class Builder:
    """Collects nodes and initializers; they belong to no graph until they are placed.

    Args:
        prefix: begins every new name, and must be new to the model (the driver makes it so).
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count()
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        domain: str = "",
    ) -> ir.Value:
        """Append a node with one output and return that."""
        return self.ops(op_type, inputs, attributes, outputs=1, domain=domain)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        outputs: int,
        domain: str = "",
    ) -> Sequence[ir.Value]:
        """Append a node with several outputs."""
        import onnx_ir as ir

        name = f"{self._prefix}/{op_type}_{next(self._numbers)}"
        made = ir.node(
            op_type, inputs, _typed(attributes), domain=domain, num_outputs=outputs, name=name
        )
        for index, value in enumerate(made.outputs):
            value.name = name if outputs == 1 else f"{name}_{index}"
        self.nodes.append(made)
        return made.outputs

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> ir.Value:
        """A constant, held as an initializer."""
        import onnx_ir as ir

        held = np.ascontiguousarray(np.asarray(array, dtype=dtype))
        held = held.reshape(np.shape(array))  # ascontiguousarray makes scalars one-dimensional
        name = f"{self._prefix}/constant_{next(self._numbers)}"
        tensor = ir.Tensor(held, name=name)  # ir.tensor asks first what else it could be
        value = ir.Value(
            name=name,
            shape=ir.Shape(held.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.initializers.append(value)
        return value


def _typed(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Lists of integers with their type: onnx_ir would first try all else that a list could be,
    which took a quarter of the passes' time on a graph full of sites.
    """
    import onnx_ir as ir

    return {
        name: ir.AttrInt64s(name, value)
        if isinstance(value, list) and all(isinstance(number, int) for number in value)
        else value
        for name, value in (attributes or {}).items()
    }

"""An activation with no other input than its map, so that it may stand before or behind a move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.export.passes.copy_nodes import copy_nodes
from edgeup.export.passes.facts import constant, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

# fmt: off
_ACTIVATIONS = (
    "Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Mish", "Neg", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
)
# fmt: on


@dataclass(frozen=True, eq=False)
class Activation:
    """What one node does to each number of the map that it reads."""

    node: ir.Node
    source: ir.Value

    @property
    def kind(self) -> Any:
        """Equal where two activations compute the same."""
        attributes = {name: attribute.value for name, attribute in self.node.attributes.items()}
        held = [constant(value) for value in self.node.inputs[1:]]
        numbers = [None if array is None else (str(array.dtype), array.tolist()) for array in held]
        return self.node.op_type, attributes, numbers

    def write(self, build: Builder, x: ir.Value) -> ir.Value:
        """The same on another map."""
        return copy_nodes(build, [self.node], {self.source: x})[self.node.outputs[0]]


def activation(value: ir.Value) -> Activation | None:
    """The activation that gives a value; None where another node does, or it can be fed."""
    node = value.producer()
    if node is None or not is_onnx(node, *_ACTIVATIONS) or node.inputs[0] is None:
        return None
    if any(given is not None and constant(given) is None for given in node.inputs[1:]):
        return None
    return Activation(node, node.inputs[0])

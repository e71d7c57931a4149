"""ScatterND with ``reduction="none"`` written out: what it is without the attribute.

::

    data, indices, updates -> ScatterND(reduction="none") -> y      becomes      ScatterND -> y

TensorRT 10.0 to 10.8 refuse the attribute, whatever it says ("Attribute reduction is not
supported.", onnx-tensorrt 10.0 and 10.1; NVIDIA/TensorRT CHANGELOG 10.9, "Fixed support for opset
18+ ScatterND"). Any other reduction is refused here too: no TensorRT has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan
from edgeup.export.passes.facts import attribute, constant, is_onnx
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

EVIDENCE = "onnx-tensorrt 10.0 and 10.1, importer source; NVIDIA/TensorRT CHANGELOG 10.9"
REFUSED_SINCE, REFUSED_BEFORE = (10, 0), (10, 9)


def is_refused(node: ir.Node, aim: Aim) -> bool:
    """Whether the version refuses the node for having the attribute at all."""
    return (
        aim.tensorrt is not None
        and is_onnx(node, "ScatterND")
        and "reduction" in node.attributes
        and not older(aim, REFUSED_SINCE)
        and older(aim, REFUSED_BEFORE)
    )


class ScatterReduction:
    """Leaves out what says nothing."""

    name = "scatter-reduction"

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        """The rule of the module."""
        if not is_refused(node, aim) or attribute(node, "reduction", "none") != "none":
            return None
        inputs = [v for v in dict.fromkeys(node.inputs) if v is not None and constant(v) is None]
        return Plan(
            nodes=(node,),
            inputs=tuple(inputs),
            outputs=(node.outputs[0],),
            candidates=(Candidate("no attribute", _Writer(node, inputs)),),
            why='this TensorRT refuses reduction="none"',
            required=True,
        )


class _Writer:
    """Writes the node again, without the attribute."""

    def __init__(self, node: ir.Node, inputs: Sequence[ir.Value]) -> None:
        self._node = node
        self._inputs = list(inputs)

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        made: dict[ir.Value | None, ir.Value] = dict(zip(self._inputs, inputs, strict=True))
        for value in self._node.inputs:
            numbers = constant(value)
            if numbers is not None and value not in made:
                made[value] = build.constant(numbers)
        return [build.op("ScatterND", [made[value] for value in self._node.inputs])]

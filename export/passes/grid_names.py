"""GridSample with ``mode="linear"`` written out: what it is without the attribute.

::

    x, grid -> GridSample(mode="linear") -> y      becomes      x, grid -> GridSample -> y

TensorRT 8.5 to 10.13 know the names of opset 16 alone (bilinear, bicubic) and take any other for
nearest; a missing one they take for bilinear (onnx-tensorrt 8.5 to 10.1, importer source:
``attrs.get<std::string>("mode", "bilinear")``), and linear is what opset 20 says a missing one is.
``cubic`` is no default: `constant_grid` takes it where the grid is constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.constant_grid import grid_sample_lacking
from edgeup.export.passes.contract import Aim, Candidate, Plan
from edgeup.export.passes.facts import attribute, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class GridNames:
    """Leaves out the name that is misunderstood."""

    name = "grid-names"

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        """The rule of the module."""
        if not is_onnx(node, "GridSample") or not aim.is_tensorrt:
            return None
        lacking = grid_sample_lacking(node, aim)
        if lacking is None or not lacking.silent or attribute(node, "mode", "") != "linear":
            return None
        return Plan(
            nodes=(node,),
            inputs=tuple(dict.fromkeys(value for value in node.inputs if value is not None)),
            outputs=(node.outputs[0],),
            candidates=(Candidate("no name", _Writer(node)),),
            why=str(lacking),
            required=True,
        )


class _Writer:
    """Writes the node again, without the mode."""

    def __init__(self, node: ir.Node) -> None:
        self._node = node

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        kept = {name: value for name, value in self._node.attributes.items() if name != "mode"}
        reads = list(inputs) * (2 if len(inputs) == 1 else 1)  # a map that is its own grid
        return [build.op("GridSample", reads, kept)]

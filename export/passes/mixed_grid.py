"""GridSample whose map and grid differ in their type, which TensorRT refuses.

::

    x f16, grid f32 -> GridSample -> y f16     becomes     x -> Cast f32 -> GridSample -> Cast f16
    x f32, grid f16 -> GridSample -> y f32     becomes     grid -> Cast f32 -> GridSample

1. The wider type is taken: its numbers include the other's, so nothing is rounded but the result,
   once, to the type that it has anyway.
2. float64 is float32 to TensorRT (`narrowed_float64`): the two do not differ.

Seen with TensorRT for RTX 1.7.1: "IGridSampleLayer `input` and `grid` must be of same type"; not
known of other versions, so done for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan
from edgeup.export.passes.facts import is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

_FLOATS = ("FLOAT16", "FLOAT", "DOUBLE")
"""From the narrowest to the widest."""


class MixedGrid:
    """Casts the narrower input of a GridSample."""

    name = "mixed-grid"

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        """The rules of the module."""
        if not is_onnx(node, "GridSample") or not aim.is_tensorrt:
            return None
        inputs = tuple(value for value in node.inputs if value is not None)
        names = [value.dtype.name for value in inputs if value.dtype is not None]
        kinds = {"FLOAT" if name == "DOUBLE" else name for name in names}  # rule 2
        if len(names) != 2 or len(kinds) == 1 or not set(names) <= set(_FLOATS):
            return None
        return Plan(
            nodes=(node,),
            inputs=inputs,
            outputs=(node.outputs[0],),
            candidates=(Candidate("one type", _Writer(node, max(names, key=_FLOATS.index))),),
            why=f"TensorRT samples no {names[0].lower()} map with a {names[1].lower()} grid",
            required=True,
        )


class _Writer:
    """Builds the GridSample in the wider type."""

    def __init__(self, node: ir.Node, wide: str) -> None:
        self._node = node
        self._wide = wide

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        import onnx_ir as ir

        wide = ir.DataType[self._wide]
        reads = [x if x.dtype == wide else build.op("Cast", [x], {"to": wide}) for x in inputs]
        y = build.op("GridSample", reads, self._node.attributes)
        given = self._node.outputs[0].dtype
        return [y if given == wide else build.op("Cast", [y], {"to": given})]

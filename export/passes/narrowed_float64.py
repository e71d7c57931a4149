"""float64 for TensorRT: reported, and left as it is.

Every TensorRT takes a float64 model, computes it in float32 and clamps weights beyond float32's
range, without an error (onnx-tensorrt docs/operators.md, "DOUBLE": cast to FLOAT). The engine's
values are close to the model's and never equal, so this is no rewrite: it is a line of the report
for each place where float64 begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Plan, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir


class NarrowedFloat64:
    """Reports where TensorRT will narrow."""

    name = "narrowed-float64"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """A refusal where float64 is computed from what no node made as float64."""
        if not aim.is_tensorrt or not any(_is_float64(value) for value in node.outputs):
            return None
        if node.op_type == "Constant" or any(_is_made(value) for value in node.inputs):
            return None
        return Refusal(
            node.name or "",
            "it computes in float64, which TensorRT narrows to float32: the engine's values will "
            "be close, not equal",
        )


def _is_made(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type != "Constant" and _is_float64(value)


def _is_float64(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.name == "DOUBLE"

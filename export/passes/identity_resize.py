"""Resize by 1 on every axis is nothing.

::

    x -> Resize(scales 1) -> y        becomes        x -> y

1. Every axis keeps its size. At scale 1 each coordinate rule of ONNX maps o to o (half_pixel:
   (o + 0.5) / 1 - 0.5), and every mode takes the value at a whole coordinate as it is.
2. Refused: tf_crop_and_resize, which reads another region at the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import attribute, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class IdentityResize:
    """Drops resizes that keep every size."""

    name = "identity-resize"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rule 1 and 2 of the module."""
        if not is_onnx(node, "Resize", "Upsample"):
            return None
        source = node.inputs[0]
        before, after = static_shape(source), static_shape(node.outputs[0])
        if source is None or before is None or before != after:
            return None
        if attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
            return Refusal(node.name or "", "it crops: tf_crop_and_resize at the same size")
        return Plan(
            nodes=(node,),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=(Candidate("nothing", _pass_on),),
            why="a resize that keeps every size",
            simpler=True,
        )


def _pass_on(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
    # Identity, which the clean-up removes where it can: a graph input cannot be a graph output.
    return [build.op("Identity", inputs)]

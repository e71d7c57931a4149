"""Which nodes stay in float32 when an engine is asked for a lower precision, and why.

No faults: the builder keeps such a layer in float32 (or, where the graph's types bind it, so does
the conversion), with a reformat before and behind it. What is lost in accuracy is another matter,
which only measuring tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.check import prepared
from edgeup.export.capability.dla import Fallback
from edgeup.export.capability.versions.operators import type_name, types_of
from edgeup.export.capability.versions.sources import spelled
from edgeup.export.passes.facts import constant

if TYPE_CHECKING:
    import onnx_ir as ir

_MOVES_DATA = ("Cast", "CastLike", "Constant", "ConstantOfShape", "If", "Loop", "Scan", "Shape")
"""They become no layer that computes in a precision, or their bodies are asked."""
NEWEST = (11, 1)
"""The newest table; TensorRT for RTX is read by it."""


def find_float32(
    model: ir.Model, tensorrt: tuple[int, int] | None, precision: str
) -> list[Fallback]:
    """The nodes that compute in float32 all the same, in the order of the model.

    Args:
        model: any ONNX model; it is left unchanged.
        tensorrt: major and minor version; None is TensorRT for RTX.
        precision: "fp16" or "bf16". Of INT8 the tables tell nothing: they list it where a node
            takes INT8 numbers, and a quantised convolution takes float ones between Q and DQ.
    """
    version = tensorrt or NEWEST
    evidence = f"onnx-tensorrt docs/operators.md, TensorRT {spelled(version)} or the one before it"
    found = []
    for node in prepared(model).graph.all_nodes():
        types = types_of(node.op_type, version)
        if not types or node.op_type in _MOVES_DATA or not _computes_in_float32(node, version):
            continue
        if precision.upper() in types:
            continue
        name = node.name or node.outputs[0].name or ""
        reason = f"{node.op_type} has {', '.join(sorted(types))}, and no {precision.upper()}"
        found.append(Fallback(name, node.op_type, reason, evidence))
    return found


def _computes_in_float32(node: ir.Node, version: tuple[int, int]) -> bool:
    return any(
        value.dtype is not None
        and type_name(value.dtype.name, version) == "FP32"
        and constant(value) is None
        for value in node.outputs
    )

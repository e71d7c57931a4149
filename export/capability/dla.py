"""Which nodes a deep learning accelerator (DLA) leaves to the GPU, and why.

No faults: with GPU fallback allowed the engine is built and right, but every such node breaks the
accelerator's work in two. Facts: NvInfer.h of 8.2.1 (JetPack 4.6) and 8.6.1 (later), the notes "If
executing this layer on DLA" at each layer; NVIDIA/Deep-Learning-Accelerator-SW, operators/README.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgeup.export.capability.check import prepared
from edgeup.export.capability.dla_limits import LIMITS, Part
from edgeup.export.passes.facts import constant, is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

MOST_BATCH, MOST_EXTENT = 4096, 8192
_NO_LAYER = ("Constant", "Identity", "Dropout", "Shape", "Cast")
"""They become no layer of their own, or one that is folded away."""
_EQUAL = {
    "DepthToSpace": "; a ConvTranspose of one-hot weights with stride equal to kernel is the same",
    "SpaceToDepth": "; a strided Conv of one-hot weights is the same",
}
_UNTYPED = ("FLOAT", "FLOAT16", "DOUBLE", "INT8")


@dataclass(frozen=True)
class Fallback:
    """A line of the report's ``fallbacks``."""

    node: str
    op: str
    reason: str
    evidence: str

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return asdict(self)


def find_fallbacks(model: ir.Model, tensorrt: tuple[int, int], generation: int) -> list[Fallback]:
    """The nodes that would run on the GPU, in the order of the model; it is left unchanged.

    Args:
        model: any ONNX model.
        tensorrt: major and minor version.
        generation: of the accelerator: 1 on Xavier, 2 on Orin.
    """
    part = Part(tensorrt, generation)
    found = []
    for node in prepared(model).graph.all_nodes():
        if is_onnx(node, *_NO_LAYER) or _is_folded(node):
            continue
        reason, evidence = _general(node) or _special(node, part) or ("", "")
        if reason:
            name = node.name or node.outputs[0].name or ""
            found.append(Fallback(name, node.op_type, reason, evidence))
    return found


def _is_folded(node: ir.Node) -> bool:
    return all(constant(value) is not None for value in node.outputs)


def _general(node: ir.Node) -> tuple[str, str] | None:
    for value in (*node.inputs, *node.outputs):
        if value is None or constant(value) is not None:
            continue
        shape = static_shape(value)
        if shape is None:
            return (
                f"the shape of {value.name} is not fixed",
                "NvInfer.h: DLA does not support wildcard dimensions",
            )
        if value.dtype is not None and value.dtype.name not in _UNTYPED:
            return f"{value.name} is {value.dtype.name.lower()}", "DLA computes FP16 and INT8"
        if shape and (shape[0] > MOST_BATCH or max(shape[1:], default=0) > MOST_EXTENT):
            return (
                f"{value.name} is {'x'.join(map(str, shape))}: at most {MOST_BATCH} in a batch, "
                f"{MOST_EXTENT} along another axis",
                "TensorRT Developer Guide, DLA: general restrictions",
            )
    return None


def _special(node: ir.Node, part: Part) -> tuple[str, str] | None:
    limits: Mapping[str, Callable[[ir.Node, Part], tuple[str, str] | None]] = LIMITS
    limit = limits.get(node.op_type) if is_onnx(node, node.op_type) else None
    if limit is None:
        equal = _EQUAL.get(node.op_type, "")
        return (
            f"DLA has no {node.op_type}{equal}",
            "NVIDIA/Deep-Learning-Accelerator-SW, operators/README",
        )
    return limit(node, part)

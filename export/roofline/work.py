"""What a layer asks of a GPU: multiply-accumulates of a kind, and bytes to and from memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.export.cost import node_macs
from edgeup.export.passes.estimate import kind_of
from edgeup.export.passes.facts import is_onnx, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

ITEM_BYTES: Mapping[str, int] = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of a floating-point number of the graph, by the precision that the engine computes in."""

ARITHMETIC: Mapping[str, str] = {
    "dense": "dense",
    "pointwise": "dense",
    "matmul": "dense",
    "transposed": "dense",
    "depthwise": "depthwise",
    "depthwise-transposed": "depthwise",
}
"""The kinds that multiply, and whose efficiency they have. All other kinds only move data."""

MEASURED_KINDS = ("dense", "pointwise", "depthwise")
"""The kinds that the TX2 measurements hold; what the others have is taken over from these."""

_OTHER_KINDS: Mapping[str, str] = {
    "resize-linear": "resize",
    "interleave": "copy",
    "transpose": "copy",
}

POINTWISE_OPS = frozenset(
    (
        *(
            "Abs",
            "Add",
            "BatchNormalization",
            "Cast",
            "Ceil",
            "Celu",
            "Clip",
            "Div",
            "Dropout",
            "Elu",
        ),
        *(
            "Erf",
            "Exp",
            "Floor",
            "Gelu",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Log",
            "Max",
            "Min",
        ),
        *("Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid"),
        *("Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tanh", "ThresholdedRelu", "Where"),
        *("DequantizeLinear", "QuantizeLinear"),
    )
)
"""Operators that compute each element by itself: a backend fuses them with what comes before."""


@dataclass(frozen=True)
class Work:
    """One layer's work.

    Attributes:
        kind: ``dense``, ``pointwise``, ``depthwise``, ``transposed``, ``matmul``, ``resize``,
            ``copy``, ``elementwise``, ``other``.
        macs: multiply-accumulates.
        moved: bytes read and written, weights included.
        channels: outputs per position and group, for the kinds that multiply densely.
    """

    kind: str
    macs: int
    moved: int
    channels: int = 1

    def macs_in_blocks(self, block: int) -> float:
        """Multiply-accumulates where outputs are computed in whole blocks of channels.

        A layer with fewer channels than a block has one of the next power of two.
        """
        if ARITHMETIC.get(self.kind) != "dense":
            return self.macs
        block = min(block, 1 << (self.channels - 1).bit_length())
        return self.macs * (math.ceil(self.channels / block) * block / self.channels)


def conv_work(reads: Sequence[int], weight: Sequence[int], writes: Sequence[int]) -> Work:
    """A convolution in fp32 by its shapes: input ``n c ..``, weight ``out in/groups k..``."""
    groups = reads[1] // weight[1]
    moved = ITEM_BYTES["fp32"] * sum(math.prod(shape) for shape in (reads, weight, writes))
    macs = math.prod(writes) * math.prod(weight[1:])
    return Work(conv_kind(weight, groups), macs, moved, weight[0] // groups)


def conv_kind(weight: Sequence[int], groups: int) -> str:
    """``depthwise`` with one input channel per group, ``pointwise`` with a 1x1 kernel."""
    if groups > 1 and weight[1] == 1:
        return "depthwise"
    return "pointwise" if math.prod(weight[2:]) == 1 else "dense"


def node_work(node: ir.Node, moved: int) -> Work:
    """A node's work, with the bytes that its whole layer moves."""
    kind = kind_of(node) or "other"
    if is_onnx(node, "Conv", "ConvTranspose"):
        reads, weight = conv_shapes(node)
        if is_onnx(node, "Conv"):
            return replace(conv_work(reads, weight, _shape(node, node.outputs[0])), moved=moved)
        return Work(kind, node_macs(node), moved, weight[1])
    if is_onnx(node, "MatMul", "Gemm"):
        columns = _shape(node, node.outputs[0])[-1:] or (1,)  # of two vectors: a number
        return Work("matmul", node_macs(node), moved, max(1, *columns))
    if kind == "elementwise" and not is_onnx(node, *POINTWISE_OPS):
        kind = "other"
    return Work(_OTHER_KINDS.get(kind, kind), 0, moved)


def conv_shapes(node: ir.Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The input's and the weight's shape of a Conv or ConvTranspose.

    Raises:
        EdgeupError: one is not known, or they do not go together.
    """
    reads, weight = _shape(node, node.inputs[0]), _shape(node, node.inputs[1])
    fits = len(reads) == len(weight) > 2 and 0 not in (*reads, *weight)
    if fits and is_onnx(node, "Conv"):
        fits = reads[1] % weight[1] == 0
    if not fits:
        raise EdgeupError(
            f"{node.op_type} {node.name!r}: an input of {'x'.join(map(str, reads))} does not go "
            f"with a weight of {'x'.join(map(str, weight))}"
        )
    return reads, weight


def stored_bytes(node: ir.Node, value: ir.Value, precision: str) -> int:
    """A tensor's size where the engine keeps floating-point numbers in ``precision``.

    Raises:
        EdgeupError: its shape or type is not known.
    """
    import onnx_ir as ir

    dtype = value.dtype
    if dtype is None or dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED):
        raise EdgeupError(
            f"{node.op_type} {node.name!r}: {value.name!r} holds no numbers of a known type, so "
            f"its time cannot be estimated"
        )
    item = ITEM_BYTES[precision] if dtype.is_floating_point() else dtype.itemsize
    return math.ceil(math.prod(_shape(node, value)) * item)


def _shape(node: ir.Node, value: ir.Value | None) -> tuple[int, ...]:
    shape = static_shape(value)
    if shape is None or value is None:
        what = "an input" if value is None else repr(value.name)
        raise EdgeupError(
            f"{node.op_type} {node.name!r}: the shape of {what} is not known before it runs, so "
            f"its time cannot be estimated; freeze the inputs with --shape, or simplify the model "
            f"with `edgeup optimize`"
        )
    return shape

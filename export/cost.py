"""What a graph costs, counted from its shapes: multiply-accumulates, nodes by operator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one inference; ``total`` is None where ``why`` says so."""

    total: int | None
    why: str | None = None


class _Unknown(Exception):  # noqa: N818 (carries a reason to its one catcher)
    """The count depends on something that the graph does not fix."""


def macs(model: ir.Model) -> Macs:
    """Count Conv, ConvTranspose, MatMul and Gemm; everything else is free.

    A transposed convolution whose constant kernel only copies each pixel to a place of its own
    (zero insertion) multiplies by ones and zeros, and counts 0.
    """
    model = _with_shapes(model)
    total = 0
    for node in model.graph.all_nodes():
        count = _COUNTS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if count is None:
            continue
        if node.graph is not model.graph:
            return Macs(None, f"{node.op_type} {node.name!r} runs in a branch or loop")
        try:
            total += count(node)
        except _Unknown as unknown:
            return Macs(None, f"{node.op_type} {node.name!r}: {unknown}")
    return Macs(total)


def node_macs(node: ir.Node) -> int:
    """Multiply-accumulates of one node; 0 where it is not counted or its shapes are unknown."""
    count = _COUNTS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    try:
        return 0 if count is None else count(node)
    except _Unknown:
        return 0


def nodes_by_operator(model: ir.Model) -> dict[str, int]:
    """How many nodes of each operator, most frequent first, subgraphs included.

    Operators of another domain are named ``domain.Operator``.
    """
    return nodes_by_operator_of(model.graph.all_nodes())


def nodes_by_operator_of(nodes: Iterable[ir.Node]) -> dict[str, int]:
    """The same of some nodes."""
    counts = Counter(
        n.op_type if n.domain in ("", "ai.onnx") else f"{n.domain}.{n.op_type}" for n in nodes
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _with_shapes(model: ir.Model) -> ir.Model:
    known = all(
        v is None or v.shape is not None
        for node in model.graph.all_nodes()
        if node.op_type in _COUNTS
        for v in (*node.inputs, *node.outputs)
    )
    if known:
        return model
    copy = model.clone()
    infer_shapes(copy)
    return copy


def _shape(value: ir.Value | None) -> list[int]:
    if value is None or value.shape is None:
        raise _Unknown("its shapes are not known")
    named = [str(d) for d in value.shape if not isinstance(d, int)]
    if named:
        raise _Unknown(f"dimension {', '.join(named)} is dynamic")
    return [int(d) for d in value.shape]  # type: ignore[arg-type]  # named dimensions left above


def _conv(node: ir.Node) -> int:
    """Each output value gathers the kernel over the channels of its group."""
    kernel = _shape(node.inputs[1])  # out in/groups kh kw
    return math.prod(_shape(node.outputs[0])) * math.prod(kernel[1:])


def _conv_transpose(node: ir.Node) -> int:
    """Each input value scatters the kernel over the output channels of its group."""
    if _only_copies(node):
        return 0
    kernel = _shape(node.inputs[1])  # in out/groups kh kw
    return math.prod(_shape(node.inputs[0])) * math.prod(kernel[1:])


def _only_copies(node: ir.Node) -> bool:
    from onnx_ir.convenience import get_const_tensor

    weight = node.inputs[1]
    tensor = None if weight is None else get_const_tensor(weight)
    if tensor is None or tensor.shape[1] != 1:
        return False
    kernels = tensor.numpy().reshape(int(tensor.shape.numpy()[0]), -1)
    ones = (kernels == 1).sum(axis=1)
    return bool(np.all(ones == 1) and np.all((kernels != 0).sum(axis=1) == 1))


def _matmul(node: ir.Node) -> int:
    return math.prod(_shape(node.outputs[0])) * _shape(node.inputs[0])[-1]


def _gemm(node: ir.Node) -> int:
    transposed = node.attributes.get_int("transA", 0)
    shared = _shape(node.inputs[0])[0 if transposed else 1]
    return math.prod(_shape(node.outputs[0])) * shared


_COUNTS: Mapping[str, Callable[[ir.Node], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "Gemm": _gemm,
}

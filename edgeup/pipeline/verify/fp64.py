"""Is a graph small enough for onnx's ReferenceEvaluator, the one backend with float64?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    import onnx_ir as ir

LIMIT_S = 30.0
"""For one input."""

# Measured with onnx 1.23 on one x86 core: what the evaluator does in a second. Convolutions are
# matrix products; transposed ones and pooling are loops in Python.
_MACS_PER_S = {"ConvTranspose": 2e6}
_GROUPED_MACS_PER_S = 3e7
_PLAIN_MACS_PER_S = 5e8
_ELEMENTS_PER_S = {"AveragePool": 3.5e4, "MaxPool": 2.5e5}


def check_small(path: Path, model: ir.Model) -> None:
    """Refuse a graph that would take longer than `LIMIT_S` for one input.

    Raises:
        EdgeupError: it would.
    """
    seconds = expected_seconds(model)
    if seconds > LIMIT_S:
        raise EdgeupError(
            f"--reference-precision fp64: onnx's ReferenceEvaluator would take some "
            f"{seconds:,.0f} s for one input of {path}, and {LIMIT_S:.0f} s are the limit: compare "
            f"with the PyTorch model instead (in float64 too), or at fp32"
        )


def expected_seconds(model: ir.Model) -> float:
    """For one run; nodes of unknown shape count nothing."""
    from edgeup.export.cost import node_macs
    from edgeup.export.shapes import infer_shapes

    shaped = model.clone()
    infer_shapes(shaped)
    return math.fsum(
        _pooled(node) if node.op_type in _ELEMENTS_PER_S else node_macs(node) / _speed(node)
        for node in shaped.graph.all_nodes()
    )


def _speed(node: ir.Node) -> float:
    group = node.attributes.get_int("group", 1)
    plain = _GROUPED_MACS_PER_S if group and group > 1 else _PLAIN_MACS_PER_S
    return _MACS_PER_S.get(node.op_type, plain)


def _pooled(node: ir.Node) -> float:
    shape = node.outputs[0].shape
    if shape is None or not shape.is_static():
        return 0.0
    return math.prod(shape.numpy()) / _ELEMENTS_PER_S[node.op_type]

"""A static estimate of what a small model takes on a backend, from its shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.cost import node_macs
from edgeup.export.passes.facts import attribute, is_onnx, static_shape
from edgeup.export.passes.site_cost import value_bytes

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Estimate:
    """What a backend achieves on one core or one GPU; figures are effective, not peak.

    Attributes:
        gmacs_per_s: multiply-accumulates by kind of convolution, in 1e9 per second.
        gbytes_per_s: traffic of everything that moves data.
        node_us: what a node costs however small it is, in microseconds.
        source: where the figures come from.
    """

    gmacs_per_s: dict[str, float]
    gbytes_per_s: float
    node_us: float
    source: str


def estimate_ms(model: ir.Model, efficiency: Estimate) -> float | None:
    """Milliseconds for one run; None where a shape is unknown."""
    total = 0.0
    for node in model.graph:
        sizes = [value_bytes(value) for value in (*node.inputs, *node.outputs) if value is not None]
        if any(size is None for size in sizes):
            return None
        moving = sum(size for size in sizes if size is not None) / efficiency.gbytes_per_s * 1e-6
        computing = 0.0
        if macs := node_macs(node):
            computing = macs / efficiency.gmacs_per_s[kind_of(node)] * 1e-6
        total += max(moving, computing) + efficiency.node_us * 1e-3
    return total


def kind_of(node: ir.Node) -> str:
    """``dense``, ``tiny`` (few taps), ``depthwise`` or ``transposed``: kinds differ in speed."""
    weight = static_shape(node.inputs[1])
    group = int(attribute(node, "group", 1))
    if is_onnx(node, "ConvTranspose"):
        return "depthwise-transposed" if group > 1 else "transposed"
    if not is_onnx(node, "Conv") or weight is None:
        return "dense"
    if group > 1:
        return "depthwise"
    return "tiny" if math.prod(weight[1:]) < 64 else "dense"

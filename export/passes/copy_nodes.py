"""Writes nodes once more, over other inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.facts import constant

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


def copy_nodes(
    build: Builder, nodes: Sequence[ir.Node], inputs: Mapping[ir.Value, ir.Value]
) -> dict[ir.Value, ir.Value]:
    """Copies of the nodes; constants are copied too, so that the copies stand anywhere.

    Args:
        build: receives them.
        nodes: in an order in which they can run.
        inputs: what stands for each value that is neither constant nor made by the nodes.

    Returns:
        What stands for each value now.
    """
    values = dict(inputs)
    for node in nodes:
        reads: list[ir.Value | None] = []
        for value in node.inputs:
            if value is not None and value not in values:
                held = constant(value)
                if held is None:
                    raise ValueError(f"{value.name} is neither given nor constant")
                values[value] = build.constant(held)
            reads.append(None if value is None else values[value])
        made = build.ops(
            node.op_type, reads, node.attributes, outputs=len(node.outputs), domain=node.domain
        )
        values.update(zip(node.outputs, made, strict=True))
    return values

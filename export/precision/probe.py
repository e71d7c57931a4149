"""A graph's inner values: which there are, who makes and reads them, and giving them out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.precision.operators import is_float32

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Probe:
    """A float32 value inside a graph.

    Attributes:
        value: its name.
        node: the name of the node that makes it.
        op: that node's operator.
        readers: names of the nodes that read it, those inside branches and loops left out.
        size: in bytes; None where a dimension is open.
    """

    value: str
    node: str
    op: str
    readers: tuple[str, ...]
    size: int | None


def probes(model: ir.Model) -> tuple[Probe, ...]:
    """Every float32 result of the main graph's nodes, in order; shapes are inferred already."""
    found = []
    for node in model.graph:
        for value in node.outputs:
            if is_float32(value) and value.name:
                readers = tuple(
                    use.node.name or "" for use in value.uses() if use.node.graph is model.graph
                )
                size = None
                if value.shape is not None and value.shape.is_static():
                    size = 4 * math.prod(int(dim) for dim in value.shape.numpy())
                found.append(Probe(value.name, node.name or "", node.op_type, readers, size))
    return tuple(found)


def chunks(
    found: Sequence[Probe], limit: int, unknown_size: int = 1 << 24
) -> Iterator[tuple[Probe, ...]]:
    """Consecutive probes of up to ``limit`` bytes together; a larger one stands alone."""
    chunk: list[Probe] = []
    held = 0
    for probe in found:
        size = unknown_size if probe.size is None else probe.size
        if chunk and held + size > limit:
            yield tuple(chunk)
            chunk, held = [], 0
        chunk.append(probe)
        held += size
    if chunk:
        yield tuple(chunk)


def giving_out(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """A copy whose outputs are these values of the main graph, and no others."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    work = model.clone()
    values = {value.name: value for node in work.graph for value in node.outputs}
    work.graph.outputs.clear()
    work.graph.outputs.extend(values[name] for name in names)
    RemoveUnusedNodesPass()(work)  # what stands behind the last of them need not run
    return work

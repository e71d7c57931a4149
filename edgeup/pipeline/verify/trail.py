"""Graphs as one trail: which values they share, and what is alive after each node."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from edgeup.runtime.bisect import Step, Trail

if TYPE_CHECKING:
    import onnx_ir as ir


def trail_of(models: Sequence[ir.Model], output: str | None = None) -> Trail:
    """The first model's nodes; a value can be compared that has its name and shape in all.

    `edgeup.pipeline.verify.alike` gives one name to what corresponds. Rewrites keep the names of
    the values that leave a site; the names of values inside a new form are new. Shapes are inferred
    already.

    Args:
        models: the reference and the candidate, or one alone.
        output: only the nodes that lead to this output of the graph.
    """
    reference = models[0].graph
    theirs = {v.name: v for node in models[-1].graph for v in node.outputs if v.name}
    outputs = [v for v in reference.outputs if output is None or v.name == output]
    nodes = list(reference) if output is None else _leading_to(outputs, reference)
    last = _last_uses(nodes, outputs)
    shared = {
        v for node in nodes for v in node.outputs if may_correspond(v, theirs.get(v.name or ""))
    }
    steps, cuts = [], []
    alive: dict[ir.Value, None] = {}  # a set that keeps its order
    for index, node in enumerate(nodes):
        alive |= dict.fromkeys(value for value in node.outputs if last.get(value, -1) > index)
        for value in [value for value in alive if last[value] <= index]:
            del alive[value]
        makes = tuple(value.name or "" for value in node.outputs if value in shared)
        reads = tuple(v.name or "" for v in dict.fromkeys(_read_by(node)) if v in shared)
        steps.append(Step(node.name or "", node.op_type, makes, reads))
        comparable = all(value in shared for value in alive)
        cuts.append(tuple(value.name or "" for value in alive) if comparable else None)
    sizes = {value.name or "": _size(value) for value in shared}
    return Trail(tuple(steps), tuple(cuts), sizes, len(models))


def region_of(model: ir.Model, value: str, shared: Collection[str]) -> Trail:
    """The nodes of one model that make a value out of shared ones, for a look at it alone."""
    made = {v.name: node for node in model.graph for v in node.outputs if v.name}
    inside: set[ir.Node] = set()
    waiting = [made[value]]
    while waiting:
        node = waiting.pop()
        if node not in inside:
            inside.add(node)
            names = (v.name for v in _read_by(node))
            waiting += [made[name] for name in names if name in made and name not in shared]
    whole = trail_of([model])
    steps = [s for node, s in zip(model.graph, whole.steps, strict=True) if node in inside]
    return Trail(tuple(steps), (None,) * len(steps), whole.sizes, 1)


def may_correspond(value: ir.Value, other: ir.Value | None) -> bool:
    """Whether both are tensors of one type, or floating, and of one shape where it is known."""
    import onnx_ir as ir

    if other is None or value.dtype is None or other.dtype is None:
        return False
    if not isinstance(value.type, ir.TensorType) or not isinstance(other.type, ir.TensorType):
        return False
    if value.dtype != other.dtype and not (value.dtype.is_floating_point() and
                                           other.dtype.is_floating_point()):  # fmt: skip
        return False
    known = value.shape is not None and other.shape is not None
    static = known and value.shape.is_static() and other.shape.is_static()  # type: ignore[union-attr]
    return not static or value.shape == other.shape


def _leading_to(outputs: Sequence[ir.Value], graph: ir.Graph) -> list[ir.Node]:
    """The nodes that these values are made by and out of, in the graph's order."""
    wanted = set(outputs)
    leading: list[ir.Node] = []
    for node in reversed(list(graph)):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(_read_by(node))
            leading.append(node)
    return leading[::-1]


def _last_uses(nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> dict[ir.Value, int]:
    """The number of the last node that reads a value, itself or in a graph that it holds."""
    last: dict[ir.Value, int] = {}
    for index, node in enumerate(nodes):
        for value in _read_by(node):
            last[value] = index
    for value in outputs:
        last[value] = len(nodes)
    return last


def _read_by(node: ir.Node) -> Iterator[ir.Value]:
    import onnx_ir as ir

    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs = [attribute.as_graph()]
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs = list(attribute.as_graphs())
        else:
            continue
        for graph in graphs:
            yield from graph.outputs
            for inner in graph:
                yield from _read_by(inner)


def _size(value: ir.Value) -> int | None:
    if value.shape is None or value.dtype is None or not value.shape.is_static():
        return None
    # A rounding twin holds 16-bit floats in float32.
    width = 4 if value.dtype.is_floating_point() else 0
    return math.ceil(math.prod(value.shape.numpy()) * max(value.dtype.itemsize, width))

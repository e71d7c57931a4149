"""Which nodes of a model stand behind the nodes that a runtime made of it.

The runtime runs a graph of its own:

    user's            Conv  BatchNormalization  Relu    Sigmoid  Mul
    ONNX Runtime's    [Conv, named after Relu's value]  [QuickGelu, named after Mul]

Its names (`labelled`) tell one node of each, and the operators' kinds tell the rest, by four
rules. Every node of the user's whose value is not constant ends in exactly one runtime node,
except where names give several.

1. A node whose name is spoken of stands behind the runtime node that speaks of it.
2. Where the runtime's operator is of another kind than that node (a QuickGelu named after a Mul),
   something ended there: what leads to it, up to nodes that are taken already, belongs to it.
3. A node that is not pointwise and is still free (a Pad) was taken in by what reads it.
4. A pointwise node or a move of data that is still free was taken in by what made its input, the
   last of them where it has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.labelled import nodes_named
from edgeup.export.roofline.work import POINTWISE_OPS

if TYPE_CHECKING:
    import onnx_ir as ir

MOVES = frozenset(
    (
        *("Concat", "DepthToSpace", "Flatten", "Gather", "Identity", "Reshape", "Slice"),
        *("SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    )
)
"""Operators that compute nothing."""

_SAME = {"Upsample": "Resize"}
"""The same operator by another name."""
_LAYOUTS = ("ReorderInput", "ReorderOutput", "Transpose", "MemcpyToHost", "MemcpyFromHost")
"""What a runtime puts in to change a layout; the value at its end was made by another node."""


@dataclass(frozen=True)
class RuntimeNode:
    """A node that a runtime ran, in order; ``outputs`` are the names of its values."""

    name: str
    op: str
    outputs: tuple[str, ...]


def nodes_behind(model: ir.Model, ran: Sequence[RuntimeNode]) -> list[tuple[int, ...]]:
    """The numbers of the model's nodes behind each runtime node, ascending.

    Args:
        model: as the user wrote it; what ran was made from its `labelled` copy.
        ran: in the order of execution.
    """
    return _Matching(model, ran).found()


class _Matching:
    def __init__(self, model: ir.Model, ran: Sequence[RuntimeNode]) -> None:
        self._nodes = list(model.graph)
        self._number = {id(node): number for number, node in enumerate(self._nodes)}
        self._ran = ran
        self._owner: dict[int, int] = {}
        self._behind: list[set[int]] = [set() for _ in ran]
        self._computed = set(computed_nodes(model))

    def found(self) -> list[tuple[int, ...]]:
        self._by_name()
        for place, node in enumerate(self._ran):
            for number in sorted(self._behind[place]):
                if _kind(node.op) != _kind(self._nodes[number].op_type):
                    self._take_back(number, place)
        free = [n for n in sorted(self._computed) if n not in self._owner]
        for number in reversed(free):
            if not _is_light(self._nodes[number]):
                self._take(number, self._reader(number))
        for number in free:
            if number not in self._owner:
                self._take(number, max(self._makers(number), default=self._reader(number)))
        return [tuple(sorted(numbers)) for numbers in self._behind]

    def _by_name(self) -> None:
        for place, node in enumerate(self._ran):
            for number in nodes_named(node.name):
                self._take(number, place)
        for place, node in enumerate(self._ran):
            if node.op in _LAYOUTS and not self._behind[place]:
                continue
            for number in nodes_named(" ".join(node.outputs)):
                if number not in self._owner:
                    self._take(number, place)

    def _take(self, number: int, place: int | None) -> None:
        if place is not None and number < len(self._nodes):
            self._owner.setdefault(number, place)
            self._behind[place].add(number)

    def _take_back(self, number: int, place: int) -> None:
        """Rule 2."""
        pending = [number]
        while pending:
            for before in self._producers(pending.pop()):
                if before not in self._owner:
                    self._take(before, place)
                    pending.append(before)

    def _reader(self, number: int) -> int | None:
        """The runtime node behind the nearest reader that has one."""
        pending, seen = [number], {number}
        for current in pending:
            for reader in self._readers(current):
                if reader in self._owner:
                    return self._owner[reader]
                if reader not in seen:
                    seen.add(reader)
                    pending.append(reader)
        return None

    def _makers(self, number: int) -> list[int]:
        return [self._owner[n] for n in self._producers(number) if n in self._owner]

    def _producers(self, number: int) -> Iterator[int]:
        for value in self._nodes[number].inputs:
            producer = None if value is None else value.producer()
            if producer is not None and self._number.get(id(producer), -1) in self._computed:
                yield self._number[id(producer)]

    def _readers(self, number: int) -> Iterator[int]:
        for value in self._nodes[number].outputs:
            for usage in value.uses():
                if self._number.get(id(usage.node), -1) in self._computed:
                    yield self._number[id(usage.node)]


def computed_nodes(model: ir.Model) -> Iterator[int]:
    """Numbers of the nodes that read, directly or not, what is fed; the rest is constant."""
    fed = {v for v in model.graph.inputs if v.name not in model.graph.initializers}
    for number, node in enumerate(model.graph):
        bodies = any(a.type.name in ("GRAPH", "GRAPHS") for a in node.attributes.values())
        if bodies or any(value in fed for value in node.inputs if value is not None):
            fed.update(node.outputs)
            yield number


def _is_light(node: ir.Node) -> bool:
    return node.op_type in POINTWISE_OPS or node.op_type in MOVES


def _kind(op: str) -> str:
    plain = op.removeprefix("Fused")
    return _SAME.get(plain, plain)

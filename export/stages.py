"""A graph as the stages of its encoder and decoder: spans of nodes between changes of spatial size.

    image 3x64x64 -> Conv /2 -> Relu -> Conv /2 -> Conv ------------> Resize x2 -> Add -> Conv
                     encoder 32x32      encoder 16x16                 decoder 32x32

A stage is entered where a map gets larger or smaller. Branches that come to one size on the same
way down or up are one stage; a map pooled to a point (a gate, as in squeeze-and-excitation) stays
in the stage that it was pooled from. Nodes that a rewrite wrote for one site stay together, in
the stage of the site's result: a sub-pixel convolution computes below the size that it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeup.export.cost import node_macs

if TYPE_CHECKING:
    import onnx_ir as ir

_RESIZED = 1.2
"""A node that changes both sizes by less than this pads or crops (a valid 3x3 convolution)."""

_BY_A_REWRITE = "~"
"""Stands behind the name of the node that a site ends with (`edgeup.export.passes.driver`)."""


@dataclass(frozen=True)
class _Key:
    """Which stage: how often the way has turned between down and up, and the size entered with."""

    turns: int
    height: int
    width: int


@dataclass(frozen=True)
class _Place:
    """Where a value is: its stage, the size that it has there, and its channels."""

    key: _Key
    height: int
    width: int


@dataclass
class Stage:
    """Nodes at one spatial size, in the graph's order.

    Attributes:
        side: "encoder" on a way down (and before any change), "decoder" on a way up.
        height: of the last map that it makes.
        width: the same.
        channels: the same; None where no node makes a map of a known number.
        nodes: the graph's own.
    """

    side: str
    height: int
    width: int
    channels: int | None = None
    nodes: list[ir.Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        """``decoder 28x28``: two hourglasses in a row have two stages of one name."""
        return f"{self.side} {self.height}x{self.width}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all nodes whose shapes are known."""
        return sum(node_macs(node) for node in self.nodes)


def stages_of(model: ir.Model) -> list[Stage]:
    """The stages in the order in which data reaches them; none where no size is a number.

    Nodes that follow from constants alone are in no stage.

    Args:
        model: its shapes are inferred already; not changed.
    """
    places: dict[ir.Value, _Place] = {}
    for value in model.graph.inputs:
        size = _size(value)
        if size is not None:
            places[value] = _Place(_Key(0, *size), *size)
    keys: dict[ir.Node, _Key] = {}
    for node in model.graph:
        before = [places[v] for v in node.inputs if v is not None and v in places]
        for output in node.outputs if before else ():
            places[output] = _placed(output, before)
            keys[node] = places[output].key
    _keep_sites_together(keys)
    return _collected(keys)


def root_of(name: str) -> str:
    """The name before any rewrite: ``Conv_3~fuse-upsample-conv/Conv_2`` is of Conv_3."""
    return name.split(_BY_A_REWRITE)[0]


def _size(value: ir.Value) -> tuple[int, int] | None:
    """Height and width of ``n c h w``, where they are numbers."""
    if value.shape is None or len(value.shape) != 4:
        return None
    height, width = value.shape[2], value.shape[3]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _placed(output: ir.Value, before: Sequence[_Place]) -> _Place:
    """A map joins what has its size already, or enters a stage from the furthest that it reads."""
    size = _size(output)
    furthest = max(before, key=lambda place: (place.key.turns, place.height * place.width))
    if size is None or (size == (1, 1) and furthest.height * furthest.width > 1):
        return furthest
    same = [place for place in before if _step(place, size) == 0]
    if same:
        return _Place(max((place.key for place in same), key=lambda key: key.turns), *size)
    up = _step(furthest, size) > 0
    turns = furthest.key.turns
    turned = up != (turns % 2 == 1)
    return _Place(_Key(turns + turned, *size), *size)


def _step(place: _Place, size: tuple[int, int]) -> int:
    """1 where the size is larger than the place's, -1 where it is smaller, 0 where the same."""
    growth = max(size[0] / max(place.height, 1), size[1] / max(place.width, 1))
    shrinkage = max(place.height / max(size[0], 1), place.width / max(size[1], 1))
    if max(growth, shrinkage) < _RESIZED:
        return 0
    return 1 if growth >= shrinkage else -1


def _keep_sites_together(keys: dict[ir.Node, _Key]) -> None:
    """All nodes that stand for one site are where its last node is."""
    last = {root_of(node.name or ""): key for node, key in keys.items() if _is_written(node)}
    for node in keys:
        if _is_written(node):
            keys[node] = last[root_of(node.name or "")]


def _is_written(node: ir.Node) -> bool:
    return _BY_A_REWRITE in (node.name or "")


def _collected(keys: dict[ir.Node, _Key]) -> list[Stage]:
    stages: dict[_Key, Stage] = {}
    for node, key in keys.items():
        if key not in stages:
            side = "decoder" if key.turns % 2 else "encoder"
            stages[key] = Stage(side, key.height, key.width)
        stages[key].nodes.append(node)
    for key, stage in stages.items():
        _measure(stage, key)
    return [stages[key] for key in _ordered(stages)]


def _measure(stage: Stage, key: _Key) -> None:
    """Size and channels of the stage's last map that is about as large as the stage."""
    place = _Place(key, key.height, key.width)
    for node in reversed(stage.nodes):
        for output in node.outputs:
            size = _size(output)
            if size is not None and output.shape is not None and _step(place, size) == 0:
                channels = output.shape[1]
                stage.height, stage.width = size
                stage.channels = channels if isinstance(channels, int) else None
                return


def _ordered(keys: Iterable[_Key]) -> list[_Key]:
    """As they were reached, ways in order: a skip from above may be computed late."""
    return sorted(keys, key=lambda key: key.turns)

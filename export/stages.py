"""A graph as the stages of its encoder and decoder: spans of nodes between changes of spatial size.

    image 3x64x64 -> Conv /2 -> Relu -> Conv /2 -> Conv ------------> Resize x2 -> Add -> Conv
                     encoder 32x32      lowest 16x16                  decoder 32x32

The lowest may hold the encoder's last nodes and the decoder's first, which sizes do not tell
apart. Where the file says (`edgeup.export.encoder_end`), they are two stages, of those names.
A stage is entered where a map is resampled; padding and cropping (a valid convolution, a skip that
is cut to size) leave it in its stage. Branches that come to one size on the same
way down or up are one stage; a map pooled to a point (a gate, as in squeeze-and-excitation) stays
in the stage that it was pooled from. Nodes that a rewrite wrote for one site stay together, in
the stage of the site's result: a sub-pixel convolution computes below the size that it makes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgeup.export.cost import node_macs
from edgeup.export.encoder_end import ENCODER_END_KEY
from edgeup.export.passes.facts import constant, input_of, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

_RESIZED = 1.2
"""A node that changes both sizes by less than this brings maps of odd sizes together."""

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")

_BY_A_REWRITE = "~"
"""Stands behind the name of the node that a site ends with (`edgeup.export.passes.driver`)."""


@dataclass(frozen=True)
class _Key:
    """Which stage: how often the way has turned between down and up, and the size entered with.

    ``again`` counts stages in a row of one size: cropped in between (a small valid U-Net).
    """

    turns: int
    height: int
    width: int
    again: int = 0


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
        side: "encoder" on a way down (and where no way up follows), "decoder" on a way up,
            "lowest" between the two.
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
            places[output] = _placed(output, before, _pads_or_crops(node))
            keys[node] = places[output].key
    # In the order in which data reaches them, before nodes are moved: what a rewrite prepares for
    # the decoder may stand beside the encoder (the indices of a pooling).
    order = sorted(dict.fromkeys(keys.values()), key=lambda key: key.turns)
    lowest = _lowest(order)
    ends = [n for n in keys if root_of(n.name or "") == model.metadata_props.get(ENCODER_END_KEY)]
    if ends and (key := keys[ends[-1]]) in lowest:
        lowest.remove(key)
        order.insert(order.index(key) + 1, _on_the_way_up(key))
        keys |= {node: _on_the_way_up(key) for node in _behind(ends, keys)}
    return _collected(_sites_together(keys), order, lowest)


def root_of(name: str) -> str:
    """The name before any rewrite: ``Conv_3~fuse-upsample-conv/Conv_2`` is of Conv_3."""
    return name.split(_BY_A_REWRITE)[0]


def _size(value: ir.Value) -> tuple[int, int] | None:
    """Height and width of ``n c h w``, where they are numbers."""
    if value.shape is None or len(value.shape) != 4:
        return None
    height, width = value.shape[2], value.shape[3]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _pads_or_crops(node: ir.Node) -> bool:
    """Whether it looks at every pixel, so that a change of size is one at the border."""
    if is_onnx(node, *_WINDOWS):
        strides = node.attributes.get_ints("strides", ())
        return all(stride == 1 for stride in strides)
    if is_onnx(node, "Slice"):
        steps = input_of(node, 4)
        known = None if steps is None else constant(steps)
        return steps is None or (known is not None and bool((abs(known) == 1).all()))
    return is_onnx(node, "Pad")


def _placed(output: ir.Value, before: Sequence[_Place], stays: bool) -> _Place:
    """A map joins what has its size already, or enters a stage from the furthest that it reads."""
    size = _size(output)
    furthest = max(before, key=lambda place: (place.key.turns, place.height * place.width))
    if size is None or (size == (1, 1) and furthest.height * furthest.width > 1):
        return furthest
    if stays:
        return _Place(furthest.key, *size)
    same = [place for place in before if _step(place, size) == 0]
    if same:
        return _Place(max((place.key for place in same), key=lambda key: key.turns), *size)
    up = _step(furthest, size) > 0
    turns = furthest.key.turns
    turned = up != (turns % 2 == 1)
    key = _Key(turns + turned, *size)
    if key == replace(furthest.key, again=0):
        key = replace(key, again=furthest.key.again + 1)
    return _Place(key, *size)


def _step(place: _Place, size: tuple[int, int]) -> int:
    """1 where the size is larger than the place's, -1 where it is smaller, 0 where the same."""
    growth = max(size[0] / max(place.height, 1), size[1] / max(place.width, 1))
    shrinkage = max(place.height / max(size[0], 1), place.width / max(size[1], 1))
    if max(growth, shrinkage) < _RESIZED:
        return 0
    return 1 if growth >= shrinkage else -1


def _lowest(order: Sequence[_Key]) -> set[_Key]:
    """The last stage of every way down that is followed by a way up."""
    ways = {key.turns for key in order}
    return {
        min(
            (key for key in reversed(order) if key.turns == turns), key=lambda k: k.height * k.width
        )
        for turns in ways
        if turns % 2 == 0 and turns + 1 in ways
    }


def _on_the_way_up(key: _Key) -> _Key:
    return replace(key, turns=key.turns + 1)


def _behind(ends: Sequence[ir.Node], keys: Mapping[ir.Node, _Key]) -> set[ir.Node]:
    """The nodes of one stage that follow from the nodes it is parted at."""
    found: set[ir.Node] = set()
    for node, key in keys.items():
        sources = {value.producer() for value in node.inputs if value is not None}
        if key == keys[ends[-1]] and node not in ends and not sources.isdisjoint({*ends, *found}):
            found.add(node)
    return found


def _sites_together(keys: Mapping[ir.Node, _Key]) -> dict[ir.Node, _Key]:
    """All nodes that stand for one site are where its last node is."""
    last = {root_of(node.name or ""): key for node, key in keys.items() if _is_written(node)}
    return {
        node: last[root_of(node.name or "")] if _is_written(node) else key
        for node, key in keys.items()
    }


def _is_written(node: ir.Node) -> bool:
    return _BY_A_REWRITE in (node.name or "")


def _collected(
    keys: Mapping[ir.Node, _Key], order: Iterable[_Key], lowest: Collection[_Key]
) -> list[Stage]:
    stages: dict[_Key, Stage] = {}
    for node, key in keys.items():
        if key not in stages:
            side = "decoder" if key.turns % 2 else "lowest" if key in lowest else "encoder"
            stages[key] = Stage(side, key.height, key.width)
        stages[key].nodes.append(node)
    for key, stage in stages.items():
        _measure(stage, key)
    return [stages[key] for key in order if key in stages]


def _measure(stage: Stage, key: _Key) -> None:
    """Size and channels of the stage's last map; a gate and what is cut out for a skip are none."""
    gates = () if (key.height, key.width) == (1, 1) else ((1, 1),)
    for node in reversed(stage.nodes):
        for output in () if is_onnx(node, "Slice", "Pad") else node.outputs:
            size = _size(output)
            if size is not None and output.shape is not None and size not in gates:
                channels = output.shape[1]
                stage.height, stage.width = size
                stage.channels = channels if isinstance(channels, int) else None
                return

"""A chain of nearest resizes by whole factors is one resize by their product.

::

    x -> Resize(nearest, a) -> Resize(nearest, b) -> y   becomes   x -> Resize(nearest, a b) -> y

1. Both take output q from input q // factor, whatever rule of places and rounding says so; and
   (q // b) // a = q // (a b).
2. The map between them has no other reader, otherwise nothing is saved.
3. Refused: a resize of the chain that shrinks, or whose factor is not whole: then the merged
   map would need places of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import opset_of, sole_user
from edgeup.export.passes.resampling import (
    Resampling,
    is_resize,
    read_resampling,
    write_nearest,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class MergeResizes:
    """Merges two nearest resizes; longer chains follow, since the merged one is looked at again."""

    name = "merge-resizes"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rules 1 to 3 of the module."""
        if not is_resize(node):
            return None
        between = node.inputs[0]
        first = None if between is None else between.producer()
        if between is None or first is None or not is_resize(first):
            return None
        chain = read_resampling(first), read_resampling(node)
        factors: list[tuple[int, ...]] = []
        for one in chain:
            if isinstance(one, Refusal):
                return one
            whole = one.whole_factors
            if whole is None:
                return Refusal(one.node.name or "", _not_whole(one))
            factors.append(whole)
        if first.graph is not node.graph:
            return Refusal(node.name or "", f"{between.name} is resized outside of its subgraph")
        if sole_user(between) is None:
            return Refusal(node.name or "", f"{between.name}, between the two, is read elsewhere")
        product = tuple(a * b for a, b in zip(*factors, strict=True))
        source, opset = first.inputs[0], opset_of(node, aim)
        if source is None:
            return None

        def build(builder: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
            return [write_nearest(builder, inputs[0], product, opset)]

        return Plan(
            nodes=(first, node),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=(Candidate("one resize", build),),
            why=f"nearest resizes by {list(factors[0])} and {list(factors[1])}",
            simpler=True,
        )


def _not_whole(one: Resampling) -> str:
    by = ", ".join(str(factor) for factor in one.factors)
    return f"{one.mode} resize by {by}: only nearest ones by whole factors, q // factor, merge"

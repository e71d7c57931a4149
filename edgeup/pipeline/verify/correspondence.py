"""Which values of two graphs correspond where names do not tell: by structure.

What does the same with the same is the same, whatever it is called: from the inputs forward, nodes
of one class that read values which correspond, told apart by their weights; from the outputs
backward, what nodes read that do the same and make values which correspond. A correspondence by
name stands, unless what is read contradicts it; in doubt there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from edgeup.pipeline.verify.trail import may_correspond
from edgeup.pipeline.verify.units import (
    Unit,
    foldable_behind,
    identical,
    readers,
    root_of,
    units_of,
)

if TYPE_CHECKING:
    import onnx_ir as ir

_NEW_FORM = "~"
"""In the names of nodes that `edgeup.export` puts in another's place: all that it makes has the
name that the reference has, or no counterpart."""


def corresponding(reference: ir.Graph, candidate: ir.Graph) -> dict[ir.Value, ir.Value]:
    """The candidate's value for each of the reference's that has one, inputs included."""
    matching = _Matching(reference, candidate)
    matching.settle()
    while matching.forward() or matching.backward():
        pass
    return matching.pairs


class _Matching:
    """Values are paired one to one; a pair is never taken back."""

    def __init__(self, reference: ir.Graph, candidate: ir.Graph) -> None:
        self.pairs: dict[ir.Value, ir.Value] = {}
        self._taken: dict[ir.Value, ir.Value] = {}  # the pairs turned round
        for value, other in by_name_or_order(reference.inputs, candidate.inputs):
            self.pairs[value], self._taken[other] = other, value
        made = {v.name: v for node in candidate for v in node.outputs if v.name}
        for node in reference:
            for value in node.outputs:
                if value.name in made:
                    self._pair(value, made[value.name])
        for value, other in by_name_or_order(reference.outputs, candidate.outputs):
            if value.producer() is not None and other.producer() is not None:
                self._pair(value, other)
        self._ours = [u for u in units_of(reference) if u.makes]
        theirs = [u for u in units_of(candidate) if _NEW_FORM not in (u.node.name or "")]
        self._groups = _grouped(self._ours)
        self._their_groups = _grouped(theirs)
        self._makers = {u.makes[0]: u for u in self._ours if u.single}
        self._their_makers = {u.makes[0]: u for u in theirs if u.single and u.makes}

    def settle(self) -> None:
        """Names that exporters count up (relu, relu_1) move on where one is left out: then another
        node of the same class reads what corresponds, and that of the name something else.
        """
        for unit in self._ours:
            claims = [u for u in self._their_groups.get(self._wanted(unit), ()) if u.single]
            if not (unit.single and unit.reads and len(claims) == 1):
                continue
            if _fits(unit, claims[0]):
                self._claim(unit.makes[0], claims[0].makes[0])
            else:
                self._see_through_folding(unit, claims[0])

    def _see_through_folding(self, unit: Unit, other: Unit) -> None:
        """A convolution that took over the normalisation behind it makes what that makes, though
        it may still be called after the convolution.
        """
        ends = [(behind, other) for behind in foldable_behind(unit)]
        ends += [(unit, behind) for behind in foldable_behind(other)]
        for end, its in ends:
            value, made = end.makes[0], its.makes[0]
            if readers(end) != readers(its) or not may_correspond(value, made):
                continue
            if self.pairs.get(unit.makes[0]) is other.makes[0]:
                self._unpair(unit.makes[0])
            self._pair(value, made)
            return

    def _claim(self, value: ir.Value, other: ir.Value) -> None:
        holder = self._taken.get(other)
        held = [one for one in (value, holder) if one is not None and one in self.pairs]
        if holder is not value and held and all(self._is_contradicted(one) for one in held):
            for one in held:
                self._unpair(one)
            self._pair(value, other)

    def _unpair(self, value: ir.Value) -> None:
        del self._taken[self.pairs.pop(value)]

    def _is_contradicted(self, value: ir.Value) -> bool:
        """Whether all that is read corresponds, but not to what the pair reads."""
        unit, other = self._makers.get(value), self.pairs[value]
        maker = self._their_makers.get(other)
        if unit is None or maker is None or maker.sort != unit.sort:
            return False
        if value.is_graph_output() or other.is_graph_output():
            return False
        reads = [root_of(read) for read in maker.reads]
        known = all(read in self._taken for read in reads)
        return known and self._wanted(unit) not in (None, _key(maker, reads))

    def _wanted(self, unit: Unit) -> Hashable:
        """The key of the group that corresponds; None where that is not known."""
        images = [image for read in unit.reads if (image := self._image(read)) is not None]
        return _key(unit, images) if len(images) == len(unit.reads) else None

    def forward(self) -> bool:
        """From what corresponds already to what is made of it, in the graph's order."""
        before = len(self.pairs)
        for group in self._groups.values():
            ours = [unit for unit in group if not any(v in self.pairs for v in unit.makes)]
            key = self._wanted(group[0]) if ours else None
            theirs = [
                unit
                for unit in self._their_groups.get(key, ())
                if not any(v in self._taken for v in unit.makes)
            ]
            self._pair_group(ours, theirs)
        return len(self.pairs) > before

    def backward(self) -> bool:
        """From what corresponds to what it is made of, where the same is done with it."""
        before = len(self.pairs)
        waiting = list(self.pairs)
        while waiting:
            value = waiting.pop()
            unit, other = self._makers.get(value), self._their_makers.get(self.pairs[value])
            if unit is not None and all(v in self.pairs for v in unit.reads):
                continue
            if unit is not None and other is not None and identical(unit, other):
                waiting += [a for a, b in self._read_alike(unit, other) if self._pair(a, b)]
        return len(self.pairs) > before

    def _pair_group(self, ours: list[Unit], theirs: list[Unit]) -> None:
        """Of one class, on the same values: those that do the same; then what is left over, if it
        is one on each side and the same follows it.
        """
        left = ours
        for strict in (True, False):  # of twins, those go together whose readers do the same
            waiting, left = left, []
            for unit in waiting:
                twins = (other for other in theirs if identical(unit, other))
                same = next((t for t in twins if not strict or readers(t) == readers(unit)), None)
                if same is None:
                    left.append(unit)
                else:
                    theirs.remove(same)
                    self._pair_units(unit, same)
        if len(left) == len(theirs) == 1 and left[0].reads and _fits(left[0], theirs[0]):
            self._pair_units(left[0], theirs[0])

    def _pair_units(self, unit: Unit, other: Unit) -> None:
        for value, its in zip(unit.makes, other.makes, strict=False):
            self._pair(value, its)

    def _pair(self, value: ir.Value, other: ir.Value) -> bool:
        if value in self.pairs or other in self._taken or not may_correspond(value, other):
            return False
        self.pairs[value], self._taken[other] = other, value
        return True

    def _read_alike(self, unit: Unit, other: Unit) -> list[tuple[ir.Value, ir.Value]]:
        """What both read, side by side, as far as it is not paired and made by a node."""
        reads, others = dict.fromkeys(unit.reads), dict.fromkeys(other.reads)
        ours = [v for v in reads if v not in self.pairs and v.producer() is not None]
        theirs = [v for v in others if v not in self._taken and v.producer() is not None]
        if not unit.unordered:
            places = zip(unit.reads, other.reads, strict=True)
            return [(a, b) for a, b in places if a in ours and b in theirs]
        sorts = [[self._sort_of(v) for v in values] for values in (ours, theirs)]
        found = [
            (value, theirs[sorts[1].index(sort)])
            for value, sort in zip(ours, sorts[0], strict=True)
            if sorts[0].count(sort) == sorts[1].count(sort) == 1
        ]
        rest = [[v for v in vs if all(v not in pair for pair in found)] for vs in (ours, theirs)]
        return [*found, *zip(*rest, strict=True)] if len(rest[0]) == len(rest[1]) == 1 else found

    def _sort_of(self, value: ir.Value) -> str:
        unit = self._makers.get(value) or self._their_makers.get(value)
        return "" if unit is None else unit.sort

    def _image(self, value: ir.Value) -> ir.Value | None:
        for one in (value, root_of(value)):
            if one in self.pairs:
                return root_of(self.pairs[one])
        return None


def _fits(unit: Unit, other: Unit) -> bool:
    """Of one class: whether it does the same, or the same follows it."""
    return identical(unit, other) or readers(unit) == readers(other)


def by_name_or_order(
    ours: Sequence[ir.Value], theirs: Sequence[ir.Value]
) -> list[tuple[ir.Value, ir.Value]]:
    """Inputs or outputs: by name; what is left in order, if all of it fits."""
    own = {value.name: value for value in theirs}
    pairs = [(value, own[value.name]) for value in ours if value.name in own]
    names = {value.name for value in ours}
    left = [value for value in ours if value.name not in own]
    rest = [value for value in theirs if value.name not in names]
    ordered = list(zip(left, rest, strict=False))
    if len(left) == len(rest) and all(may_correspond(a, b) for a, b in ordered):
        pairs += ordered
    return pairs


def _grouped(units: Iterable[Unit]) -> dict[Hashable, list[Unit]]:
    groups: dict[Hashable, list[Unit]] = defaultdict(list)
    for unit in units:
        groups[_key(unit, [root_of(value) for value in unit.reads])].append(unit)
    return groups


def _key(unit: Unit, reads: Sequence[ir.Value]) -> Hashable:
    return unit.sort, tuple(sorted(map(id, reads)) if unit.unordered else map(id, reads))

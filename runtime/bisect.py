"""Finds the first node of a graph where something holds, with few runs and bounded memory.

A cut after node i is the set of values that later nodes read. Where nothing is wrong at a cut,
all that follows starts from right values, so the fault lies behind it; where something is, the
fault lies before. Halving over the cuts takes log2(n) of them in any graph, a chain or not, and
ends at a node that gets right values and makes a wrong one. A cut is compared a few values at a
time. Cuts through which a value runs that cannot be compared are left out; between two of the
others, nodes are looked at one after the other.

Each run starts at the inputs, not at the last right cut: then nothing need be kept from one run to
the next, and what is held stays one batch of values, however deep the network is or wide the cut.
It costs log2(n) runs of up to the whole network, where runs from cut to cut would cost two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.spec import Array, Tolerance

DEFAULT_BUDGET = 1_000_000_000
"""Bytes of inner values held at once."""

_BLOCK = 1 << 18
"""Elements compared at once: the copies in float64 stay small."""

Sides: TypeAlias = "tuple[Array, ...]"
"""One value as each model computes it: the reference, the candidate; or the candidate alone."""

Fetch: TypeAlias = "Callable[[Sequence[str]], Sequence[Mapping[str, Array]]]"
"""Runs each model up to these values, and gives them."""


@dataclass(frozen=True)
class Step:
    """A node, with the values that it makes and reads and that can be compared."""

    node: str
    op: str
    makes: tuple[str, ...]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trail:
    """A graph in topological order.

    Attributes:
        steps: its nodes.
        cuts: per node the values that are alive after it; None where one cannot be compared.
            The last holds the graph's outputs.
        sizes: bytes of one side of a value; None where it is not known.
        sides: how many models run.
    """

    steps: tuple[Step, ...]
    cuts: tuple[tuple[str, ...] | None, ...]
    sizes: Mapping[str, int | None]
    sides: int = 2


@dataclass(frozen=True)
class Found:
    """The first node where it holds.

    Attributes:
        step: the node.
        value: which of its outputs.
        among: the nodes between the last cut where nothing is wrong and this node.
        runs: runs of each model.
        peak_bytes: most bytes of inner values that were held at once, of all models together.
    """

    step: Step
    value: str
    among: tuple[str, ...]
    runs: int
    peak_bytes: int


def first_where(
    trail: Trail, fetch: Fetch, holds: Callable[[Sides], bool], budget: int = DEFAULT_BUDGET
) -> Found | None:
    """The first node that makes a value for which ``holds`` from values for which it does not.

    Differences that vanish again on the way are passed over; None where no output is wrong.

    Args:
        trail: the graph; its last cut can be compared.
        fetch: is given names that fit into the budget together.
        holds: judges one value; its arrays are dropped right after.
        budget: bytes that may be held at once.

    Raises:
        EdgeupError: one value alone does not fit into the budget; a model does not run.
    """
    probe = _Probe(trail, fetch, holds, budget)
    cuts = [i for i, values in enumerate(trail.cuts) if values is not None]
    if not cuts or not probe.any_of(trail.cuts[cuts[-1]] or ()):
        return None
    right, wrong = -1, len(cuts) - 1
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if probe.any_of(trail.cuts[cuts[middle]] or ()):
            wrong = middle
        else:
            right = middle
    start = cuts[right] + 1 if right >= 0 else 0
    return probe.first_in(start, cuts[wrong] + 1)


def first_made(
    trail: Trail, fetch: Fetch, holds: Callable[[Sides], bool], budget: int = DEFAULT_BUDGET
) -> Found | None:
    """The first node that makes a value for which ``holds`` and reads none, whatever comes out.

    Nodes are looked at in order, as many at a time as fit into the budget: where a fault vanishes
    again on the way, no cut behind it tells. Arguments and errors are those of `first_where`.
    """
    return _Probe(trail, fetch, holds, budget).first_made()


class _Probe:
    """Judges values, each at most once, as many together as fit into the budget."""

    def __init__(
        self, trail: Trail, fetch: Fetch, holds: Callable[[Sides], bool], budget: int
    ) -> None:
        self._trail, self._fetch, self._holds, self._budget = trail, fetch, holds, budget
        self._known: dict[str, bool] = {}
        self._runs, self._peak = 0, 0

    def any_of(self, names: Sequence[str]) -> bool:
        """Whether it holds for any; the rest is not looked at then."""
        if any(self._known.get(name) for name in names):
            return True
        for batch in self._batches([name for name in names if name not in self._known]):
            if self._judge(batch):
                return True
        return False

    def first_in(self, start: int, stop: int) -> Found | None:
        """The first step of a stretch for whose values it holds."""
        steps = self._trail.steps[start:stop]
        unknown = [n for step in steps for n in step.makes if n not in self._known]
        for batch in self._batches(unknown):
            if self._judge(batch):
                break
        for number, step in enumerate(steps):
            for name in step.makes:
                if self._known.get(name):
                    among = tuple(one.node for one in steps[: number + 1])
                    return Found(step, name, among, self._runs, self._peak)
        return None

    def first_made(self) -> Found | None:
        """The first step of all that makes a value for which it holds of others."""
        steps = self._trail.steps
        names = dict.fromkeys(name for step in steps for name in (*step.reads, *step.makes))
        number, good = 0, 0  # the step to look at; the first behind the last cut
        for batch in self._batches(list(names)):
            self._judge(batch)
            while number < len(steps) and self._knows(steps[number]):
                step = steps[number]
                made = [name for name in step.makes if self._known[name]]
                if made and not any(self._known[name] for name in step.reads):
                    among = tuple(one.node for one in steps[good : number + 1])
                    return Found(step, made[0], among, self._runs, self._peak)
                if self._trail.cuts[number] is not None:
                    good = number + 1
                number += 1
        return None

    def _knows(self, step: Step) -> bool:
        return all(name in self._known for name in (*step.reads, *step.makes))

    def _judge(self, batch: Sequence[str]) -> bool:
        self._runs += 1
        given = self._fetch(batch)
        held = sum(array.nbytes for side in given for array in side.values())
        self._peak = max(self._peak, held)
        for name in batch:
            self._known[name] = self._holds(tuple(side[name] for side in given))
        return any(self._known[name] for name in batch)

    def _batches(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Values that fit into the budget together; one of unknown size goes alone."""
        batch: list[str] = []
        held = 0
        for name in names:
            size = self._trail.sizes[name]
            bytes_ = self._budget if size is None else size * self._trail.sides
            if bytes_ > self._budget:
                raise EdgeupError(
                    f"value {name} takes {bytes_:,} bytes on both sides, more than the "
                    f"{self._budget:,} that were given; raise --bisect-memory"
                )
            if batch and held + bytes_ > self._budget:
                yield batch
                batch, held = [], 0
            batch.append(name)
            held += bytes_
        if batch:
            yield batch


def differs(tolerance: Tolerance) -> Callable[[Sides], bool]:
    """Judges a value of the reference and the candidate as `edgeup.runtime.parity` does.

    Floats are compared across precisions; a NaN equals a NaN; integers and booleans are equal or
    not; another shape is a difference.
    """

    def judge(sides: Sides) -> bool:
        reference, candidate = sides
        if reference.shape != candidate.shape:
            return True
        if reference.dtype.kind != "f":
            return not np.array_equal(reference, candidate)
        atol = tolerance.atol + tolerance.atol_of_peak * peak_of(reference)
        return any(
            _is_outside(r.astype(np.float64), c.astype(np.float64), atol, tolerance.rtol)
            for r, c in _blocks(reference, candidate)
        )

    return judge


def becomes_nonfinite(sides: Sides) -> bool:
    """Whether the last side is NaN or infinite where the first is not, or is the only one."""
    first, last = sides[0], sides[-1]
    if last.dtype.kind != "f" or first.shape != last.shape:
        return False
    alone = len(sides) == 1
    return any(
        bool((~np.isfinite(c) & (alone | np.isfinite(r))).any()) for r, c in _blocks(first, last)
    )


def error_of_peak(reference: Array, candidate: Array) -> float:
    """The largest difference as a share of the reference's peak; infinite where one is NaN."""
    if reference.shape != candidate.shape:
        return float("inf")
    largest = 0.0
    with np.errstate(invalid="ignore"):
        for r, c in _blocks(reference, candidate):
            away = np.abs(c.astype(np.float64) - r.astype(np.float64))[c != r]
            largest = max(largest, float(np.where(np.isnan(away), np.inf, away).max(initial=0.0)))
    return largest / (peak_of(reference) or 1.0)


def _is_outside(r: Array, c: Array, atol: float, rtol: float) -> bool:
    with np.errstate(invalid="ignore"):
        near = np.abs(c - r) <= atol + rtol * np.abs(r)
    near &= np.isfinite(r) & np.isfinite(c)
    return not bool((near | (r == c) | (np.isnan(r) & np.isnan(c))).all())


def peak_of(array: Array) -> float:
    """The largest finite magnitude."""
    largest = 0.0
    for block, _ in _blocks(array, array):
        finite = np.abs(block[np.isfinite(block)])
        largest = max(largest, float(finite.max(initial=0)))
    return largest


def _blocks(first: Array, second: Array) -> Iterator[tuple[Array, Array]]:
    a, b = first.reshape(-1), second.reshape(-1)
    for start in range(0, a.size, _BLOCK):
        yield a[start : start + _BLOCK], b[start : start + _BLOCK]

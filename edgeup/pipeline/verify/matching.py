"""Two sides that call the same things by other names, or hold them in other types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.spec import Array, Feeds, Outputs, TensorSpec

_FLOATS = {"float16", "float32", "float64"}


@dataclass(frozen=True)
class Renaming:
    """``names``: the reference's names by the candidate's, where they differ; ``notes`` say it."""

    names: Mapping[str, str]
    notes: tuple[str, ...]

    def apply(self, outputs: Outputs) -> Outputs:
        """The outputs under the reference's names."""
        return {self.names.get(name, name): array for name, array in outputs.items()}


def match_outputs(reference: Outputs, candidate: Outputs) -> Renaming:
    """Match by name; what is left, in order, as long as shapes are the same.

    What still finds no partner keeps its name, and the comparison says that it is missing.
    """
    wanted = [name for name in reference if name not in candidate]
    left = [name for name in candidate if name not in reference]
    shapes = [reference[name].shape for name in wanted]
    if not left or shapes != [candidate[name].shape for name in left]:
        return Renaming({}, ())
    names = dict(zip(left, wanted, strict=True))
    notes = tuple(
        f"the candidate's output {got} was compared with {want}: no name fits, their order does"
        for got, want in names.items()
    )
    return Renaming(names, notes)


def in_one_type(reference: Outputs, candidate: Outputs) -> tuple[Outputs, Outputs, list[str]]:
    """Both sides' numbers in the wider of their types, where both are floating or both integers.

    Widening changes no value. A note per output says it.
    """
    wide_r, wide_c, notes = dict(reference), dict(candidate), []
    for name in reference:
        if name not in candidate:
            continue
        a, b = reference[name].dtype, candidate[name].dtype
        alike = a.kind == b.kind or {a.kind, b.kind} == {"i", "u"}
        if a == b or not alike or a.kind not in "fiu":
            continue
        common = np.result_type(a, b)
        wide_r[name], wide_c[name] = reference[name].astype(common), candidate[name].astype(common)
        notes.append(f"{name} is {a.name} in the reference and {b.name} in the candidate")
    return wide_r, wide_c, notes


def fed_as(
    own: Sequence[TensorSpec], given: Sequence[TensorSpec]
) -> tuple[Callable[[Feeds], Feeds], list[str]]:
    """A function from feeds for ``given`` inputs to feeds for ``own``, and notes on what it does.

    Inputs are matched as outputs are. Floating types are converted; of others, the candidate
    says itself what does not fit.

    Raises:
        EdgeupError: the inputs do not correspond, or one has its axes in another order.
    """
    names = {spec.name for spec in given}
    left = [spec for spec in given if spec.name not in {mine.name for mine in own}]
    sources = {mine.name: mine.name for mine in own if mine.name in names}
    unmatched = [mine for mine in own if mine.name not in sources]
    fits = len(left) == len(unmatched) and all(
        len(a.shape) == len(b.shape) for a, b in zip(left, unmatched, strict=False)
    )
    if not fits:
        raise EdgeupError(
            f"the two sides take other inputs: {', '.join(map(str, given))} and "
            f"{', '.join(map(str, own))}"
        )
    notes = []
    for mine, other in zip(unmatched, left, strict=True):
        sources[mine.name] = other.name
        notes.append(f"input {mine.name} of the candidate gets what {other.name} gets: their order")
    others = {spec.name: spec for spec in given}
    for mine in own:
        _check_layout(mine, others[sources[mine.name]])
    types = {spec.name: spec.dtype for spec in given}
    narrowed = {
        mine.name: mine.dtype
        for mine in own
        if {mine.dtype, types[sources[mine.name]]} <= _FLOATS
        and mine.dtype != types[sources[mine.name]]
    }
    notes += [
        f"input {name}: {types[sources[name]]} became {dtype} for the candidate"
        for name, dtype in narrowed.items()
    ]

    def convert(feeds: Feeds) -> dict[str, Array]:
        fed = {mine.name: feeds[sources[mine.name]] for mine in own}
        return {
            name: array.astype(narrowed[name]) if name in narrowed else array
            for name, array in fed.items()
        }

    return convert, notes


def _check_layout(mine: TensorSpec, other: TensorSpec) -> None:
    """Refuse axes in another order; of all other shapes, the candidate says what does not fit."""
    rank = len(other.shape)
    if not (mine.is_static and other.is_static and len(mine.shape) == rank == 4):
        return
    if mine.shape == other.shape:
        return
    names = "nchw"
    # Height and width swapped before channels that stand last, and both before the rest.
    orders = sorted(permutations(range(rank)), key=lambda order: order[:2] != (0, 1))
    for order in orders:
        if tuple(other.shape[axis] for axis in order) == tuple(mine.shape):
            raise EdgeupError(
                f"input transposed: the candidate takes {mine}, which is the reference's {other} "
                f"with its axes as {' '.join(names[axis] for axis in order)} for "
                f"{' '.join(names)}; give both in one layout"
            )

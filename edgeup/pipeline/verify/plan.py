"""Both sides opened, and the cases to show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePath

from edgeup.errors import EdgeupError
from edgeup.pipeline.told_apart import told_apart
from edgeup.pipeline.verify.inputs import Cases, InputRequest, closed, make_cases
from edgeup.pipeline.verify.rounded import Rounding
from edgeup.pipeline.verify.sides import (
    ModuleSide,
    ReferencePrecision,
    Side,
    SideRequest,
    open_side,
)
from edgeup.runtime.inputs import Case
from edgeup.spec import TensorSpec


def open_both(
    wanted: Sequence[SideRequest],
    stack: ExitStack,
    *,
    shapes: Sequence[TensorSpec] = (),
    precision: ReferencePrecision = "fp32",
    rounding: Rounding = "each-node",
    trust: bool = False,
) -> tuple[Side, Side]:
    """Reference and candidate. A PyTorch model is opened last: the other may know its shapes.

    Args:
        wanted: the two, the reference first.
        stack: closes them.
        shapes: of the inputs, for a PyTorch model.
        precision: of the reference.
        rounding: of ONNX files in 16 bits.
        trust: load engines without a sidecar.

    Raises:
        EdgeupError: see `edgeup.pipeline.verify.sides.open_side`.
    """
    precisions: tuple[ReferencePrecision, ReferencePrecision] = (precision, "fp32")
    sides: dict[int, Side] = {}
    for index in sorted((0, 1), key=lambda at: isinstance(wanted[at], ModuleSide)):
        other = sides.get(1 - index)
        known = [spec for spec in (other.inputs or () if other else ()) if spec.is_static]
        sides[index] = open_side(
            wanted[index],
            stack=stack,
            shapes=shapes or known,
            precision=precisions[index],
            rounding=rounding,
            trust=trust,
        )
    return _named_apart(sides[0], sides[1])


def _named_apart(reference: Side, candidate: Side) -> tuple[Side, Side]:
    """Two files of one name get the folders that tell them apart."""
    sides = reference, candidate
    if reference.facts["name"] != candidate.facts["name"]:
        return sides
    paths = [PurePath(side.facts["path"]) for side in sides if "path" in side.facts]
    if len(paths) < len(sides):
        return sides
    first, second = told_apart(*paths)
    return (
        replace(reference, facts={**reference.facts, "name": first}),
        replace(candidate, facts={**candidate.facts, "name": second}),
    )


def plan_cases(request: InputRequest, reference: Side, candidate: Side) -> Cases:
    """The cases: of the saved outputs where there is nothing else, else of the inputs asked for.

    Raises:
        EdgeupError: inputs that cannot be used, or that fit neither side.
    """
    saved = [side.saved for side in (reference, candidate) if side.saved is not None]
    if len(saved) == 2:
        if request.files or request.kinds or request.shapes:
            raise EdgeupError("both sides are saved outputs: there is nothing to give inputs to")
        names = [name or "saved" for name in saved[0].cases]
        _check_same_inputs(reference, candidate)
        facts = {"source": "saved", "cases": names, "inputs": []}
        return Cases((), (Case(name, {}) for name in names), facts)
    known = None
    if saved and not request.files:
        if saved[0].cases == (None,):
            path = (reference if reference.saved else candidate).facts["path"]
            raise EdgeupError(
                f"{path} does not say what inputs it was made from: give them with --load-inputs"
            )
        known = [str(name) for name in saved[0].cases]
        if request.seed is None:
            request = replace(request, seed=saved[0].origin.seed)
    specs, others = reference.inputs, candidate.inputs
    if specs is None:
        specs, others = others or (), None
    stored = reference.preprocess or candidate.preprocess
    plan = make_cases(request, closed(specs, request.shapes, others), stored, known)
    if saved and saved[0].cases == (None,):
        plan = replace(plan, cases=_only_one(plan.cases))
    return plan


def _only_one(cases: Iterator[Case]) -> Iterator[Case]:
    for number, case in enumerate(cases):
        if number:
            raise EdgeupError("saved outputs without an index hold one case: give one input")
        yield case


def _check_same_inputs(reference: Side, candidate: Side) -> None:
    ours, theirs = reference.saved, candidate.saved
    assert ours is not None  # noqa: S101 - the caller looked
    assert theirs is not None  # noqa: S101 - likewise
    for case in ours.cases:
        if case not in theirs.cases:
            continue  # comparing it says what is missing
        hashes = {ours.inputs_sha256(case), theirs.inputs_sha256(case)} - {None}
        if len(hashes) > 1:
            raise EdgeupError(
                f"{reference.facts['path']} and {candidate.facts['path']} were saved for other "
                f"inputs in the case {case}: save both with the same --seed and --shape"
            )

"""Where two ONNX files part, and what of one must stay float32: looked for after a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.report_beside import NoReport, read_beside
from edgeup.pipeline.verified import Stage
from edgeup.pipeline.verify.inputs import InputRequest, closed, make_cases
from edgeup.pipeline.verify.sides import FileSide, SideRequest
from edgeup.spec import Feeds, Tolerance

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.pipeline.precision.fp32_nodes import Fp32Nodes
    from edgeup.pipeline.verify.bisect import Bisector, FirstNode


@dataclass(frozen=True)
class Suspects:
    """What a comparison leaves to look into.

    Attributes:
        failed_feeds: inputs of the first case that failed; None where none did.
        failed: the outputs that failed there, with their tolerances.
        strange_feeds: inputs of the first case in which the candidate alone has NaN or infinity.
        convert: the inputs as the candidate names and types them.
    """

    failed_feeds: Feeds | None = None
    failed: Mapping[str, Tolerance] = field(default_factory=dict)
    strange_feeds: Feeds | None = None
    convert: Callable[[Feeds], Feeds] = lambda feeds: feeds


def is_onnx(side: SideRequest) -> bool:
    """Whether it is an ONNX file."""
    return isinstance(side, FileSide) and side.path.suffix.lower() == ".onnx"


def check_bisectable(option: str, *sides: SideRequest) -> None:
    """Refuse what has no nodes to look into, before any work is done.

    Raises:
        EdgeupError: a side is no ONNX file.
    """
    for side in sides:
        if not is_onnx(side):
            shown = side.path if isinstance(side, FileSide) else side.name
            raise EdgeupError(
                f"{option} looks into the nodes of ONNX files, and {shown} is none: give the ONNX "
                f"file that it was made to or from"
            )


@dataclass(frozen=True)
class OnnxSide:
    """An ONNX file; ``rounded``: in 16 bits, and compared with each node's result rounded."""

    path: Path
    rounded: bool = False


def first_nodes(
    reference: OnnxSide | None,
    candidate: OnnxSide,
    suspects: Suspects,
    budget: int,
    *,
    differing: bool,
) -> dict[str, Any]:
    """The report's ``bisect``: the first node that differs, and the first that makes NaN or Inf.

    The latter is looked for where a failing candidate's outputs hold any; and inside of a rounded
    one whatever its outputs hold, since a Clip or a Sigmoid hides what overflowed.

    Args:
        reference: without one, NaN and infinity are looked for in the candidate alone.
        candidate: the rewrites of its report beside it, if there is one, are named.
        suspects: what was found.
        budget: bytes of inner values that may be held at once.
        differing: whether to look for the first difference too.

    Raises:
        EdgeupError: the two cannot be compared inside, or one does not run.
    """
    found: dict[str, Any] = {"first_difference": None, "first_nonfinite": None}
    look = _Look(reference, candidate, suspects, budget)
    strange = suspects.strange_feeds
    if strange is None and candidate.rounded:
        strange = suspects.failed_feeds
    if strange is not None:
        node = look.first_nonfinite(strange, anywhere=candidate.rounded)
        found["first_nonfinite"] = None if node is None else node.to_json()
    if differing and suspects.failed_feeds is not None:
        node = look.bisector(suspects.failed_feeds).first_difference(suspects.failed)
        found["first_difference"] = None if node is None else node.to_json()
    return found


class _Look:
    """Both files, read once."""

    def __init__(
        self, reference: OnnxSide | None, candidate: OnnxSide, suspects: Suspects, budget: int
    ) -> None:
        from edgeup.export.load import load_model

        self._reference = None if reference is None else load_model(reference.path)
        self._candidate = load_model(candidate.path)
        self._rounded = reference is not None and reference.rounded, candidate.rounded
        self._rewrites = _rewrites(candidate.path)
        self._convert, self._budget = suspects.convert, budget

    def bisector(self, feeds: Feeds, *, alone: bool = False) -> Bisector:
        from edgeup.pipeline.verify.bisect import Bisector

        return Bisector(
            None if alone else self._reference,
            self._candidate,
            feeds,
            candidate_feeds=self._convert(feeds),
            rounded=self._rounded,
            budget=self._budget,
            rewrites=self._rewrites,
        )

    def first_nonfinite(self, feeds: Feeds, *, anywhere: bool) -> FirstNode | None:
        """In the candidate alone, if the two have no names in common."""
        try:
            both = self.bisector(feeds)
        except EdgeupError:
            return self.bisector(feeds, alone=True).first_nonfinite(anywhere=anywhere)
        return both.first_nonfinite(anywhere=anywhere)


def _rewrites(candidate: Path) -> Sequence[Mapping[str, Any]]:
    """Of the report that `optimize` and `export` write beside a model, if it is of this one."""

    def read(report: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                **entry,
                "pass": str(entry["pass"]),
                "form": str(entry["form"]),
                "nodes": [str(node) for node in entry["nodes"]],
            }
            for entry in report["rewrites"]
        ]

    found = read_beside(candidate, read)
    return () if isinstance(found, NoReport) else found


def nodes_to_keep(
    reference: Path,
    precision: str,
    inputs: InputRequest,
    tolerances: Mapping[str, Tolerance],
    stage: Stage,
) -> Fp32Nodes:
    """The nodes of the reference that must stay float32 while all else is in ``precision``.

    Raises:
        EdgeupError: see `edgeup.pipeline.precision.fp32_nodes`.
    """
    from edgeup.export.load import input_specs, load_model
    from edgeup.pipeline.precision.fp32_nodes import find_fp32_nodes
    from edgeup.pipeline.stored import read_stored

    model: ir.Model = load_model(reference)
    specs = closed(input_specs(model), inputs.shapes, None)
    cases = list(make_cases(inputs, specs, read_stored(reference).preprocess).cases)
    return find_fp32_nodes(model, precision, cases, tolerances, stage)

"""`edgeup verify --bisect`: the first node whose output differs, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.pipeline.verify.side_run import SideRun
from edgeup.pipeline.verify.trail import region_of, trail_of
from edgeup.pipeline.verify.unlike import unlike
from edgeup.pipeline.verify.why_none import NotComparableError
from edgeup.runtime.bisect import (
    DEFAULT_BUDGET,
    Found,
    Trail,
    becomes_nonfinite,
    differs,
    error_of_peak,
    first_made,
    first_where,
    peak_of,
)
from edgeup.runtime.diagnosis.contract import Diagnosis, Pair
from edgeup.runtime.diagnosis.diagnose import diagnose
from edgeup.runtime.parity import Tolerances
from edgeup.spec import Array, Feeds, Tolerance

if TYPE_CHECKING:
    import onnx_ir as ir


_DIAGNOSIS_COPIES = 8
"""Of both sides' values, which a diagnosis makes in float64 (measured: 7.5)."""


@dataclass(frozen=True)
class FirstNode:
    """The first node where two models part.

    Attributes:
        node: its name in the reference.
        op: its operator.
        value: the output of it that differs.
        error: the largest difference there, as a share of the reference's peak; None where it
            is not finite.
        candidate_node: the node that makes the value in the candidate; of NaN or infinity, the
            one that makes the first of them, which may stand between nodes of the reference.
        candidate_op: that node's operator.
        candidate_value: what it makes; as the reference calls it where it corresponds.
        among: the reference's nodes since the last values that were compared and found equal.
        site: the rewrite of the candidate's report that put another form there, if it did.
        unlike: in what the two nodes differ as they are written, where they do the same.
        diagnoses: what is wrong with the value; not looked at where the value takes more than an
            eighth of the budget.
        runs: runs of each model that it took.
        peak_bytes: most bytes of inner values held at once.
    """

    node: str
    op: str
    value: str
    error: float | None
    candidate_node: str
    candidate_op: str
    candidate_value: str
    among: tuple[str, ...]
    site: Mapping[str, Any] | None
    unlike: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]
    runs: int
    peak_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {
            "node": self.node,
            "op": self.op,
            "value": self.value,
            "error_of_peak": self.error,
            "candidate_node": self.candidate_node,
            "candidate_op": self.candidate_op,
            "candidate_value": self.candidate_value,
            "among": list(self.among),
            "site": None if self.site is None else dict(self.site),
            "unlike": list(self.unlike),
            "diagnoses": [one.to_json() for one in self.diagnoses],
            "runs": self.runs,
            "peak_bytes": self.peak_bytes,
        }


class Bisector:
    """ONNX models on one input.

    Args:
        reference: what is right; None where the candidate is looked at alone.
        candidate: what differs; its values may be in another precision.
        feeds: of the reference's types; floats are cast where the candidate takes others.
        candidate_feeds: where the candidate calls its inputs otherwise.
        rounded: which of reference and candidate are in 16 bits and run on their rounding twin.
        budget: bytes of inner values that may be held at once.
        rewrites: of the candidate's report, where it was rewritten from the reference.

    Raises:
        NotComparableError: the models have not the same outputs.
        EdgeupError: an input's shape does not fit.
    """

    def __init__(
        self,
        reference: ir.Model | None,
        candidate: ir.Model,
        feeds: Feeds,
        *,
        candidate_feeds: Feeds | None = None,
        rounded: tuple[bool, bool] = (False, False),
        budget: int = DEFAULT_BUDGET,
        rewrites: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        from edgeup.export.passes.contract import AS_WRITTEN

        own = feeds if candidate_feeds is None else candidate_feeds
        first = None if reference is None else SideRun(reference, feeds, rounded=rounded[0])
        like = None if first is None else first.model
        last = SideRun(candidate, own, rounded=rounded[1], like=like)
        self._sides = [last] if first is None else [first, last]
        self._budget = budget
        self._rewrites = [entry for entry in rewrites if entry["form"] != AS_WRITTEN]
        self._trail: Trail = trail_of([side.model for side in self._sides])
        if self._trail.cuts and self._trail.cuts[-1] is None:
            raise NotComparableError(
                "the outputs of these two models differ in number, type or shape: they cannot be "
                "compared node by node"
            )

    def first_difference(self, tolerances: Tolerances) -> FirstNode | None:
        """The first node whose output differs beyond the tolerance; None where no output does.

        Outputs are looked into one after the other, each with the nodes that lead to it alone:
        what another output may do, with its own tolerance, must not be called this one's fault.

        Args:
            tolerances: of the outputs to look into, as the reference calls them; one for all of
                them. ``atol`` is in the output's unit: for inner values, which have other sizes,
                it holds as the same share of the peak.

        Raises:
            EdgeupError: a model does not run, or a value alone is larger than the budget.
        """
        models = [side.model for side in self._sides]
        if isinstance(tolerances, Tolerance):
            names = [value.name or "" for value in models[0].graph.outputs]
            tolerances = dict.fromkeys(names, tolerances)
        for output, tolerance in tolerances.items():
            trail = trail_of(models, output)
            judge = differs(self._by_peak(tolerance, output))
            found = first_where(trail, self._fetch, judge, self._budget)
            if found is not None:
                return self._described(found, found)
        return None

    def first_nonfinite(self, *, anywhere: bool = False) -> FirstNode | None:
        """The first node that makes NaN or infinity where the reference, if there is one, has a
        number.

        Args:
            anywhere: look at all nodes where the outputs are finite: a Clip or a Sigmoid makes
                numbers of infinity again.
        """
        found = first_where(self._trail, self._fetch, becomes_nonfinite, self._budget)
        if found is None and anywhere:
            found = first_made(self._trail, self._fetch, becomes_nonfinite, self._budget)
        return None if found is None else self._described(found, self._origin(found))

    def _origin(self, found: Found) -> Found:
        """Where in the candidate the value's NaN or infinity began: at the value itself, or at a
        node that the reference does not have.
        """
        region = region_of(self._sides[-1].model, found.value, self._trail.sizes)
        if len(region.steps) == 1:
            return found
        own = self._sides[-1]
        first = first_made(
            region, lambda names: [own.values(names)], becomes_nonfinite, self._budget
        )
        if first is None:
            return found
        runs, peak = found.runs + first.runs, max(found.peak_bytes, first.peak_bytes)
        return replace(found, value=first.value, runs=runs, peak_bytes=peak)

    def _by_peak(self, tolerance: Tolerance, output: str) -> Tolerance:
        if not tolerance.atol or output not in self._trail.sizes:  # no node makes it
            return tolerance
        peak = peak_of(self._sides[0].values([output])[output])
        share = tolerance.atol_of_peak + tolerance.atol / (peak or 1.0)
        return replace(tolerance, atol=0.0, atol_of_peak=share)

    def _described(self, found: Found, origin: Found) -> FirstNode:
        """``origin.value`` is the candidate's; all else of ``found`` is the reference's."""
        sides = [side[found.value] for side in self._fetch([found.value])]
        error = error_of_peak(*sides) if len(sides) == 2 else np.inf
        inside = self._sides[-1].model.graph
        maker = next(n for n in inside for v in n.outputs if v.name == origin.value)
        graph = self._sides[0].model.graph
        node = next(n for n in graph for v in n.outputs if v.name == found.value)
        same = origin.value == found.value and len(self._sides) == 2
        return FirstNode(
            node=found.step.node,
            op=found.step.op,
            value=found.value,
            error=error if np.isfinite(error) else None,
            candidate_node=maker.name or "",
            candidate_op=maker.op_type,
            candidate_value=self._sides[-1].moved.get(origin.value, origin.value),
            among=found.among,
            site=_site_of(found, maker.name or "", self._rewrites),
            unlike=unlike(node, maker) if same else (),
            diagnoses=self._causes(sides, origin.value, begins=origin.value == found.value),
            runs=origin.runs,
            peak_bytes=origin.peak_bytes,
        )

    def _causes(self, sides: Sequence[Array], value: str, *, begins: bool) -> tuple[Diagnosis, ...]:
        """Of the value of both sides; where it began at one of the candidate's, of that alone."""
        if sum(side.nbytes for side in sides) * _DIAGNOSIS_COPIES > self._budget:
            return ()
        if len(sides) == 2 and begins:
            return diagnose([Pair(sides[0], sides[1])]) if sides[0].dtype.kind == "f" else ()
        return self._sides[-1].saturation(value)

    def _fetch(self, names: Sequence[str]) -> list[dict[str, Array]]:
        """Each model by itself, so that one at a time is in memory."""
        return [side.values(names) for side in self._sides]


def _site_of(
    found: Found, maker: str, rewrites: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The rewrite that made the value's maker, or took one of the nodes before it.

    New nodes are called after the site's anchor: ``anchor~pass/...``.
    """
    for entry in rewrites:
        if any(maker.startswith(f"{node}~{entry['pass']}") for node in entry["nodes"]):
            return entry
    suspects = {found.step.node} if found.step.node == maker else set(found.among)
    changed = [entry for entry in rewrites if suspects & set(entry["nodes"])]
    return changed[-1] if changed else None

"""`edgeup verify --bisect`: the first node whose output differs, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.bisect import (
    DEFAULT_BUDGET,
    Found,
    Sides,
    Trail,
    becomes_nonfinite,
    differs,
    error_of_peak,
    first_where,
    peak_of,
)
from edgeup.runtime.diagnosis.contract import Diagnosis, Pair
from edgeup.runtime.diagnosis.diagnose import diagnose
from edgeup.spec import Array, Feeds, Tolerance

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class FirstNode:
    """The first node where two models part.

    Attributes:
        node: its name in the reference.
        op: its operator.
        value: the output of it that differs.
        error: the largest difference there, as a share of the reference's peak; None where it
            is not finite.
        candidate_node: the node that makes the value in the candidate.
        candidate_op: that node's operator.
        among: the reference's nodes since the last values that were compared and found equal.
        site: the rewrite of the candidate's report that put another form there, if it did.
        diagnoses: what is wrong with the value.
        runs: runs of each model that it took.
        peak_bytes: most bytes of inner values held at once.
    """

    node: str
    op: str
    value: str
    error: float | None
    candidate_node: str
    candidate_op: str
    among: tuple[str, ...]
    site: Mapping[str, Any] | None
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
            "among": list(self.among),
            "site": None if self.site is None else dict(self.site),
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
        budget: bytes of inner values that may be held at once.
        rewrites: of the candidate's report, where it was rewritten from the reference.

    Raises:
        EdgeupError: the models have not the same outputs, or an input's shape does not fit.
    """

    def __init__(
        self,
        reference: ir.Model | None,
        candidate: ir.Model,
        feeds: Feeds,
        *,
        budget: int = DEFAULT_BUDGET,
        rewrites: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        from edgeup.export.passes.contract import AS_WRITTEN
        from edgeup.pipeline.verify.trail import trail_of

        models = [candidate] if reference is None else [reference, candidate]
        self._models = [_at_shapes(model, feeds) for model in models]
        self._feeds, self._budget = feeds, budget
        self._rewrites = [entry for entry in rewrites if entry["form"] != AS_WRITTEN]
        self._trail: Trail = trail_of(self._models)
        if self._trail.cuts and self._trail.cuts[-1] is None:
            raise EdgeupError(
                "values of the same name are compared node by node, and the outputs of these two "
                "models differ in name, type or shape; leave --bisect out"
            )

    def first_difference(self, tolerance: Tolerance) -> FirstNode | None:
        """The first node whose output differs beyond the tolerance; None where no output does.

        ``tolerance.atol`` is in the outputs' unit: for inner values, which have other sizes, it
        holds as the same share of the peak.

        Raises:
            EdgeupError: a model does not run, or a value alone is larger than the budget.
        """
        return self._first(differs(self._by_peak(tolerance)))

    def first_nonfinite(self) -> FirstNode | None:
        """The first node that makes NaN or infinity where the reference, if there is one, has a
        number.
        """
        return self._first(becomes_nonfinite)

    def _by_peak(self, tolerance: Tolerance) -> Tolerance:
        names = self._trail.cuts[-1] if tolerance.atol and self._trail.cuts else None
        if not names:
            return tolerance
        peak = max(peak_of(_values(self._models[0], [name], self._feeds)[name]) for name in names)
        share = tolerance.atol_of_peak + tolerance.atol / (peak or 1.0)
        return replace(tolerance, atol=0.0, atol_of_peak=share)

    def _first(self, holds: Callable[[Sides], bool]) -> FirstNode | None:
        found = first_where(self._trail, self._fetch, holds, self._budget)
        return None if found is None else self._described(found)

    def _described(self, found: Found) -> FirstNode:
        sides = [side[found.value] for side in self._fetch([found.value])]
        error = error_of_peak(*sides) if len(sides) == 2 else np.inf
        causes = len(sides) == 2 and sides[0].dtype.kind == "f"
        maker = next(n for n in self._models[-1].graph for v in n.outputs if v.name == found.value)
        return FirstNode(
            node=found.step.node,
            op=found.step.op,
            value=found.value,
            error=error if np.isfinite(error) else None,
            candidate_node=maker.name or "",
            candidate_op=maker.op_type,
            among=found.among,
            site=_site_of(found, maker.name or "", self._rewrites),
            diagnoses=diagnose([Pair(sides[0], sides[-1])]) if causes else (),
            runs=found.runs,
            peak_bytes=found.peak_bytes,
        )

    def _fetch(self, names: Sequence[str]) -> list[dict[str, Array]]:
        """Each model by itself, so that one at a time is in memory."""
        return [_values(model, names, self._feeds) for model in self._models]


def _at_shapes(model: ir.Model, feeds: Feeds) -> ir.Model:
    """A copy with named nodes, inferred types, and the shapes of the feeds."""
    from edgeup.export.load import freeze_shapes, input_specs
    from edgeup.export.optimize import name_nodes
    from edgeup.export.precision.convert import prepared
    from edgeup.spec import TensorSpec

    work = model.clone()
    name_nodes(work)  # as `edgeup optimize` and `build` name them: before constants are lifted
    open_ = [spec.name for spec in input_specs(work) if not spec.is_static]
    freeze_shapes(work, [TensorSpec(name, feeds[name].shape) for name in open_ if name in feeds])
    return prepared(work)


def _values(model: ir.Model, names: Sequence[str], feeds: Feeds) -> dict[str, Array]:
    from edgeup.export.packed import loadable
    from edgeup.export.precision.probe import giving_out
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    with (
        loadable(giving_out(model, names)) as source,
        OnnxRuntimeSession(source, optimize=False) as session,
    ):
        wanted = {spec.name: np.dtype(spec.dtype) for spec in session.inputs}
        return session.run(
            {
                name: array.astype(wanted[name]) if array.dtype.kind == "f" else array
                for name, array in feeds.items()
                if name in wanted
            }
        )


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

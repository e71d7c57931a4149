"""`edgeup verify --find-fp32-nodes`: the fewest nodes that must stay float32 for a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.precision.choice import RUNS, choose
from edgeup.pipeline.precision.keep_list import keep_list_text
from edgeup.pipeline.precision.rounding import RoundingBench
from edgeup.pipeline.verified import Stage
from edgeup.spec import Tolerance

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.runtime.inputs import Case
    from edgeup.runtime.parity import Tolerances


@dataclass(frozen=True)
class Fp32Nodes:
    """What must stay float32.

    Attributes:
        precision: of all else, "fp16" or "bf16".
        reasons: the nodes by their ONNX names, in the graph's order: those whose own result or
            weights the precision does not hold, and those of which leaving out any one misses
            the tolerance, as far as the runs went.
        enough: whether the tolerance is reached with them, and all else rounded.
        minimal: whether each of the latter was tried to be left out.
        runs: models that were run.
        tolerances: what is to be reached.
    """

    precision: str
    reasons: dict[str, str]
    enough: bool
    minimal: bool
    runs: int
    tolerances: Tolerances

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {
            "precision": self.precision,
            "nodes": [{"node": node, "reason": why} for node, why in self.reasons.items()],
            "enough": self.enough,
            "minimal": self.minimal,
            "runs": self.runs,
        }

    def text(self) -> str:
        """The file that `--keep-fp32` reads."""
        passes = "passes" if self.enough else "does NOT pass"
        return keep_list_text(
            self.reasons,
            [
                f"nodes that stay float32, all else in {self.precision}: --keep-fp32 reads this",
                f"with it, the model {passes} {_words(self.tolerances)}, "
                f"each other node of the file rounded, as edgeup verify judges it",
            ],
        )


def _words(tolerances: Tolerances) -> str:
    """Of one tolerance, or of each output's where they are not all the same."""
    if isinstance(tolerances, Tolerance):
        return _of_one(tolerances)
    said = {name: _of_one(tolerance) for name, tolerance in tolerances.items()}
    if not said:
        return "as equal whole numbers"
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {words}" for name, words in said.items())


def _of_numbers(tolerances: Mapping[str, Tolerance], model: ir.Model) -> dict[str, Tolerance]:
    """Without those of whole numbers, which must be equal."""
    whole = {v.name for v in model.graph.outputs if v.dtype and not v.dtype.is_floating_point()}
    return {name: one for name, one in tolerances.items() if name not in whole}


def _of_one(tolerance: Tolerance) -> str:
    parts = [f"{tolerance.atol_of_peak:g} of the peak"] if tolerance.atol_of_peak else []
    parts += [f"atol {tolerance.atol:g}"] if tolerance.atol else []
    return " + ".join([*parts, f"rtol {tolerance.rtol:g}"])


def find_fp32_nodes(
    model: ir.Model,
    precision: str,
    cases: Sequence[Case],
    tolerances: Tolerances,
    stage: Stage = lambda words: None,
) -> Fp32Nodes:
    """Round all nodes; keep those at values that are too large, then those that lose most, until
    the rest passes; then give back what need not be kept, by halves.

    What makes or holds a number that is too large is never given back, though the conversion
    here would keep it of itself, or what follows may hide it: whoever converts by the list has
    an infinity there.

    Args:
        model: float32.
        precision: "fp16" or "bf16".
        cases: what it is measured on.
        tolerances: what each output must reach.
        stage: is told what begins.

    Raises:
        EdgeupError: the model does not run, or is not float32.
    """
    from edgeup.export.optimize import name_nodes
    from edgeup.export.precision.assign import unfit_nodes
    from edgeup.export.precision.convert import prepared
    from edgeup.export.precision.formats import find_format

    named = model.clone()
    name_nodes(named)  # as `edgeup build` names them: before constants are lifted
    work = prepared(named)
    form = find_format(precision)
    order = [node.name or "" for node in work.graph]
    with RoundingBench(work, form, cases, tolerances, as_verify=True) as bench:
        choice = choose(bench, stage)
        unfit = unfit_nodes(work, form)
        overflowing = {found.node for found in choice.findings if found.kind == "overflow"}
        always = frozenset(unfit.keys() | overflowing)
        reasons = {**choice.reasons, **unfit}

        def passes(nodes: Sequence[str]) -> bool:
            bench.runs += 1
            return all(o.passed for o in bench.parity(bench.twin(always | frozenset(nodes))))

        kept, minimal = [name for name in order if name in reasons.keys() - always], False
        if choice.enough:
            stage("giving back what need not stay float32")
            kept, minimal = fewest(kept, passes, lambda: bench.runs < 2 * RUNS)
        enough = passes(kept)
        listed = {name: reasons[name] for name in order if name in always.union(kept)}
        said = tolerances if isinstance(tolerances, Tolerance) else _of_numbers(tolerances, work)
        return Fp32Nodes(precision, listed, enough, minimal and enough, bench.runs, said)


def fewest(
    nodes: Sequence[str], passes: Callable[[Sequence[str]], bool], budget: Callable[[], bool]
) -> tuple[list[str], bool]:
    """A smallest part of a set that passes: leaving out one more would not.

    Stretches are left out, from all at once down to single ones (Zeller and Hildebrandt,
    Simplifying and Isolating Failure-Inducing Input, 2002): of n nodes of which k are needed,
    that takes about k log2(n) runs, not n.

    Args:
        nodes: passes as a whole.
        passes: whether a part does.
        budget: whether another run may be made.

    Returns:
        The part, and whether every single one of it was tried.
    """
    kept = list(nodes)
    length = len(kept)
    while length:
        start = 0
        while start < len(kept):
            if not budget():
                return kept, False
            rest = kept[:start] + kept[start + length :]
            if passes(rest):
                kept = rest
            else:
                start += length
        length = min(length // 2, len(kept))
    return kept, True


def check_lowered(precision: str) -> None:
    """Refuse a candidate that is in no 16-bit precision.

    Raises:
        EdgeupError: it is not.
    """
    if precision not in ("fp16", "bf16"):
        raise EdgeupError(
            f"--find-fp32-nodes: the candidate is in {precision}; wanted one in fp16 or bf16, "
            f"whose precision the reference is rounded to"
        )

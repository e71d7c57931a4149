"""Which nodes stay float32: those at values that are too large, and those that lose most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.pipeline.precision.rounding import Rounded, RoundingBench
from edgeup.pipeline.precision.search import Loss, by_loss, fewest_exceptions
from edgeup.pipeline.precision.value_ranges import (
    Finding,
    Range,
    findings,
    new_nonfinite,
    overflowing,
    scan,
)

if TYPE_CHECKING:
    from edgeup.export.precision.formats import Format
    from edgeup.export.precision.probe import Probe
    from edgeup.runtime.parity_report import OutputParity

RUNS = 64
"""Twins that the search for exceptions may run."""


@dataclass(frozen=True)
class Choice:
    """The exceptions, with what was seen on the way.

    Attributes:
        reasons: the nodes that stay float32, each with its reason.
        losses: the error of those that were kept for it, as a share of the output's peak.
        enough: whether the rest is within the tolerance.
        findings: values that the format does not hold.
        largest: the largest magnitude of all, and where.
        rounded: the error that is left.
        runs: twins that were run.
    """

    reasons: Mapping[str, str]
    losses: Mapping[str, float]
    enough: bool
    findings: tuple[Finding, ...]
    largest: tuple[Probe, float] | None
    rounded: Rounded
    runs: int


def choose(
    bench: RoundingBench, stage: Callable[[str], None], asked: frozenset[str] = frozenset()
) -> Choice:
    """Keep what was asked for and what overflows; then what loses most, until the twin passes.

    Raises:
        EdgeupError: what was asked for is not in the graph; the model does not run.
    """
    from edgeup.export.precision.assign import ASKED
    from edgeup.export.precision.probe import probes

    form = bench.form
    stage(f"looking for values that {form.name} does not hold")
    found = probes(bench.model)
    ranges = scan(bench.model, found, bench.cases, form)
    said = findings(found, ranges, form)
    reasons = {**dict.fromkeys(sorted(asked), ASKED), **overflowing(found, ranges, form)}
    largest = max(
        ((probe, ranges[probe.value].largest) for probe in found),
        key=lambda pair: pair[1],
        default=None,
    )
    stage(f"rounding to {form.name}")
    rounded = bench.error(frozenset(reasons), bench.cases)
    losses: dict[str, float] = {}
    enough = True
    if rounded.max_of_peak > bench.least_of_peak:
        said += _named_nonfinite(bench, found, ranges, frozenset(reasons), rounded)
        taken, enough = _search(bench, frozenset(reasons), stage)
        for loss in taken:
            losses[loss.node] = loss.error
            reasons[loss.node] = _loses(loss, form)
        if losses:
            rounded = bench.error(frozenset(reasons), bench.cases)
    return Choice(reasons, losses, enough, said, largest, rounded, bench.runs)


def _loses(loss: Loss, form: Format) -> str:
    if loss.error == float("inf"):
        return f"rounding it to {form.name} alone makes the output infinite or NaN"
    return (
        f"rounding it to {form.name} alone moves the output by {loss.error:.2g} of its peak (RMS)"
    )


def _named_nonfinite(
    bench: RoundingBench,
    found: Sequence[Probe],
    before: Mapping[str, Range],
    kept: frozenset[str],
    rounded: Rounded,
) -> tuple[Finding, ...]:
    """Where a value stops being finite, when the outputs are not."""
    if rounded.max_of_peak != float("inf"):
        return ()
    twin = bench.twin(kept)
    there = {value.name for node in twin.graph for value in node.outputs}
    inside = [probe for probe in found if probe.value in there]
    after = scan(twin, inside, bench.cases, bench.form)
    return new_nonfinite(inside, before, after, bench.form)


def _search(
    bench: RoundingBench, kept: frozenset[str], stage: Callable[[str], None]
) -> tuple[tuple[Loss, ...], bool]:
    """The nodes to keep beyond ``kept``, and whether that is enough; none where none need be."""
    failing = _failing(bench, kept)
    if not failing:
        return (), True
    stage("looking for the nodes that lose most")
    # The loss is an error of numbers: where an ArgMax alone fails, of those that it is taken of.
    outputs = [output.name for output in failing if output.dtype.startswith("float")] or None
    candidates = _lowered_nodes(bench, kept)
    every = frozenset(candidates) | kept
    errors = [error.rms_of_peak for error in bench.errors(kept, bench.cases, outputs)]
    worst = [bench.cases[i] for i in sorted(range(len(errors)), key=lambda i: -errors[i])[:2]]

    def error_of(group: Sequence[str]) -> float:
        return bench.error(every - frozenset(group), worst, outputs).rms_of_peak

    def passes(exceptions: Sequence[str]) -> bool:
        return not _failing(bench, kept | frozenset(exceptions))

    return fewest_exceptions(by_loss(candidates, error_of), passes, lambda: bench.runs < RUNS)


def _failing(bench: RoundingBench, kept: frozenset[str]) -> list[OutputParity]:
    """The outputs that are beyond their tolerance."""
    bench.runs += 1
    return [output for output in bench.parity(bench.twin(kept)) if not output.passed]


def _lowered_nodes(bench: RoundingBench, kept: frozenset[str]) -> list[str]:
    from edgeup.export.precision.assign import assign

    assignment = assign(bench.model, bench.form, kept, keep_io=True)
    return [node.name or "" for node in bench.model.graph if node in assignment.lowered]

"""Does a candidate compute what a reference computes? Files, engines, modules, saved outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.files import Content
from edgeup.pipeline.graph_sections import worst_case_section
from edgeup.pipeline.verified import Stage
from edgeup.pipeline.verify.diagnosis import DiagnosisTrack
from edgeup.pipeline.verify.inputs import Cases, InputRequest
from edgeup.pipeline.verify.matching import Renaming, fed_as, in_one_type, match_outputs
from edgeup.pipeline.verify.nodes import Suspects
from edgeup.pipeline.verify.plan import open_both, plan_cases
from edgeup.pipeline.verify.rounded import Rounding
from edgeup.pipeline.verify.saving import saving
from edgeup.pipeline.verify.sides import ReferencePrecision, Side, SideRequest
from edgeup.pipeline.verify.task import TaskTrack, TruthTrack
from edgeup.pipeline.verify.tolerance import ToleranceRequest, choose_tolerances
from edgeup.runtime.bisect import DEFAULT_BUDGET
from edgeup.runtime.inputs import Case, nudged
from edgeup.runtime.metrics import ALL_METRICS
from edgeup.runtime.parity import Comparison
from edgeup.runtime.parity_report import OutputParity
from edgeup.runtime.report_head import head
from edgeup.runtime.saved_outputs import OutputsWriter
from edgeup.runtime.task_metrics import Task
from edgeup.runtime.worst_case import WorstCases
from edgeup.spec import Feeds, Outputs, Tolerance


@dataclass(frozen=True)
class VerifyRequest:
    """What to compare, on what, and by what.

    Attributes:
        reference: what is right.
        candidate: what is judged.
        command: the command line, for the report.
        inputs: what both are shown.
        tolerances: how far they may be apart.
        reference_precision: what the reference is computed in.
        rounding: of ONNX files in 16 bits: each node's result, or as the backend does.
        task: whose metrics are wanted too.
        ground_truth: an .npz, to judge both sides by the task's metrics.
        validate: fail where an output holds NaN or infinity.
        fail_fast: stop after the first case that fails.
        save_outputs: a folder for reference.npz and candidate.npz.
        trust: load an engine without a sidecar.
        bisect: name the first node that differs.
        bisect_bytes: of inner values that it may hold at once.
        fp32_nodes: a file for the nodes that must stay float32.
    """

    reference: SideRequest
    candidate: SideRequest
    command: str
    inputs: InputRequest = field(default_factory=InputRequest)
    tolerances: ToleranceRequest = field(default_factory=ToleranceRequest)
    reference_precision: ReferencePrecision = "fp32"
    rounding: Rounding = "each-node"
    task: Task | None = None
    ground_truth: Path | None = None
    validate: bool = False
    fail_fast: bool = False
    save_outputs: Path | None = None
    trust: bool = False
    bisect: bool = False
    bisect_bytes: int = DEFAULT_BUDGET
    fp32_nodes: Path | None = None


@dataclass(frozen=True)
class VerifiedPair:
    """The report, what to write besides it, and what is left to look into."""

    report: dict[str, Any]
    files: dict[Path, Content]
    suspects: Suspects
    tolerances: Mapping[str, Tolerance]


def verify(request: VerifyRequest, stage: Stage, stack: ExitStack) -> VerifiedPair:
    """Run both sides case by case and compare; one case is held at a time.

    Args:
        request: what to do.
        stage: is told what begins.
        stack: holds the temporary files of saved outputs until they are written.

    Raises:
        EdgeupError: a side or an input that cannot be used, a tolerance for an output that is
            not there, outputs that a task does not fit, or nothing to compare.
    """
    with ExitStack() as sides:
        stage("loading both sides")
        both = open_both(
            (request.reference, request.candidate),
            sides,
            shapes=request.inputs.shapes,
            precision=request.reference_precision,
            rounding=request.rounding,
            trust=request.trust,
        )
        if request.rounding == "backend" and not any("rounding" in one.facts for one in both):
            raise EdgeupError(
                "--rounding is for ONNX files in fp16 or bf16, and no side is one: leave it out"
            )
        plan = plan_cases(request.inputs, *both)
        run = _Run(request, *both, plan)
        with saving(request.save_outputs, both, plan, stack) as (writers, files):
            for case in plan.cases:
                stage(f"comparing {case.kind}")
                if run.take(case, writers) and request.fail_fast:
                    break
        stage("looking at the differences")
        sections = run.sections()
    return VerifiedPair({**head(request.command), **sections}, files, run.suspects, run.tolerances)


class _Run:
    """What is known after the cases so far."""

    def __init__(
        self, request: VerifyRequest, reference: Side, candidate: Side, plan: Cases
    ) -> None:
        self._request, self._reference, self._candidate = request, reference, candidate
        self._plan = plan
        self._notes: dict[str, None] = {}  # a set that keeps its order
        self._convert, notes = _converter(candidate, plan)
        self._note(notes)
        if reference.precision in ("fp16", "bf16", "int8"):
            own = "the reference is itself in {}: its own rounding is part of every error"
            self._note([own.format(reference.precision)])
        self._renaming: Renaming | None = None
        self._comparison: Comparison | None = None
        self.tolerances: dict[str, Tolerance] = {}
        self._validity: dict[str, dict[str, dict[str, int]]] = {}
        self._diagnoses = DiagnosisTrack()
        self._worst = WorstCases()
        self._task = None if request.task is None else TaskTrack(request.task)
        self._truth = None
        if request.ground_truth is not None:
            if request.task is None:
                raise EdgeupError("--ground-truth is judged by a task's metrics: give --task")
            self._truth = TruthTrack(request.task, request.ground_truth)
        self._stopped = False
        self.suspects = Suspects(convert=self._convert)

    def take(self, case: Case, writers: Sequence[OutputsWriter]) -> bool:
        """Run one case and compare; whether it failed."""
        self._note(_strange_inputs(case))
        wanted = self._reference.outputs(case)
        got = self._candidate.outputs(Case(case.kind, self._convert(case.feeds)))
        for writer, outputs in zip(writers, (wanted, got), strict=False):
            writer.add(case.kind, case.feeds, outputs)
        if self._renaming is None:
            self._renaming = match_outputs(wanted, got)
            self._note(self._renaming.notes)
        got = self._renaming.apply(got)
        self._count_strange(wanted, got)
        wanted, got, notes = in_one_type(wanted, got)
        self._note(notes)
        if self._comparison is None:
            tolerances = choose_tolerances(
                self._request.tolerances,
                {**wanted, **got},
                (self._reference.precision, self._candidate.precision),
            )
            self.tolerances = tolerances
            self._comparison = Comparison(tolerances, ALL_METRICS)
        failed = self._comparison.add((case.kind, wanted, got), self._nearby(case.feeds))
        self._worst.see(case.feeds, wanted, got, self._comparison.latest())
        self._diagnoses.add(case, wanted, got, failed)
        if self._task is not None:
            self._task.add(case.kind, wanted, got)
        if self._truth is not None:
            self._truth.add(case.kind, wanted, got)
        self._suspect(case, failed, wanted, got)
        bad = bool(failed) or (self._request.validate and self._is_invalid())
        self._stopped = bad and self._request.fail_fast
        return bad

    def sections(self) -> dict[str, Any]:
        """The report's, but for its head."""
        if self._comparison is None:
            raise EdgeupError("nothing to compare: there was no case")
        parity = [
            replace(found, views=self._worst.of(found.name)) for found in self._comparison.reports()
        ]
        diagnoses = self._diagnoses.sections(self._rerun())
        tasks = {} if self._task is None else self._task.sections()
        truths = {} if self._truth is None else self._truth.sections()
        outputs = [
            {
                **output.to_json(),
                "not_finite": self._validity[output.name],
                "task": tasks.get(output.name),
                "ground_truth": truths.get(output.name),
                "diagnoses": diagnoses.get(output.name, []),
            }
            for output in parity
        ]
        if self._stopped:
            self._note(["stopped after the first case that failed (--fail-fast)"])
        return {
            "passed": self._passed(parity),
            "reference": self._reference.facts,
            "candidate": self._candidate.facts,
            "inputs": self._plan.facts,
            "validate": self._request.validate,
            "task": None if self._request.task is None else self._request.task.name,
            "parity": outputs,
            "worst_case": worst_case_section(parity),
            "bisect": None,
            "fp32_nodes": None,
            "notices": list(
                dict.fromkeys([*self._reference.notices, *self._candidate.notices, *self._notes])
            ),
        }

    def _passed(self, parity: Iterable[OutputParity]) -> bool:
        valid = not (self._request.validate and self._is_invalid())
        return valid and all(output.passed for output in parity)

    def _is_invalid(self) -> bool:
        return any(
            count
            for sides in self._validity.values()
            for counts in sides.values()
            for count in counts.values()
        )

    def _suspect(self, case: Case, failed: Sequence[str], wanted: Outputs, got: Outputs) -> None:
        """Remember the inputs of the first case that goes wrong, in either way."""
        if failed and self.suspects.failed_feeds is None:
            tolerances = {name: self.tolerances[name] for name in failed}
            self.suspects = replace(self.suspects, failed_feeds=case.feeds, failed=tolerances)
        if self.suspects.strange_feeds is None and any(
            np.isfinite(wanted[name]).all() and not np.isfinite(got[name]).all()
            for name in failed
            if name in wanted and name in got and got[name].dtype.kind == "f"
        ):
            self.suspects = replace(self.suspects, strange_feeds=case.feeds)

    def _count_strange(self, wanted: Outputs, got: Outputs) -> None:
        for name in {**wanted, **got}:
            sides = self._validity.setdefault(
                name, {side: {"nan": 0, "inf": 0} for side in ("reference", "candidate")}
            )
            for side, outputs in (("reference", wanted), ("candidate", got)):
                if name in outputs and outputs[name].dtype.kind == "f":
                    sides[side]["nan"] += int(np.isnan(outputs[name]).sum())
                    sides[side]["inf"] += int(np.isinf(outputs[name]).sum())

    def _nearby(self, feeds: Feeds) -> partial[list[Outputs]] | None:
        run = self._reference.run
        if run is None or not feeds:
            return None
        seed = self._request.inputs.seed or 0
        return partial(lambda: [run(nudged(feeds, seed + number)) for number in range(3)])

    def _rerun(self) -> Callable[[Feeds], Outputs] | None:
        """Runs the candidate on other inputs, and gives its outputs as the reference names them."""
        run, renaming = self._candidate.run, self._renaming
        if run is None or renaming is None:
            return None
        return lambda feeds: renaming.apply(run(self._convert(feeds)))

    def _note(self, notes: Iterable[str]) -> None:
        self._notes |= dict.fromkeys(notes)


def _strange_inputs(case: Case) -> Iterator[str]:
    """A line for each input that holds what no picture does."""
    for name, array in case.feeds.items():
        strange = array.size - int(np.isfinite(array).sum()) if array.dtype.kind == "f" else 0
        if strange:
            yield (
                f"input {name} of {case.kind} holds NaN or infinity in {strange:,} of "
                f"{array.size:,} elements"
            )


def _converter(candidate: Side, plan: Cases) -> tuple[Callable[[Feeds], Feeds], list[str]]:
    if candidate.inputs is None or candidate.run is None or not plan.specs:
        return (lambda feeds: feeds), []
    return fed_as(candidate.inputs, plan.specs)

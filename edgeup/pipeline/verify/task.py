"""The task's metrics over the cases: candidate against reference, and both against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.runtime.saved_outputs import array_names, load_arrays
from edgeup.runtime.task_metrics import Task
from edgeup.spec import Array, Outputs


class TaskTrack:
    """Metrics of the candidate, with the reference in the place of the truth."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._cases: dict[str, list[tuple[str, dict[str, float]]]] = {}
        self._reasons: dict[str, str] = {}

    def add(self, case: str, reference: Outputs, candidate: Outputs) -> None:
        """Take one case."""
        for name, wanted in reference.items():
            if name not in candidate:
                continue
            found = _computed(self._task, wanted, candidate[name])
            if isinstance(found, str):
                self._reasons[name] = found
            else:
                self._cases.setdefault(name, []).append((case, found))

    def sections(self) -> dict[str, dict[str, Any]]:
        """By output: each metric's worst value of any case, and all cases.

        Raises:
            EdgeupError: no output is of that kind.
        """
        if not self._cases:
            name, reason = next(iter(self._reasons.items()), ("", "nothing was compared"))
            raise EdgeupError(f"--task {self._task.name}: output {name}: {reason}")
        return {
            name: {
                **_numbers(self._task.worst([found for _, found in cases])),
                "cases": [{"kind": kind, **_numbers(found)} for kind, found in cases],
            }
            for name, cases in self._cases.items()
        }


class TruthTrack:
    """Metrics of both sides against ground truth.

    Args:
        task: what to compute.
        path: an .npz with an array per output, named ``CASE/OUTPUT``; where there is one case,
            ``OUTPUT`` will do. A case is named as its file, with or without the suffix.

    Raises:
        EdgeupError: the file cannot be read.
    """

    def __init__(self, task: Task, path: Path) -> None:
        self._task, self._path = task, path
        self._names = array_names(path)
        self._cases: dict[str, list[dict[str, Any]]] = {}
        self._plain_for: str | None = None

    def add(self, case: str, reference: Outputs, candidate: Outputs) -> None:
        """Take one case.

        Raises:
            EdgeupError: there is no truth for it, or of another size.
        """
        found = False
        for name in reference:
            member = self._member(case, name)
            if member is None or name not in candidate:
                continue
            truth = load_arrays(self._path, {name: member})[name]
            both = [
                self._against(truth, array, member) for array in (reference[name], candidate[name])
            ]
            self._cases.setdefault(name, []).append({"kind": case, "both": both})
            found = True
        if not found:
            raise EdgeupError(
                f"--ground-truth {self._path} has no array for {case}: wanted "
                f"{case}/{next(iter(reference))}; it has "
                f"{', '.join(self._names[:5]) or 'no array at all'}"
            )

    def sections(self) -> dict[str, dict[str, Any]]:
        """By output: each metric's mean over the cases, of both sides, and the difference."""
        sections = {}
        for name, cases in self._cases.items():
            sides = [self._task.mean([case["both"][side] for case in cases]) for side in (0, 1)]
            sections[name] = {
                **_both(*sides),
                "cases": [{"kind": case["kind"], **_both(*case["both"])} for case in cases],
            }
        return sections

    def _member(self, case: str, output: str) -> str | None:
        for member in (f"{case}/{output}", f"{Path(case).stem}/{output}"):
            if member in self._names:
                return member
        if output not in self._names:
            return None
        if self._plain_for not in (None, case):
            raise EdgeupError(
                f"--ground-truth {self._path}: {output} could be for {self._plain_for} or "
                f"{case}: name its arrays CASE/{output}"
            )
        self._plain_for = case
        return output

    def _against(self, truth: Array, output: Array, member: str) -> dict[str, float]:
        if self._task.name != "segmentation":
            if truth.size != output.size or truth.shape[-2:] != output.shape[-2:]:
                raise EdgeupError(
                    f"--ground-truth {self._path}: {member} is "
                    f"{'x'.join(map(str, truth.shape))}, and the output "
                    f"{'x'.join(map(str, output.shape))}"
                )
            truth = truth.reshape(output.shape)
            if output.dtype.kind == "f":
                truth = truth.astype(output.dtype)
        found = _computed(self._task, truth, output)
        if isinstance(found, str):
            raise EdgeupError(f"--ground-truth {self._path}: {member}: {found}")
        return found


def _computed(task: Task, reference: Array, candidate: Array) -> dict[str, float] | str:
    """The metrics, or why they cannot be computed."""
    try:
        if task.name != "segmentation" and reference.shape != candidate.shape:
            return "the shapes differ"
        return task.compute(reference, candidate)
    except EdgeupError as error:
        return str(error)


def _both(reference: Mapping[str, float], candidate: Mapping[str, float]) -> dict[str, Any]:
    difference = {name: candidate[name] - reference[name] for name in reference}
    return {
        "reference": _numbers(reference),
        "candidate": _numbers(candidate),
        "difference": _numbers(difference),
    }


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}

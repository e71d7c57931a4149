"""What explains the differences: the pairs that a diagnosis needs, kept within bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.runtime.diagnosis.contract import Pair
from edgeup.runtime.diagnosis.diagnose import diagnose
from edgeup.runtime.inputs import CONSTANT_KINDS, Case
from edgeup.spec import Array, Feeds, Outputs

MOST_CASES = 3
MOST_BYTES = 256 << 20
"""Of both sides' arrays and the inputs, kept besides the case that is being compared."""


class DiagnosisTrack:
    """Keeps a few cases, and diagnoses the outputs that failed in any case."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[Pair]] = {}
        self._failed: dict[str, None] = {}  # a set that keeps its order
        self._kept, self._bytes = 0, 0

    def add(
        self, case: Case, reference: Outputs, candidate: Outputs, failed: tuple[str, ...]
    ) -> None:
        """Take one case; ``failed``: the outputs that failed in it."""
        self._failed |= dict.fromkeys(failed)
        size = sum(
            array.nbytes
            for arrays in (reference, candidate, case.feeds)
            for array in arrays.values()
        )
        # Constants look the same however they are shifted: they would only outvote the others.
        if self._kept == MOST_CASES or case.kind in CONSTANT_KINDS:
            return
        if self._bytes + size > MOST_BYTES:
            return
        self._kept, self._bytes = self._kept + 1, self._bytes + size
        for name, wanted in reference.items():
            if name in candidate and _is_number(wanted) and _is_number(candidate[name]):
                pair = Pair(wanted, candidate[name], case.feeds)
                self._pairs.setdefault(name, []).append(pair)

    def sections(
        self, rerun: Callable[[Feeds], Mapping[str, Array]] | None
    ) -> dict[str, list[dict[str, Any]]]:
        """By output that failed: the causes that explain it, as a report holds them."""
        found = {}
        for name in self._failed:
            if pairs := self._pairs.get(name):
                again = None if rerun is None else _one_output(rerun, name)
                found[name] = [cause.to_json() for cause in _diagnosed(pairs, again)]
        return found


def _diagnosed(pairs: list[Pair], rerun: Callable[[Feeds], Array] | None) -> tuple[Any, ...]:
    try:
        return diagnose(pairs, rerun)
    except EdgeupError:  # the candidate does not run on inputs that it may have wanted
        return diagnose(pairs)


def _one_output(rerun: Callable[[Feeds], Mapping[str, Array]], name: str) -> Any:
    return lambda feeds: rerun(feeds)[name]


def _is_number(array: Array) -> bool:
    return array.dtype.kind == "f"

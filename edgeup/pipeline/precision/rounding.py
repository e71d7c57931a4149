"""Runs a model with some of its nodes rounding to 16 bits, and compares it with float32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.spec import Feeds, Outputs, Tolerance

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.precision.formats import Format
    from edgeup.runtime.inputs import Case
    from edgeup.runtime.ort_session import OnnxRuntimeSession
    from edgeup.runtime.parity import OutputParity, Tolerances


@dataclass(frozen=True)
class Rounded:
    """How far rounding moves the outputs, in the worst case, as shares of each output's peak."""

    max_of_peak: float
    rms_of_peak: float


class RoundingBench:
    """One float32 model as the reference, on fixed cases; a context manager.

    Args:
        model: as `edgeup.export.precision.convert.prepared` gives it.
        form: what is rounded to.
        cases: the inputs.
        tolerances: for `parity`.
        as_verify: judge as `edgeup verify` does: elements alone, whatever rounding the input does.
    """

    def __init__(
        self,
        model: ir.Model,
        form: Format,
        cases: Sequence[Case],
        tolerances: Tolerances,
        *,
        as_verify: bool = False,
    ) -> None:
        from edgeup.export.packed import loadable
        from edgeup.runtime.ort_session import OnnxRuntimeSession

        self.model, self.form, self.cases, self.tolerances = model, form, cases, tolerances
        self._as_verify = as_verify
        self._stack = ExitStack()
        with self._stack:
            source = self._stack.enter_context(loadable(model))
            session = OnnxRuntimeSession(source, optimize=False, yield_cores=True)
            self._float32 = self._stack.enter_context(session)
            self._stack = self._stack.pop_all()
        self._wanted: dict[int, Outputs] = {}
        self.runs = 0
        """Twins that were run."""

    def __enter__(self) -> RoundingBench:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def least_of_peak(self) -> float:
        """The share of its peak that the error of any output may have, whatever else it may."""
        one = self.tolerances
        every = [one] if isinstance(one, Tolerance) else list(one.values())
        return min(tolerance.atol_of_peak for tolerance in every)

    def twin(self, keep_fp32: frozenset[str]) -> ir.Model:
        """The rounding twin with these nodes in float32."""
        from edgeup.export.precision.convert import convert
        from edgeup.export.precision.twin import rounding_twin

        converted = convert(self.model, self.form.name, keep_fp32=keep_fp32)
        return rounding_twin(converted.model, self.form)

    def errors(
        self,
        keep_fp32: frozenset[str],
        cases: Sequence[Case],
        outputs: Collection[str] | None = None,
    ) -> list[Rounded]:
        """How far the twin is from float32, for each case; infinite where it is not finite.

        Args:
            keep_fp32: nodes of it that do not round.
            cases: what to run.
            outputs: look at these alone.
        """
        from edgeup.export.packed import loadable
        from edgeup.runtime.ort_session import OnnxRuntimeSession

        self.runs += 1
        with (
            loadable(self.twin(keep_fp32)) as source,
            OnnxRuntimeSession(source, optimize=False, yield_cores=True) as session,
        ):
            pairs = [(self._reference(case.feeds), session.run(case.feeds)) for case in cases]
        return [
            _away({n: a for n, a in wanted.items() if outputs is None or n in outputs}, got)
            for wanted, got in pairs
        ]

    def error(
        self,
        keep_fp32: frozenset[str],
        cases: Sequence[Case],
        outputs: Collection[str] | None = None,
    ) -> Rounded:
        """The worst of `errors`."""
        every = self.errors(keep_fp32, cases, outputs)
        return Rounded(max(e.max_of_peak for e in every), max(e.rms_of_peak for e in every))

    def parity(self, candidate: ir.Model) -> tuple[OutputParity, ...]:
        """Compare a model with float32; inputs and outputs may be in 16 bits.

        Where rounding the input alone moves the reference half as far as the candidate is away,
        the worst element proves nothing. There, the RMS error counts: it must be within the
        tolerance, or at most twice what rounding the input alone makes. Not so ``as_verify``:
        whoever named a tolerance is told whether that one is reached.
        """
        from edgeup.export.packed import loadable
        from edgeup.runtime.inputs import nudged
        from edgeup.runtime.ort_session import OnnxRuntimeSession
        from edgeup.runtime.parity import run_parity

        def nearby(feeds: Feeds) -> Iterator[Outputs]:
            for number in range(3):
                moved = nudged(feeds, number, *([] if self._as_verify else [self.form.unit]))
                yield self._float32.run(moved)

        with (
            loadable(candidate) as source,
            OnnxRuntimeSession(source, optimize=False, yield_cores=True) as session,
        ):
            outputs = run_parity(
                self._reference,
                _as_float32(session),
                self.cases,
                self.tolerances,
                nearby=nearby,
                by_rms=not self._as_verify,
            )
        return tuple(outputs)

    def _reference(self, feeds: Feeds) -> Outputs:
        if id(feeds) not in self._wanted:  # the cases live as long as this object
            self._wanted[id(feeds)] = self._float32.run(feeds)
        return self._wanted[id(feeds)]


def _as_float32(session: OnnxRuntimeSession) -> Callable[[Feeds], Outputs]:
    """Runs a session whose interface may be in fp16 on float32 arrays."""
    half = {spec.name for spec in session.inputs if spec.dtype == "float16"}

    def run(feeds: Feeds) -> Outputs:
        given = {n: a.astype(np.float16) if n in half else a for n, a in feeds.items()}
        return {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in session.run(given).items()
        }

    return run


def _away(wanted: Outputs, got: Outputs) -> Rounded:
    """The worst output; one that is not finite where the reference is makes it infinite."""
    worst = Rounded(0.0, 0.0)
    for name, array in wanted.items():
        if array.dtype.kind != "f":
            continue
        reference = array.astype(np.float64)
        finite = np.isfinite(reference)
        peak = float(np.abs(reference[finite]).max(initial=0.0)) or 1.0
        distance = np.abs(got[name].astype(np.float64)[finite] - reference[finite])
        if not np.isfinite(distance).all():
            return Rounded(float("inf"), float("inf"))
        if distance.size:
            largest, rms = float(distance.max()), float(np.sqrt(np.mean(distance**2)))
            worst = Rounded(
                max(worst.max_of_peak, largest / peak), max(worst.rms_of_peak, rms / peak)
            )
    return worst

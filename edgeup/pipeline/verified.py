"""Optimize a model, compare it with the original, and take back the site that is not equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from edgeup.errors import EdgeupError
from edgeup.spec import Feeds, TensorSpec, Tolerance
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.optimize import Optimized
    from edgeup.export.passes.contract import Aim, Chosen, Plan
    from edgeup.export.passes.driver import Choose, SiteModels
    from edgeup.runtime.inputs import Case
    from edgeup.runtime.parity import OutputParity

T = TypeVar("T")

Stage = Callable[[str], None]

ROUNDING = Tolerance(
    rtol=1e-4,
    atol_of_peak=5e-5,
    reason="a rewrite sums the same products in another order; fp32 rounding adds up over layers",
)

ROUNDING_FP16 = Tolerance(
    rtol=0.0,
    atol_of_peak=2e-2,
    reason="the file computes in fp16, and so do sums of its weights: as far as fp16 is from fp32",
)

KINDS = ("natural", "noise", "ramp", "impulse", "checkerboard", "zeros")
"""Zeros are ties everywhere: a max unpooling that takes another maximum shows there."""


@dataclass(frozen=True)
class Verified:
    """An optimized model after its check against the original."""

    optimized: Optimized
    parity: tuple[OutputParity, ...]
    rolled_back: tuple[str, ...] = ()
    notices: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Equal, and nothing had to be taken back."""
        return not self.rolled_back and all(output.passed for output in self.parity)


def aim_at(target: Target, opset: int) -> Aim:
    """What the passes need to know of a target."""
    from edgeup.export.passes.contract import Aim

    version = None
    if target.tensorrt is not None:
        major, minor = target.tensorrt.split(".")[:2]
        version = (int(major), int(minor))
    return Aim(target.name, target.backend, version, opset)


def rounding_of(model: ir.Model) -> Tolerance:
    """How far a rewrite may be from the model, by the types that it computes in."""
    import onnx_ir as ir

    held = (*model.graph.inputs, *(v for g in model.graphs() for v in g.initializers.values()))
    return ROUNDING_FP16 if any(v.dtype == ir.DataType.FLOAT16 for v in held) else ROUNDING


def optimize_verified(
    model: ir.Model,
    aim: Aim,
    choose: Choose,
    *,
    reference: ir.Model | None = None,
    seed: int = 0,
    verify: bool = True,
    stage: Stage = lambda words: None,
) -> Verified:
    """Optimize, compare with the original on seeded inputs, take back what is not equal.

    Args:
        model: what the passes start from.
        aim: what to optimize for.
        choose: decides between the forms of a site.
        reference: what to compare with; by default ``model``.
        seed: of the inputs.
        verify: whether to compare at all.
        stage: is told what begins.

    Raises:
        EdgeupError: the original does not run, or has open dimensions that cannot be guessed.
    """
    from edgeup.export.optimize import optimize

    check = _Check(model if reference is None else reference, seed) if verify else None
    optimized = optimize(model, aim, choose, stage=stage)
    if check is None:
        return Verified(optimized, ())
    stage("comparing with the original")
    with check:
        return _without_unequal(optimized, model, aim, choose, check, stage)


def _without_unequal(
    optimized: Optimized,
    model: ir.Model,
    aim: Aim,
    choose: Choose,
    check: Callable[[Optimized], tuple[OutputParity, ...]],
    stage: Stage,
) -> Verified:
    """Take back one site after the other until the rest is equal."""
    from edgeup.export.optimize import optimize

    parity = check(optimized)
    rolled_back: list[str] = []
    while not _passes(parity):
        out = frozenset(rolled_back)

        def passes_with_first(count: int, out: frozenset[str] = out) -> bool:
            return _passes(check(optimize(model, aim, _first(count, choose), excluded=out)))

        number = _first_wrong(len(optimized.rewritten), passes_with_first)
        if number is None:
            break
        culprit = optimized.rewritten[number].key
        stage(f"taking back {culprit}")
        rolled_back.append(culprit)
        optimized = optimize(model, aim, choose, excluded=frozenset(rolled_back))
        parity = check(optimized)
    notices = tuple(
        f"rolled back {key}: its values differed from the original's" for key in rolled_back
    )
    return Verified(optimized, parity, tuple(rolled_back), notices)


def _passes(parity: Sequence[OutputParity]) -> bool:
    return all(output.passed for output in parity)


def _first(count: int, choose: Choose) -> Choose:
    """Rewrites the first ``count`` sites, and leaves all after them as they are.

    A prefix replays the same rewrites; leaving out one in the middle could open other sites.
    """
    from edgeup.export.passes.contract import Chosen

    left = count

    def choose_first(plan: Plan, models: SiteModels) -> Chosen:
        nonlocal left
        if left == 0:
            return Chosen(None, "beyond the first sites")
        chosen = choose(plan, models)
        left -= chosen.candidate is not None
        return chosen

    return choose_first


def _first_wrong(sites: int, passes_with_first: Callable[[int], bool]) -> int | None:
    """The number of the site, from 0, that turns a passing model into a failing one; by halving.

    None where the model fails without any rewrite: it is not the rewrites' fault.
    """
    if sites == 0 or not passes_with_first(0):
        return None
    passing, failing = 0, sites
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if passes_with_first(middle):
            passing = middle
        else:
            failing = middle
    return passing


class _Check:
    """Compares optimized models with one original, which runs once per input; a context manager."""

    def __init__(self, model: ir.Model, seed: int) -> None:
        self._cases = list(cases_for(model, seed))
        self._model = model
        self._tolerance = rounding_of(model)
        self._stack = ExitStack()

    def __enter__(self) -> _Check:
        from edgeup.export.packed import loadable
        from edgeup.runtime.inputs import nudged
        from edgeup.runtime.ort_session import OnnxRuntimeSession

        with self._stack:
            source = self._stack.enter_context(loadable(self._model))
            try:
                session = OnnxRuntimeSession(source, optimize=False)
            except EdgeupError as error:  # an operator of the file's own, as a rule
                raise EdgeupError(f"{error}; --no-verify leaves the comparison out") from error
            original = self._stack.enter_context(session)
            self._stack = self._stack.pop_all()
        self._original = _once(original.run)
        self._nearby = _once(
            lambda feeds: [original.run(nudged(feeds, number)) for number in range(3)]
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def __call__(self, optimized: Optimized) -> tuple[OutputParity, ...]:
        from edgeup.export.packed import loadable
        from edgeup.runtime.ort_session import OnnxRuntimeSession
        from edgeup.runtime.parity import run_parity

        with (
            loadable(optimized.model) as source,
            OnnxRuntimeSession(source, optimize=False) as candidate,
        ):
            return tuple(
                run_parity(
                    self._original,
                    candidate.run,
                    self._cases,
                    self._tolerance,
                    nearby=self._nearby,
                )
            )


def _once(run: Callable[[Feeds], T]) -> Callable[[Feeds], T]:
    """Remember what a run gave for the very same feeds, which live as long as the check."""
    given: dict[int, T] = {}

    def remembered(feeds: Feeds) -> T:
        if id(feeds) not in given:
            given[id(feeds)] = run(feeds)
        return given[id(feeds)]

    return remembered


TO_STAY_OPEN = (
    "which freezes them in the result, or leave them open with --no-verify and compare afterwards, "
    "with `edgeup verify` and the same --shape"
)


def cases_for(model: ir.Model, seed: int, instead: str = TO_STAY_OPEN) -> Iterator[Case]:
    """Seeded inputs of every kind.

    Raises:
        EdgeupError: a dimension is open; the line says which ``--shape`` would close it, and
            what could be done ``instead``.
    """
    from edgeup.export.load import input_specs
    from edgeup.runtime.inputs import test_inputs

    specs = input_specs(model)
    if missing := shapes_wanted(specs):
        raise EdgeupError(
            f"input {next(spec for spec in specs if not spec.is_static)} has open dimensions, so "
            f"the model cannot be run as it is: give their sizes ({missing}), {instead}"
        )
    return test_inputs(specs, seed, kinds=KINDS)


def shapes_wanted(specs: Iterable[TensorSpec]) -> str:
    """The options that would close every open dimension, each with its name in place of a size."""
    return " ".join(f"--shape {spec}" for spec in specs if not spec.is_static)


def closable(reason: str, specs: Iterable[TensorSpec]) -> str:
    """A pass's reason, with the options that would close what is open where it says --shape."""
    wanted = shapes_wanted(specs)
    return reason.replace("--shape", wanted) if wanted else reason


def site_sections(optimized: Optimized) -> dict[str, Any]:
    """The report's ``rewrites`` and ``refusals``; those that open dimensions block say which."""
    from edgeup.export.load import input_specs

    specs = input_specs(optimized.model)

    return {
        "rewrites": [
            {**entry, "why": closable(entry["why"], specs)}
            for entry in (site.to_json() for site in optimized.sites)
        ],
        "refusals": [
            {"pass": rule, "node": refusal.node, "reason": closable(refusal.reason, specs)}
            for rule, refusal in optimized.refusals
        ],
    }

"""Tuning: forms are chosen by their measured times, and the whole model must gain from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.verified import Stage, Verified, cases_for, optimize_verified
from edgeup.spec import Feeds, ModelSource, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim
    from edgeup.export.passes.tuned import Judge, Verdict
    from edgeup.runtime.latency import Ratio
    from edgeup.runtime.timer import Budget, Times

Compare = Callable[[ModelSource, ModelSource, Feeds, "int | None"], "Ratio"]
"""How long the first model takes in units of the second, on these feeds and threads."""


@dataclass(frozen=True)
class Tuned:
    """A verified model, and the report's ``tuning`` about it."""

    verified: Verified
    facts: dict[str, Any]
    notices: tuple[str, ...]


def check_tunable(target: str, backend: str) -> None:
    """Refuse a target whose backend cannot be timed here.

    Raises:
        EdgeupError: its times would be another device's.
    """
    if backend != "onnxruntime":
        raise EdgeupError(
            f"--tune measures on the target's own backend, and {target} runs {backend}, which "
            f"this CPU's times say nothing of; leave --tune out (forms are then chosen by an "
            f"estimate), or tune for --target cpu"
        )


def tune_and_optimize(
    model: ir.Model,
    aim: Aim,
    *,
    threads: int | None = None,
    cache_folder: Path | None = None,
    reference: ir.Model | None = None,
    seed: int = 0,
    verify: bool = True,
    stage: Stage = lambda words: None,
    judge: Judge | None = None,
    compare: Compare | None = None,
) -> Tuned:
    """Optimize with measured forms; keep them only if the whole model is surely faster.

    Otherwise the original sites stay, but for what the target refuses as written. What was
    measured is kept in the cache as soon as it is known, so Ctrl-C loses none of it.

    Args:
        model: what the passes start from; its inputs have no open dimensions.
        aim: what to optimize for: ONNX Runtime on this machine.
        threads: of the measurements; by default all cores.
        cache_folder: where ``tuning.json`` lies; None keeps nothing beyond this run.
        reference: what to compare values with; by default ``model``.
        seed: of the inputs.
        verify: whether to compare values at all.
        stage: is told what begins.
        judge: times the forms of a site; by default `measured_judge`.
        compare: times whole models; by default `whole_model_ratio`.

    Raises:
        EdgeupError: the target's backend cannot be timed here; the original does not run, or
            has open dimensions.
    """
    from edgeup.export.packed import loadable
    from edgeup.export.passes.tuned import only_required, tuned_choice
    from edgeup.pipeline.tuning.cache import TuningCache, this_machine

    check_tunable(aim.target, aim.backend)
    notices: list[str] = []
    feeds = next(cases_for(model, seed, "or leave --tune out")).feeds
    cache = TuningCache(cache_folder, this_machine(threads), notices.append)
    choose = tuned_choice(judge or measured_judge(threads, seed, stage), cache)
    options: dict[str, Any] = {
        "reference": reference,
        "seed": seed,
        "verify": verify,
        "stage": stage,
    }
    verified = optimize_verified(model, aim, choose, **options)
    gain: Ratio | None = None
    kept = bool(verified.optimized.rewritten)
    if kept:
        stage("timing the whole model against the original")
        with loadable(model) as original, loadable(verified.optimized.model) as tuned:
            gain = (compare or whole_model_ratio)(original, tuned, feeds, threads)
        kept = gain.low > 1.0
    if gain is not None and not kept:
        why = f"the whole model is not surely faster with the tuned forms: {_words(gain)}"
        notices.append(f"the original sites stay: {why}")
        verified = optimize_verified(model, aim, only_required(choose, why), **options)
    facts = {
        "measured": len(cache.measured),
        "from_cache": len(cache.hits),
        "cache": None if cache.path is None else str(cache.path),
        "versus_original": None if gain is None else asdict(gain),
        "kept": kept,
    }
    return Tuned(verified, facts, tuple(notices))


def _words(gain: Ratio) -> str:
    return f"{gain.median:.3f} times as fast ({gain.low:.3f} to {gain.high:.3f})"


def whole_model_ratio(
    original: ModelSource, tuned: ModelSource, feeds: Feeds, threads: int | None = None
) -> Ratio:
    """The original's time in units of the tuned model's, interleaved; above 1: tuned is faster.

    Where a measurement leaves open which of them is, a longer one is made: a gain of 2 % beside a
    busy neighbour takes the longest.
    """
    from edgeup.runtime.latency import measure_onnx, ratio
    from edgeup.runtime.timer import Budget

    models = {"original": original, "tuned": tuned}
    for seconds, rounds in ((4.0, 15), (16.0, 40), (48.0, 80)):
        budget = Budget(duration_s=seconds, min_rounds=rounds)
        times = measure_onnx(models, feeds, threads=threads, budget=budget)
        gain = ratio(times["original"], times["tuned"])
        if not gain.low <= 1.0 <= gain.high:
            break
    return gain


def measured_judge(threads: int | None, seed: int, stage: Stage) -> Judge:
    """Times the forms of a site with ONNX Runtime on this CPU."""
    from edgeup.pipeline.tuning.contest import contest
    from edgeup.runtime.inputs import test_inputs
    from edgeup.runtime.latency import measure_onnx

    judged = 0

    def judge(forms: Mapping[str, bytes], specs: tuple[TensorSpec, ...]) -> Verdict:
        nonlocal judged
        judged += 1
        stage(f"tuning site {judged}: {len(forms)} forms at {', '.join(map(str, specs))}")
        feeds = next(test_inputs(specs, seed, kinds=("noise",))).feeds

        def race(names: Sequence[str], budget: Budget) -> dict[str, Times]:
            models = {name: forms[name] for name in names}
            return measure_onnx(models, feeds, threads=threads, budget=budget)

        return contest(list(forms), race)

    return judge

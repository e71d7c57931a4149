"""How the forms of sites are chosen: by the static estimate, or by measuring with --tune."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.pipeline.verified import Stage, Verified, optimize_verified

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


@dataclass(frozen=True)
class Forms:
    """What decides between the forms of a site.

    Attributes:
        tune: measure them; otherwise they are estimated.
        threads: of the measurements; None for all cores.
        cache_folder: where measurements are kept; None keeps none.
    """

    tune: bool = False
    threads: int | None = None
    cache_folder: Path | None = None


def optimize_with(
    forms: Forms,
    model: ir.Model,
    aim: Aim,
    *,
    reference: ir.Model | None = None,
    seed: int = 0,
    verify: bool = True,
    stage: Stage = lambda words: None,
) -> tuple[Verified, dict[str, Any] | None]:
    """The optimized model, and the report's ``tuning`` where forms were measured.

    Raises:
        EdgeupError: as `optimize_verified` and `tune_and_optimize`.
    """
    if forms.tune:
        from edgeup.pipeline.tuning.model import tune_and_optimize

        tuned = tune_and_optimize(
            model,
            aim,
            threads=forms.threads,
            cache_folder=forms.cache_folder,
            reference=reference,
            seed=seed,
            verify=verify,
            stage=stage,
        )
        notices = (*tuned.verified.notices, *tuned.notices)
        return replace(tuned.verified, notices=notices), tuned.facts
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.estimate import efficiency_for

    verified = optimize_verified(
        model,
        aim,
        static_choice(efficiency_for(aim)),
        reference=reference,
        seed=seed,
        verify=verify,
        stage=stage,
    )
    return verified, None

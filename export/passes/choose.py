"""The static choice between the forms of a site."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Chosen, Plan
from edgeup.export.passes.estimate import Estimate, estimate_ms

if TYPE_CHECKING:
    from edgeup.export.passes.driver import Choose, SiteModels

LEAST_GAIN = 1.2
"""A form replaces "as written" when the estimate promises at least this: below it, the estimate's
own error decides, and a rewrite that gains nothing is a risk for nothing."""


def static_choice(efficiency: Estimate) -> Choose:
    """Choose by the estimate for one backend."""

    def choose(plan: Plan, models: SiteModels) -> Chosen:
        if plan.simpler:
            return Chosen(plan.candidates[0], "less of the same work")
        estimates = {
            candidate.form: estimate_ms(models.form(candidate), efficiency)
            for candidate in plan.candidates
        }
        written = estimate_ms(models.as_written, efficiency)
        if written is None or None in estimates.values():
            if plan.required:
                return Chosen(plan.candidates[0], "the target does not take it as written")
            why = "its shapes are not known, so no form can be judged: --shape would fix them"
            return Chosen(None, why)
        known = {form: ms for form, ms in estimates.items() if ms is not None}
        best = min(plan.candidates, key=lambda candidate: known[candidate.form])
        if plan.required:
            return Chosen(best, "the target does not take it as written")
        fastest = known[best.form]
        gain = written / fastest if fastest else math.inf  # a form of nothing but constants
        if gain >= LEAST_GAIN:
            return Chosen(best, f"estimated {gain:.2f} times faster")
        return Chosen(None, f"best form estimated {gain:.2f} times as fast, wanted {LEAST_GAIN}")

    return choose

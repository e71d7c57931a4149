"""A model at an older opset, where passes first take out what that opset cannot say.

A Resize with antialias has no words in opset 13, and TensorRT 8.0, which reads opset 13, has none
either: the pass that rewrites it for that TensorRT also takes it out of the way of the opset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.verified import aim_at, closable
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim, Chosen, Plan, Site
    from edgeup.export.passes.driver import Choose, SiteModels


@dataclass(frozen=True)
class Lowered:
    """The model at the wanted opset, and the sites that were rewritten on the way."""

    model: ir.Model
    sites: tuple[Site, ...] = ()


def lower(model: ir.Model, target: Target, opset: int, ir_version: int) -> Lowered:
    """Bring a model to an opset; where that fails, rewrite what the target lacks, and try again.

    Raises:
        EdgeupError: a node cannot be expressed at that opset; the line names it.
    """
    from edgeup.export.load import input_specs
    from edgeup.export.opset import OpsetError, convert_opset
    from edgeup.export.optimize import optimize

    try:
        return Lowered(convert_opset(model, opset, ir_version))
    except OpsetError:
        aim = aim_at(target, model.opset_imports.get("", opset))
        done = optimize(model, aim, _what_is_required(aim))
    try:
        return Lowered(convert_opset(done.model, opset, ir_version), done.rewritten)
    except OpsetError as error:
        in_the_way = {refusal.node for refusal in error.refusals}
        reasons = [
            closable(near.reason, input_specs(model))
            for _, near in done.refusals
            if near.node in in_the_way
        ]
        raise EdgeupError("; ".join([str(error), *reasons[:1]])) from error


def _what_is_required(aim: Aim) -> Choose:
    """The estimate's choice where the target refuses a site; every other stays."""
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.contract import Chosen
    from edgeup.export.passes.estimate import efficiency_for

    estimated = static_choice(efficiency_for(aim))

    def choose(plan: Plan, models: SiteModels) -> Chosen:
        if plan.required:
            return estimated(plan, models)
        return Chosen(None, "looked at again at the target's opset")

    return choose

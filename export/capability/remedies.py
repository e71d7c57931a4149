"""Which of edgeup's own passes would rewrite a node for a target: the passes are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Plan, Refusal
from edgeup.export.passes.facts import number_nodes
from edgeup.export.passes.order import PASSES
from edgeup.export.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


def remedies(model: ir.Model, aim: Aim) -> Mapping[str, str]:
    """Per node name: the pass that rewrites it, or why the one that would does not.

    Args:
        model: with a name of its own at every node (`optimize.name_nodes`); left unchanged.
        aim: what the passes would rewrite it for.
    """
    work = model.clone()
    infer_shapes(work)
    plans: dict[str, str] = {}
    misses: dict[str, str] = {}
    rules = {rule.name: rule for rule in PASSES}
    for graph in list(work.graphs()):
        number_nodes(graph)
        for rule in rules.values():
            for node in graph:
                answer = rule.check(node, aim)
                if isinstance(answer, Refusal):
                    misses.setdefault(answer.node, f"pass {rule.name} leaves it: {answer.reason}")
                elif isinstance(answer, Plan) and (answer.required or answer.simpler):
                    text = f"edgeup optimize --target {aim.target} rewrites it (pass {rule.name})"
                    plans.update({n.name or "": text for n in answer.nodes if n.name not in plans})
    return {**misses, **plans}

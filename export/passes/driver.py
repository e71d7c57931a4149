"""Carries one rule through a model: look at every node, choose a form, put it in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeup.export.passes.builder import Builder
from edgeup.export.passes.contract import (
    AS_WRITTEN,
    Aim,
    Chosen,
    Outcome,
    Plan,
    Refusal,
    Rule,
    Site,
)
from edgeup.export.passes.facts import number_nodes, place_of
from edgeup.export.passes.site_cost import bytes_of, macs_of
from edgeup.export.passes.small_model import site_as, site_as_written

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Candidate

Choose = Callable[[Plan, "SiteModels"], Chosen]
"""Decides between a plan's forms; it may measure them."""


@dataclass
class SiteModels:
    """A site's forms as small models, each made when it is first asked for."""

    plan: Plan
    model: ir.Model
    key: str
    _made: dict[str, ir.Model] = field(default_factory=dict)

    @property
    def as_written(self) -> ir.Model:
        """The site as it stands in the model."""
        if AS_WRITTEN not in self._made:
            self._made[AS_WRITTEN] = site_as_written(self.plan, self.model)
        return self._made[AS_WRITTEN]

    def form(self, candidate: Candidate) -> ir.Model:
        """The site in another form."""
        if candidate.form not in self._made:
            self._made[candidate.form] = site_as(self.plan, candidate, self.model)
        return self._made[candidate.form]


def sweep(
    model: ir.Model,
    rule: Rule,
    aim: Aim,
    choose: Choose,
    excluded: frozenset[str] = frozenset(),
) -> Outcome:
    """Apply a rule wherever it fits, in place; new nodes are looked at again.

    Args:
        model: every node has a name of its own, and shapes are inferred.
        rule: what to look for.
        aim: what the graph is optimized for.
        choose: decides between the forms of a site.
        excluded: keys of sites to leave alone (they were rolled back).
    """
    outcome = Outcome()
    for graph in list(model.graphs()):
        _sweep_graph(model, graph, rule, aim, choose, excluded, outcome)
    return outcome


def _sweep_graph(
    model: ir.Model,
    graph: ir.Graph,
    rule: Rule,
    aim: Aim,
    choose: Choose,
    excluded: frozenset[str],
    outcome: Outcome,
) -> None:
    number_nodes(graph)
    waiting = deque(graph)
    decided: set[str] = set()
    moved = False
    while waiting:
        node = waiting.popleft()
        if node.graph is not graph:
            continue  # replaced in the meantime
        answer = rule.check(node, aim)
        if isinstance(answer, Refusal):
            outcome.refusals[rule.name, answer] = None
            continue
        if answer is None:
            continue
        key = f"{rule.name}@{answer.anchor.name}"
        if key in excluded or key in decided:
            continue
        decided.add(key)
        models = SiteModels(answer, model, key)
        chosen = choose(answer, models)
        outcome.sites.append(_site(rule, key, answer, chosen, models))
        if chosen.candidate is not None:
            users = [usage.node for value in answer.outputs for usage in value.uses()]
            waiting.extend(_place(graph, answer, chosen.candidate, models, rule))
            waiting.extend(users)
            moved = True
    if moved:
        graph.sort()


def _place(
    graph: ir.Graph, plan: Plan, candidate: Candidate, models: SiteModels, rule: Rule
) -> Iterable[ir.Node]:
    from onnx_ir.convenience import replace_nodes_and_values

    builder = Builder(f"{plan.anchor.name}~{rule.name}")
    outputs = candidate.build(builder, plan.inputs)
    # The small model's shapes were inferred; its nodes were written in the same order.
    for made, inferred in zip(builder.nodes, models.form(candidate).graph, strict=True):
        for new, old in zip(made.outputs, inferred.outputs, strict=True):
            new.type, new.shape = old.type, old.shape
    for old, new in zip(plan.outputs, outputs, strict=True):
        if old.is_graph_output():  # the interface stays as declared, even where more is known
            new.type, new.shape = old.type, old.shape
    number_nodes(builder.nodes, before=place_of(plan.anchor))
    for value in builder.initializers:
        graph.register_initializer(value)
    replace_nodes_and_values(
        graph, plan.anchor, list(plan.nodes), builder.nodes, list(plan.outputs), list(outputs)
    )
    return builder.nodes


def _site(rule: Rule, key: str, plan: Plan, chosen: Chosen, models: SiteModels) -> Site:
    before = models.as_written
    after = before if chosen.candidate is None else models.form(chosen.candidate)
    return Site(
        rule=rule.name,
        key=key,
        nodes=tuple(node.name or "" for node in plan.nodes),
        form=AS_WRITTEN if chosen.candidate is None else chosen.candidate.form,
        why=f"{plan.why}; {chosen.why}",
        macs_before=macs_of(before),
        macs_after=macs_of(after),
        bytes_before=bytes_of(before),
        bytes_after=bytes_of(after),
    )

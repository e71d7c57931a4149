"""All passes over a model, in order; every change is listed, and the interface is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import AS_WRITTEN, Aim, Refusal, Rule, Site
from edgeup.export.passes.driver import Choose, sweep
from edgeup.export.passes.invariants import (
    check_interface,
    declare_again,
    declared_outputs,
    interface_of,
)
from edgeup.export.passes.order import PASSES
from edgeup.export.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Optimized:
    """A model after the passes; the one that was given is unchanged."""

    model: ir.Model
    sites: tuple[Site, ...]
    refusals: tuple[tuple[str, Refusal], ...]

    @property
    def rewritten(self) -> tuple[Site, ...]:
        """The sites that took another form."""
        return tuple(site for site in self.sites if site.form != AS_WRITTEN)


def optimize(
    model: ir.Model,
    aim: Aim,
    choose: Choose,
    *,
    excluded: frozenset[str] = frozenset(),
    passes: Sequence[Rule] = PASSES,
    stage: Callable[[str], None] = lambda words: None,
) -> Optimized:
    """Run the passes on a copy; weights are shared with the original.

    Args:
        model: any ONNX model.
        aim: what to optimize for.
        choose: decides between the forms of a site.
        excluded: keys of sites to leave as they are.
        passes: for tests; otherwise all of them, in `order`.
        stage: is told which pass begins.

    Raises:
        EdgeupError: a pass changed the interface (a bug, caught before anything is written).
    """
    from onnx_ir.passes.common import (
        IdentityEliminationPass,
        RemoveUnusedNodesPass,
    )

    work = model.clone()
    name_nodes(work)
    declared = declared_outputs(work)
    interface = interface_of(work, declared)
    infer_shapes(work)
    RemoveUnusedNodesPass()(work)  # a dead node that reads a map would hide a site
    sites: list[Site] = []
    refusals: dict[tuple[str, Refusal], None] = {}
    for rule in passes:
        stage(f"pass {rule.name}")
        outcome = sweep(work, rule, aim, choose, excluded)
        sites += outcome.sites
        refusals |= outcome.refusals
        if outcome.modified:
            IdentityEliminationPass()(work)
            RemoveUnusedNodesPass()(work)
            check_interface(interface, work, declared, rule.name)
    declare_again(work, declared)
    return Optimized(work, tuple(sites), tuple(refusals))


def name_nodes(model: ir.Model) -> None:
    """Give every node a name of its own; names that are unique already stay."""
    seen: set[str] = set()
    for graph in model.graphs():
        for index, node in enumerate(graph):
            name = node.name or f"{node.op_type}_{index}"
            number = 1
            while name in seen:
                name = f"{node.name or node.op_type}_{index}_{number}"
                number += 1
            node.name = name
            seen.add(name)

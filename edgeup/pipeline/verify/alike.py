"""Calls a candidate's values as the reference calls those that they correspond to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.pipeline.verify.correspondence import corresponding

if TYPE_CHECKING:
    import onnx_ir as ir

_DISPLACED = "~of the candidate"


def name_alike(reference: ir.Model, candidate: ir.Model) -> dict[str, str]:
    """Rename values of the candidate, in place; inputs keep their names, since they are fed.

    Args:
        reference: whose names are taken.
        candidate: shapes are inferred in both.

    Returns:
        What values were called that had to make way for others, by what they are called now.
    """
    graph = candidate.graph
    made = {value.name: value for node in graph for value in node.outputs}
    fixed = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    fixed |= {v.name for node in graph.all_nodes() for v in node.outputs if node.graph is not graph}
    wanted = {
        other: value.name
        for value, other in corresponding(reference.graph, graph).items()
        if value.name and value.name not in fixed and other.name in made
    }
    moved = {}
    for name in set(wanted.values()):
        if name in made and made[name] not in wanted:
            moved[f"{name}{_DISPLACED}"] = name
            made[name].name = f"{name}{_DISPLACED}"
    for place, value in enumerate(wanted):  # two of them may change their names for each other's
        value.name = f"{place}{_DISPLACED}"
    for value, name in wanted.items():
        value.name = name
    return moved

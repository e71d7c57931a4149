"""What a report says of the written graph's insides: its stages, and what a board would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError
from edgeup.pipeline.estimate.model import estimate_sections
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.stages import Stage
    from edgeup.runtime.parity import OutputParity


def graph_sections(
    content: bytes,
    target: Target,
    precision: str | None = None,
    rewrites: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The report's ``stages``, and its ``estimate`` where the target names a board.

    Args:
        content: the ONNX file as it is written; its shapes are inferred.
        target: what it is for.
        precision: that the estimate counts with; None is that of the graph's weights.
        rewrites: the report's, each of which belongs to a stage.
    """
    import onnx
    import onnx_ir as ir

    from edgeup.export.shapes import infer_shapes

    model = ir.from_proto(onnx.load_model_from_string(content))
    infer_shapes(model)
    if target.board is None:
        return {"stages": stages_section(model, rewrites)}
    try:
        estimate = estimate_sections(model, target, precision)
    except EdgeupError as error:
        return {"stages": stages_section(model, rewrites), "estimate": {"not_made": str(error)}}
    times = times_by_layer(estimate)
    return {"stages": stages_section(model, rewrites, times), "estimate": estimate}


def times_by_layer(estimate: Mapping[str, Any]) -> dict[str, float]:
    """Of an estimate, in microseconds: what `stages_section` adds up."""
    return {layer["name"]: layer["estimate_us"] for layer in estimate["layers"]}


def stages_section(
    model: ir.Model,
    rewrites: Sequence[Mapping[str, Any]] | None = (),
    times_us: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """An entry per stage.

    Args:
        model: its shapes are inferred already.
        rewrites: the report's; None where it is not known what a pass did, and no forms are told.
        times_us: what layers are estimated to take, by the name of their first node.
    """
    from edgeup.export.cost import macs, nodes_by_operator_of
    from edgeup.export.stages import stages_of

    stages = stages_of(model)
    counted = macs(model).total is not None
    forms = _forms_by_stage(stages, rewrites or ())
    return [
        {
            "name": stage.name,
            "side": stage.side,
            "height": stage.height,
            "width": stage.width,
            "channels": stage.channels,
            "nodes": len(stage.nodes),
            "first": stage.nodes[0].name or "",
            "last": stage.nodes[-1].name or "",
            "operators": nodes_by_operator_of(stage.nodes),
            "macs": stage.macs if counted else None,
            **({} if rewrites is None else {"forms": forms[number]}),
            **({} if times_us is None else {"estimate_us": _time(stage, times_us)}),
        }
        for number, stage in enumerate(stages)
    ]


def worst_case_section(parity: Iterable[OutputParity]) -> list[dict[str, Any]]:
    """The report's ``worst_case``: pictures of every output that has a height and a width."""
    return [
        {"output": output.name, **output.views.to_json()}
        for output in parity
        if output.views is not None
    ]


def _forms_by_stage(
    stages: Sequence[Stage], rewrites: Sequence[Mapping[str, Any]]
) -> list[list[dict[str, Any]]]:
    """The sites of each stage by pass and form: a site is where the nodes that stand for it are."""
    from edgeup.export.stages import root_of

    number_of = {
        root_of(node.name or ""): number
        for number, stage in enumerate(stages)
        for node in stage.nodes
    }
    counts: list[Counter[tuple[str, str]]] = [Counter() for _ in stages]
    for site in rewrites:
        roots = [root_of(name) for name in reversed(site["nodes"])]
        number = next((number_of[root] for root in roots if root in number_of), None)
        if number is not None:
            counts[number][site["pass"], site["form"]] += 1
    return [
        [{"pass": rule, "form": form, "sites": sites} for (rule, form), sites in count.items()]
        for count in counts
    ]


def _time(stage: Stage, times_us: Mapping[str, float]) -> float:
    """A layer's time is its first node's."""
    return sum(times_us.get(node.name or "", 0.0) for node in stage.nodes)

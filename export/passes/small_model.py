"""A site, or a form of it, as a model of its own: to infer shapes, to count, to run, to time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeup.export.passes.builder import Builder

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Candidate, Plan


def site_as_written(plan: Plan, model: ir.Model) -> ir.Model:
    """The plan's nodes, cloned, with its inputs and outputs as graph inputs and outputs."""
    import onnx_ir as ir

    values = dict(zip(plan.inputs, _like(plan.inputs), strict=True))
    constants: list[ir.Value] = []
    nodes: list[ir.Node] = []
    for node in plan.nodes:
        inputs: list[ir.Value | None] = []
        for value in node.inputs:
            if value is not None and value not in values:
                values[value] = _copied_constant(value)
                constants.append(values[value])
            inputs.append(None if value is None else values[value])
        made = ir.node(
            node.op_type,
            inputs,
            domain=node.domain,
            num_outputs=len(node.outputs),
            name=node.name,
        )
        made.attributes.update(node.attributes)
        for old, new in zip(node.outputs, made.outputs, strict=True):
            new.name, new.type, new.shape = old.name, old.type, old.shape
            values[old] = new
        nodes.append(made)
    heads = [values[value] for value in plan.inputs]
    return _model(heads, [values[v] for v in plan.outputs], nodes, constants, model)


def site_as(plan: Plan, candidate: Candidate, model: ir.Model) -> ir.Model:
    """The site in another form, shapes inferred.

    Raises:
        ValueError: the candidate does not give as many outputs as the plan has.
    """
    from onnx_ir.passes.common import ShapeInferencePass

    builder = Builder("site")
    heads = _like(plan.inputs)
    outputs = candidate.build(builder, heads)
    if len(outputs) != len(plan.outputs):
        raise ValueError(f"{candidate.form} gave {len(outputs)} values for {len(plan.outputs)}")
    for old, new in zip(plan.outputs, outputs, strict=True):
        new.type, new.shape = old.type, old.shape
    made = _model(heads, outputs, builder.nodes, builder.initializers, model)
    return ShapeInferencePass()(made).model


def _like(values: Sequence[ir.Value]) -> list[ir.Value]:
    import onnx_ir as ir

    return [
        ir.Value(name=f"input_{index}", type=value.type, shape=value.shape)
        for index, value in enumerate(values)
    ]


def _copied_constant(value: ir.Value) -> ir.Value:
    import onnx_ir as ir

    from edgeup.export.passes.facts import constant

    array = constant(value)
    if array is None:
        raise ValueError(f"{value.name} is neither an input of the plan nor constant")
    tensor = value.const_value if value.const_value is not None else ir.tensor(array)
    return ir.Value(
        name=value.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )


def _model(
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    constants: Sequence[ir.Value],
    model: ir.Model,
) -> ir.Model:
    import onnx_ir as ir

    graph = ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=constants,
        opset_imports=dict(model.opset_imports),
        name="site",
    )
    return ir.Model(graph, ir_version=model.ir_version)

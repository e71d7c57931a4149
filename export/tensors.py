"""Every tensor that a model holds, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def tensors_of(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Initializers, and attributes of nodes: in branches and in local functions too."""
    for graph in graphs_of(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                yield from _tensors_in(attribute)


def graphs_of(model: ir.Model) -> Iterator[ir.Graph]:
    """The main graph, local functions, and the branches in any of them."""
    yield from model.graphs()
    for function in model.functions.values():
        yield function.graph
        yield from function.subgraphs()


def _tensors_in(attribute: ir.Attr) -> Sequence[ir.TensorProtocol]:
    import onnx_ir as ir

    if attribute.is_ref():  # of a local function: its caller has the value
        return ()
    if attribute.type == ir.AttributeType.TENSOR:
        return (attribute.as_tensor(),)
    if attribute.type == ir.AttributeType.TENSORS:
        return tuple(attribute.as_tensors())
    return ()


def with_tensors(
    model: ir.Model, convert: Callable[[ir.TensorProtocol], ir.TensorProtocol]
) -> ir.Model:
    """A copy with each tensor converted; the numbers of those that stay are shared."""
    import onnx_ir as ir

    work = model.clone()
    for graph in graphs_of(work):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = convert(value.const_value)
        for node in graph:
            for name, attribute in list(node.attributes.items()):
                held = [convert(tensor) for tensor in _tensors_in(attribute)]
                if not held:
                    continue
                if attribute.type == ir.AttributeType.TENSOR:
                    node.attributes[name] = ir.AttrTensor(name, held[0])
                else:
                    node.attributes[name] = ir.AttrTensors(name, held)
    return work


def inside(model: ir.Model) -> ir.Model:
    """The model with all its numbers in memory; itself where they are."""
    import onnx_ir as ir

    def loaded(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        if not isinstance(tensor, ir.ExternalTensor):
            return tensor
        return ir.external_data.convert_tensors_from_external([tensor])[0]

    if not any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors_of(model)):
        return model
    return with_tensors(model, loaded)

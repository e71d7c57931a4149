"""A float32 graph in fp16 or bf16, with casts where the two meet and nowhere else.

Before, with B kept in float32:     x -> A -> B -> C -> y
After, inputs and outputs float32:  x -> Cast -> A -> Cast -> B -> Cast -> C -> Cast -> y

1. A value that a lowered node makes is held in 16 bits; one cast serves all readers in float32.
2. A value in float32 is cast once for all its readers in 16 bits; one that was just widened from
   16 bits is read from there.
3. A constant whose readers all read 16 bits is rounded; where some read float32, it is doubled.
4. Graphs inside If, Loop and Scan stay float32, and what they read from outside is cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgeup.export.optimize import name_nodes
from edgeup.export.precision.assign import Assignment, assign, saturates
from edgeup.export.precision.formats import Format, find_format
from edgeup.export.precision.operators import is_float32
from edgeup.export.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Converted:
    """A model in a 16-bit format; ``kept``: nodes that stay float32, each with its reason."""

    model: ir.Model
    kept: tuple[tuple[str, str], ...]


def convert(
    model: ir.Model,
    precision: str,
    *,
    keep_fp32: frozenset[str] = frozenset(),
    io: Literal["fp32", "same"] = "fp32",
) -> Converted:
    """Convert a copy; names of graph inputs and outputs, and their shapes, stay.

    Args:
        model: any ONNX model; float64, integers and what is 16-bit already stay as they are.
        precision: "fp16" or "bf16".
        keep_fp32: names of nodes that stay float32, as `prepared` shows them.
        io: "fp32" keeps the types of graph inputs and outputs; "same" lowers float32 ones.

    Raises:
        EdgeupError: an unknown precision or node name.
    """
    form = find_format(precision)
    work = prepared(model)
    assignment = assign(work, form, keep_fp32, keep_io=io == "fp32")
    _Wiring(work.graph, assignment).wire()
    _drop_idle_casts(work.graph)
    return Converted(work, assignment.kept)


def prepared(model: ir.Model) -> ir.Model:
    """A copy to decide on: functions inlined, constants lifted, nodes named, types inferred."""
    from onnx_ir.passes.common import InlinePass, LiftConstantsToInitializersPass

    work = model.clone()
    if work.functions:
        work = InlinePass()(work).model
    work = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(work).model
    name_nodes(work)
    infer_shapes(work)
    return work


class _Wiring:
    """Puts the casts of an assignment into its graph."""

    def __init__(self, graph: ir.Graph, assignment: Assignment) -> None:
        import onnx_ir as ir

        self._graph = graph
        self._assignment = assignment
        self._form: Format = assignment.form
        self._float32 = ir.DataType.FLOAT
        self._names = {value.name for value in _all_values(graph)}

    def wire(self) -> None:
        """Change types, constants and readers of every float32 value of the main graph."""
        graph = self._graph
        constants = [v for v in graph.initializers.values() if not v.is_graph_input()]
        made = [value for node in graph for value in node.outputs]
        held = [
            (value, self._assignment.stores_16_bit(value))
            for value in (*graph.inputs, *made)
            if is_float32(value)
        ]
        for value in constants:
            if is_float32(value):
                self._place_constant(value)
        for value, is_16_bit in held:
            if is_16_bit:
                self._narrow(value)
            else:
                self._serve_16_bit(value)

    def _readers(self, value: ir.Value, wants: bool) -> list[tuple[ir.Node, int]]:
        return [
            (node, index)
            for node, index in value.uses()
            if self._assignment.wants_16_bit(node, index) is wants
        ]

    def _place_constant(self, value: ir.Value) -> None:
        readers = self._readers(value, True)
        as_output = value.is_graph_output()
        if not readers and not (as_output and not self._assignment.keep_io):
            return
        alone = not self._readers(value, False) and (not as_output or not self._assignment.keep_io)
        rounded = self._rounded(value, readers)
        if alone:
            value.const_value, value.type = rounded.const_value, rounded.type
            return
        self._graph.register_initializer(rounded)
        for node, index in readers:
            node.replace_input_with(index, rounded)

    def _rounded(self, value: ir.Value, readers: list[tuple[ir.Node, int]]) -> ir.Value:
        import onnx_ir as ir

        assert value.const_value is not None  # noqa: S101 (an initializer has one)
        saturate = bool(readers) and all(saturates(*reader) for reader in readers)
        array = self._form.rounded(value.const_value.numpy(), saturate=saturate)
        name = self._new_name(f"{value.name}/{self._form.name}")
        tensor = ir.tensor(array, name=name)
        return ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=value.shape, const_value=tensor
        )

    def _narrow(self, value: ir.Value) -> None:
        """Hold a value in 16 bits; readers in float32 get a cast."""
        import onnx_ir as ir

        declared = value.is_graph_output() and self._assignment.keep_io
        readers = self._readers(value, False)
        value.type = ir.TensorType(self._form.data_type)  # never in place: clones share types
        producer = value.producer()
        if producer is not None and producer.op_type == "Cast":
            producer.attributes["to"] = _to(self._form.data_type)
        if not readers and not declared:
            return
        wide = self._cast(value, self._float32)
        for node, index in readers:
            node.replace_input_with(index, wide)
        if declared:
            self._give_out(value, wide)

    def _serve_16_bit(self, value: ir.Value) -> None:
        """Leave a value in float32; readers in 16 bits get a cast."""
        readers = self._readers(value, True)
        changes = value.is_graph_output() and not self._assignment.keep_io
        if not readers and not changes:
            return
        narrow = _widened_from(value, self._form) or self._cast(value, self._form.data_type)
        for node, index in readers:
            node.replace_input_with(index, narrow)
        if changes:
            self._give_out(value, narrow)

    def _give_out(self, value: ir.Value, instead: ir.Value) -> None:
        """Let the graph give out ``instead`` under the name of ``value``."""
        import onnx_ir as ir

        name = value.name
        if instead.is_graph_input() or instead.is_graph_output():
            instead = self._cast(value, instead.dtype or ir.DataType.FLOAT)
        value.name = self._new_name(f"{name}/inner")
        instead.name = name
        for index, output in enumerate(self._graph.outputs):
            if output is value:
                self._graph.outputs[index] = instead

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        import onnx_ir as ir

        name = self._new_name(f"{value.name}/{to.name.lower()}")
        node = ir.node("Cast", [value], {"to": to.value}, name=name)
        made = node.outputs[0]
        made.name, made.type, made.shape = name, ir.TensorType(to), value.shape
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, node)
        elif len(self._graph) > 0:
            self._graph.insert_before(self._graph[0], node)
        else:
            self._graph.append(node)
        return made

    def _new_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _to(data_type: ir.DataType) -> ir.Attr:
    import onnx_ir as ir

    return ir.AttrInt64("to", data_type.value)


def _widened_from(value: ir.Value, form: Format) -> ir.Value | None:
    """What a value was widened from, where that is in the format already."""
    producer = value.producer()
    if producer is None or producer.op_type != "Cast" or producer.inputs[0] is None:
        return None
    source = producer.inputs[0]
    return source if source.dtype == form.data_type else None


def _drop_idle_casts(graph: ir.Graph) -> None:
    """Remove casts to the type that their input has, and casts that nobody reads."""
    for node in list(graph):
        if node.op_type != "Cast" or node.inputs[0] is None or node.outputs[0].is_graph_output():
            continue
        source, made = node.inputs[0], node.outputs[0]
        if source.dtype is not None and source.dtype == made.dtype:
            made.replace_all_uses_with(source)
        if not made.uses():
            graph.remove(node, safe=True)


def _all_values(graph: ir.Graph) -> list[ir.Value]:
    values = [*graph.inputs, *graph.initializers.values()]
    for node in graph.all_nodes():
        values += node.outputs
    return values

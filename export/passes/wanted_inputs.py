"""Inputs that TensorRT, or another pass, wants as initializers, and that the graph computes.

::

    s, s -> Mul -> Resize(x, , .) -> y          becomes    Resize(x, , constant) -> y            1
    x, w, b -> ConvTranspose -> y                          ConvTranspose(x, w) -> Add(., b) -> y  2
    x, low, high -> Clip -> y                              Max(x, low) -> Min(., high) -> y       3

1. What follows from constants and fixed shapes alone is computed here. Scales and sizes of a Resize
   and what says how elements move always, since other passes read them; others where the version
   wants it.
2. A bias that is fed, before 8.4 (Conv) and 8.5 (ConvTranspose).
3. Bounds that are fed, 8.0.
4. Refused: any other input that is computed from what is fed.

Which version wants what: `capability.versions.constants`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.capability.known import is_weights, known_numbers
from edgeup.export.capability.versions.constants import wanted_as_constant
from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import Array, constant, input_of, is_onnx, rank
from edgeup.export.passes.resize_axes import is_resize

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

_READ_BY_PASSES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "ConstantOfShape": ("sizes", (0,)),
    "Expand": ("sizes", (1,)),
    "MaxUnpool": ("sizes", (2,)),
    "Pad": ("pads", (1, 2, 3)),
    "Reshape": ("sizes", (1,)),
    "Resize": ("scales", (1, 2, 3)),
    "Slice": ("bounds", (1, 2, 3, 4)),
    "Tile": ("repeats", (1,)),
    "Upsample": ("scales", (1,)),
}
"""What each of an operator's inputs says of sizes or movement, and where they stand."""


class WantedInputs:
    """Makes constant what can be, and moves out of the operator what cannot."""

    name = "wanted-inputs"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        wanted = wanted_as_constant(node, aim) if aim.is_tensorrt else {}
        places = {**_read_by_passes(node), **wanted}
        if not places:
            return None
        known = {index: known_numbers(input_of(node, index)) for index in places}
        held = {index: numbers for index, numbers in known.items() if numbers is not None}
        names = " and ".join(dict.fromkeys(places[index] for index in held))
        if held and all(index in held for index in wanted):
            required = bool(wanted) or (aim.is_tensorrt and is_resize(node))
            return _plan(node, _WithConstants(node, held), held, f"{names} are computed", required)
        if not wanted:
            return None  # the passes that want to know them say so
        names = " and ".join(dict.fromkeys(wanted.values()))
        writer = _MovedOut(node)
        if set(wanted) <= set(writer.movable):
            why = f"this TensorRT takes {names} as initializers alone"
            return _plan(node, writer, {}, why, required=True)
        return Refusal(node.name or "", f"{names} are computed from what is fed")


def _is_computed(node: ir.Node, index: int) -> bool:
    value = input_of(node, index)
    return value is not None and not is_weights(value) and not value.is_graph_input()


def _read_by_passes(node: ir.Node) -> dict[int, str]:
    """The inputs that other passes read, and that are computed."""
    if not is_onnx(node, *_READ_BY_PASSES):
        return {}
    name, places = _READ_BY_PASSES[node.op_type]
    return {index: name for index in places if _is_computed(node, index)}


def _plan(
    node: ir.Node,
    writer: _WithConstants | _MovedOut,
    held: Mapping[int, Array],
    why: str,
    required: bool,
) -> Plan:
    inputs = [v for v in dict.fromkeys(node.inputs) if v is not None and constant(v) is None]
    writer.inputs = inputs
    return Plan(
        nodes=(node,),
        inputs=tuple(inputs),
        outputs=tuple(node.outputs),
        candidates=(Candidate("constant" if held else "moved out", writer),),
        why=why,
        required=required,
        simpler=not required,
    )


class _WithConstants:
    """Rule 1: the node again, with the numbers in place."""

    def __init__(self, node: ir.Node, held: Mapping[int, Array]) -> None:
        self._node, self._held = node, held
        self.inputs: Sequence[ir.Value] = ()

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        node = self._node
        reads = _reads(build, node, dict(zip(self.inputs, inputs, strict=True)), self._held)
        return build.ops(node.op_type, reads, node.attributes, outputs=len(node.outputs))


class _MovedOut:
    """Rules 2 and 3."""

    def __init__(self, node: ir.Node) -> None:
        self._node = node
        self.inputs: Sequence[ir.Value] = ()
        self.movable: tuple[int, ...] = ()
        if is_onnx(node, "Conv", "ConvTranspose") and rank(node.outputs[0]) is not None:
            self.movable = (2,)
        elif is_onnx(node, "Clip"):
            self.movable = (1, 2)

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        node = self._node
        reads = _reads(build, node, dict(zip(self.inputs, inputs, strict=True)), {})
        if is_onnx(node, "Clip"):
            value = reads[0]
            for operator, bound in zip(("Max", "Min"), reads[1:], strict=False):
                value = value if bound is None else build.op(operator, [value, bound])
            return [value] if value is not None else []
        made = build.op(node.op_type, reads[:2], node.attributes)
        spatial = (rank(node.outputs[0]) or 0) - 2
        shape = build.constant([1, -1, *(1 for _ in range(spatial))], np.int64)
        return [build.op("Add", [made, build.op("Reshape", [reads[2], shape])])]


def _reads(
    build: Builder,
    node: ir.Node,
    given: Mapping[ir.Value, ir.Value],
    held: Mapping[int, Array],
) -> list[ir.Value | None]:
    """The node's inputs, where it is written again."""
    reads: list[ir.Value | None] = []
    for index, value in enumerate(node.inputs):
        numbers = held.get(index, None if value is None else constant(value))
        if numbers is not None:
            reads.append(build.constant(numbers))
        else:
            reads.append(None if value is None else given[value])
    return reads

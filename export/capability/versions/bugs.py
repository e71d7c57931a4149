"""Known bugs of values, each with its issue: warnings, since they touch some builds only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.sources import Version
from edgeup.export.passes.facts import attribute, input_of, is_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


@dataclass(frozen=True)
class Bug:
    """A bug of the versions from ``first`` to ``last``, at the nodes that ``touches`` names."""

    name: str
    operator: str
    first: Version
    last: Version
    touches: Callable[[ir.Node], bool]
    reason: str
    issue: str


def _is_cubic(node: ir.Node) -> bool:
    return bool(attribute(node, "mode", "nearest") == "cubic")


def _reads_quantized(node: ir.Node) -> bool:
    value = input_of(node, 0)
    return value is not None and is_onnx(value.producer(), "DequantizeLinear")


def _behind_transposed_if(node: ir.Node) -> bool:
    value = input_of(node, 0)
    transpose = None if value is None else value.producer()
    if transpose is None or not is_onnx(transpose, "Transpose"):
        return False
    source = transpose.inputs[0]
    return source is not None and is_onnx(source.producer(), "If")


BUGS = (
    Bug(
        "bug-int8-conv-transpose",
        "ConvTranspose",
        (8, 0),
        (8, 3),
        _reads_quantized,
        "an INT8 ConvTranspose gave wrong values before 8.4",
        "NVIDIA/TensorRT#1699, #1840",
    ),
    Bug(
        "bug-cubic-resize",
        "Resize",
        (10, 8),
        (10, 9),
        _is_cubic,
        "cubic resizes of 10.8 and 10.9 are reported to differ",
        "pytorch/TensorRT#3429",
    ),
    Bug(
        "bug-if-transpose-resize",
        "Resize",
        (11, 1),
        (11, 2),
        _behind_transposed_if,
        "If, Transpose, Resize in a row gave wrong values in 11.1 and 11.2",
        "NVIDIA/TensorRT#4846",
    ),
)


def _rule(bug: Bug) -> Rule:
    def check(node: ir.Node, aim: Aim) -> Fault | None:
        if aim.tensorrt is None or not bug.first <= aim.tensorrt <= bug.last:
            return None
        if not bug.touches(node):
            return None
        remedy = "compare the engine's values with the model's"
        return Fault(Verdict.WARNING, bug.reason, f"issue: {bug.issue}", remedy)

    return Rule(bug.name, (bug.operator,), check)


BUG_RULES = tuple(_rule(bug) for bug in BUGS)

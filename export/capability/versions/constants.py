"""Inputs that must be constant, by version.

Two strengths: an initializer (the importer's ``is_weights``: nothing computed, not even from
constants), and numbers that follow from constants and known shapes (``allValuesKnown``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.known import is_weights
from edgeup.export.capability.versions.sources import Version, importer
from edgeup.export.passes.facts import constant, input_of, is_onnx
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_ALWAYS: Version = (99, 0)
_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)


@dataclass(frozen=True)
class Wanted:
    """An input that must be constant before a version; ``weights``: an initializer."""

    operators: tuple[str, ...]
    index: int
    name: str
    before: Version
    weights: bool = True


WANTED = (
    Wanted(("Conv",), 2, "bias", (8, 4)),
    Wanted(("ConvTranspose",), 2, "bias", (8, 5)),
    Wanted(("Clip",), 1, "min", (8, 2)),
    Wanted(("Clip",), 2, "max", (8, 2)),
    Wanted(("CumSum",), 1, "axis", (8, 4)),
    Wanted(("CumSum",), 1, "axis", _ALWAYS, weights=False),
    Wanted(("Dropout",), 2, "training_mode", _ALWAYS),
    Wanted(("InstanceNormalization",), 1, "scale", (8, 6)),
    Wanted(("InstanceNormalization",), 2, "bias", (8, 6)),
    Wanted(("NonMaxSuppression",), 2, "max_output_boxes_per_class", (8, 5)),
    Wanted(("NonMaxSuppression",), 3, "iou_threshold", (8, 5)),
    Wanted(("NonMaxSuppression",), 4, "score_threshold", (8, 5)),
    Wanted(("OneHot",), 1, "depth", _ALWAYS, weights=False),
    Wanted(("Pad",), 1, "pads", (8, 2)),
    Wanted(("Pad",), 2, "constant_value", (8, 2)),
    Wanted(("Pad",), 3, "axes", (10, 4)),
    Wanted(_REDUCTIONS, 1, "axes", _ALWAYS),
    Wanted(("Slice",), 3, "axes", (10, 3), weights=False),
    Wanted(("Split",), 1, "split", (8, 2)),
    Wanted(("Squeeze",), 1, "axes", (8, 4)),
    Wanted(("Squeeze", "Unsqueeze"), 1, "axes", _ALWAYS, weights=False),
    Wanted(("TopK",), 1, "k", (8, 6)),
)
"""Asserted by the importers that were read (8.0 to 10.1), or a restriction in the operator table
of the version (docs/operators.md, to 11.1)."""


def wanted_as_constant(node: ir.Node, aim: Aim) -> dict[int, str]:
    """The inputs of a node that a version wants constant, and that are not; by index, named."""
    found: dict[int, str] = {}
    for wanted in WANTED:
        if not is_onnx(node, *wanted.operators) or not _applies(wanted, aim):
            continue
        value = input_of(node, wanted.index)
        if value is not None and not _is_constant(value, wanted):
            found.setdefault(wanted.index, wanted.name)
    return found


def _computed(node: ir.Node, aim: Aim) -> Fault | None:
    found = wanted_as_constant(node, aim)
    if not found:
        return None
    names = ", ".join(found.values())
    return Fault(
        Verdict.REFUSED,
        f"its {names} is computed, and this TensorRT wants it constant",
        f"{importer(aim)}, or the restriction in docs/operators.md",
        f"make {names} constant in the model",
    )


def _applies(wanted: Wanted, aim: Aim) -> bool:
    return aim.tensorrt is not None and older(aim, wanted.before)


def _is_constant(value: ir.Value, wanted: Wanted) -> bool:
    if not wanted.weights:
        return constant(value) is not None
    producer = value.producer()
    while producer is not None and is_onnx(producer, "Identity"):
        source = producer.inputs[0]
        if source is None:
            return False
        value, producer = source, source.producer()
    return is_weights(value)


_OPERATORS = tuple(dict.fromkeys(name for wanted in WANTED for name in wanted.operators))

CONSTANT_RULES = (Rule("computed-input", _OPERATORS, _computed),)

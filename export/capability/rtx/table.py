"""Which operators TensorRT for RTX takes, and in which types: a table made by asking it.

``edgeup/data/rtx_operators.json`` is written by ``tools/probe_rtx.py``.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.known import is_weights
from edgeup.export.capability.rtx.asked import asked, is_rtx, refused
from edgeup.export.passes.facts import input_of, opset_of, rank

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_MOST_DIMENSIONS = 8
_FLATTENING = ("Softmax", "LogSoftmax", "Hardmax")
_KEPT_SINCE = 13
"""The opset before which they made a matrix of their input, and so took any rank."""


def _operator(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    name, known = node.op_type, asked()["operators"]
    if node.domain not in ("", "ai.onnx"):
        return refused(
            f"{node.domain}.{name} is no operator of ONNX, and no plugin is loaded",
            "Plugin not found, are the plugin name, version, and namespace correct?",
            "write it with ONNX's own operators, or as a function in the model",
        )
    if name in known:
        return None
    said = asked()["refused"].get(name)
    near = get_close_matches(name, known, n=2, cutoff=0.7)
    hint = f"; it has {' and '.join(near)}" if near and said is None else ""
    return refused(f"TensorRT for RTX has no {name}{hint}", said or "no importer for it")


def _types(node: ir.Node, aim: Aim) -> Fault | None:
    """A type that TensorRT has not at all, or that this operator does not take."""
    if not is_rtx(aim):
        return None
    for value in (*node.inputs, *node.outputs):
        if (
            value is not None
            and value.dtype is not None
            and value.dtype.name not in asked()["types"]
        ):
            return refused(
                f"{value.name} is of {value.dtype.name}, a type that TensorRT has not",
                "Failed to convert ONNX date type to TensorRT data type",
                "cast the model's tensors to a type that it has",
            )
    for place, value in enumerate(node.inputs):
        if value is None or value.dtype is None:
            continue
        name = value.dtype.name
        if name in _refused_types(node, place):
            return refused(
                f"{node.op_type} does not take {name} as input {place}",
                f"tools/probe_rtx.py, {node.op_type}",
                "compute it in float, or in int32 or int64",
            )
    return None


def _refused_types(node: ir.Node, place: int) -> tuple[str, ...]:
    """Inputs of one type are asked together, since one that is constant changes what is taken."""
    for group in asked()["operators"].get(node.op_type, ()):
        places = range(len(node.inputs)) if group["variadic"] else group["inputs"]
        if place in places:
            among = [value for index in places if (value := input_of(node, index)) is not None]
            alone = len(places) > 1 and len(among) == 1
            constant = "constant" in group and (alone or any(map(is_weights, among)))
            return tuple(group["constant" if constant else "fed"])
    return ()


def _rank(node: ir.Node, aim: Aim) -> Fault | None:
    dims = rank(input_of(node, 0))
    if not is_rtx(aim) or dims is None or dims not in asked()["ranks"].get(node.op_type, ()):
        return None
    if node.op_type in _FLATTENING and opset_of(node, aim) < _KEPT_SINCE:
        return None
    return refused(
        f"{node.op_type} does not take an input of {dims} dimensions",
        f"tools/probe_rtx.py, {node.op_type}",
        "add or fold a dimension (Unsqueeze, Reshape) before it",
    )


def _many_dimensions(node: ir.Node, aim: Aim) -> Fault | None:
    ranks = [rank(value) or 0 for value in (*node.inputs, *node.outputs)]
    if not is_rtx(aim) or max(ranks, default=0) <= _MOST_DIMENSIONS:
        return None
    return refused(
        f"a tensor of {max(ranks)} dimensions; TensorRT has {_MOST_DIMENSIONS}",
        "unsqueeze would produce a tensor with rank greater than Dims::MAX_DIMS",
        "fold dimensions (Reshape)",
    )


RULES = (
    Rule("rtx-operator", (), _operator),
    Rule("rtx-types", (), _types),
    Rule("rtx-rank", (), _rank),
    Rule("rtx-dimensions", (), _many_dimensions),
)

"""Operators without an importer, and element types that an operator's table entry lacks.

An opset that is newer than a version's is no fault by itself: its parsers warn at most, and a
graph fails where an operator, an attribute or a type does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.sources import Version, importer, spelled
from edgeup.export.passes.facts import constant, input_of
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

Row = tuple[Version, frozenset[str] | None]

_INT64_SINCE = (9, 1)
_PARSED_SINCE: Mapping[str, Version] = {
    **dict.fromkeys(("FLOAT", "DOUBLE", "FLOAT16", "INT32", "INT64", "INT8", "BOOL"), (8, 0)),
    "UINT8": (8, 5),
    "BFLOAT16": (9, 1),
    "FLOAT8E4M3FN": (9, 1),
    "INT4": (10, 0),
    "FLOAT4E2M1": (10, 8),
}
"""convertDtype of each importer; FP4 by the change log of 10.8."""

_SPELLED = {
    "FLOAT": "FP32",
    "DOUBLE": "FP32",
    "FLOAT16": "FP16",
    "BFLOAT16": "BF16",
    "FLOAT8E4M3FN": "FP8",
    "FLOAT4E2M1": "FP4",
}

_READS_TYPE_OF: Mapping[str, int] = {"Where": 1, "OneHot": 2}
"""The input that an entry's types speak of, where it is not the first."""
_MAKES_TYPE = ("Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform")
_ANY_TYPE = (
    *("Loop", "Scan", "If", "Cast", "CastLike", "Range", "Identity", "Constant"),
    *("BlackmanWindow", "HammingWindow", "HannWindow"),
)
"""Their types are seen at the nodes that compute, or follow another rule."""

_ALSO: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL1"),
        frozenset(("INT32",)),
    ),
    "Clip": frozenset(("INT32", "INT64")),
    "CumSum": frozenset(("INT32", "INT64")),
    "NonZero": frozenset(("INT32", "INT8", "BOOL")),
    "ConstantOfShape": frozenset(("FP16", "INT32", "INT64", "BOOL")),
    "Max": frozenset(("INT32",)),
}
"""Types that the table leaves out, and that the importers and NvInfer.h take (IReduceLayer: any
tensor that is not bool)."""


@cache
def table() -> Mapping[str, tuple[Row, ...]]:
    """Per operator: from which version on it has which types, None for no importer."""
    text = (files("edgeup") / "data" / "operators.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return {
        operator: tuple(
            (_version(version), None if types is None else frozenset(types))
            for version, types in rows
        )
        for operator, rows in document["operators"].items()
    }


def types_of(operator: str, version: Version) -> frozenset[str] | None:
    """The types that a version's table lists for an operator; None: no importer."""
    found: frozenset[str] | None = None
    for since, types in table().get(operator, ()):
        if since <= version:
            found = types
    return found


def _version(text: str) -> Version:
    major, minor = text.split(".")
    return int(major), int(minor)


def _no_importer(node: ir.Node, aim: Aim) -> Fault | None:
    version = aim.tensorrt
    if version is None or types_of(node.op_type, version) is not None:
        return None
    evidence = f"onnx-tensorrt docs/operators.md, TensorRT {spelled(version)} or the one before it"
    if node.domain not in ("", "ai.onnx"):
        if node.op_type.endswith("_TRT"):
            return None  # TensorRT's own plugins
        return Fault(
            Verdict.REFUSED,
            f"{node.domain}::{node.op_type} is not an operator of ONNX: the parser looks for a "
            f"plugin of that name",
            importer(aim),
            "export the model without it, or build with a plugin of that name (trtexec --plugins)",
        )
    later = next((since for since, types in table().get(node.op_type, ()) if types), None)
    return Fault(
        Verdict.REFUSED,
        f"TensorRT {spelled(version)} has no importer for {node.op_type}",
        evidence,
        f"TensorRT {spelled(later)} has one" if later is not None and later > version else "",
    )


def _unparsed_type(node: ir.Node, aim: Aim) -> Fault | None:
    """A type that the parser has no name for, at a value that is computed or fed."""
    if aim.tensorrt is None:
        return None
    values = [*node.inputs, *node.outputs]
    for value in values:
        if value is None or value.dtype is None or constant(value) is not None:
            continue
        first = _PARSED_SINCE.get(value.dtype.name)
        if first is None or older(aim, first):
            return Fault(
                Verdict.REFUSED,
                f"{value.name} is {value.dtype.name.lower()}, which TensorRT "
                f"{spelled(aim.tensorrt)} does not know",
                f"{importer(aim)}, convertDtype",
                "feed and compute float32, int32 or bool instead",
            )
    return None


def _element_type(node: ir.Node, aim: Aim) -> Fault | None:
    version = aim.tensorrt
    if version is None or node.op_type in _ANY_TYPE:
        return None
    types = types_of(node.op_type, version)
    value = _typed(node)
    if not types or value is None or value.dtype is None or _is_known(node.outputs):
        return None
    dtype = type_name(value.dtype.name, version)
    # A type that no entry names is the business of the rule before.
    if dtype in types or dtype in _ALSO.get(node.op_type, ()) or value.dtype.name == "STRING":
        return None
    return Fault(
        Verdict.REFUSED,
        f"TensorRT {spelled(version)} has {node.op_type} of {', '.join(sorted(types))}, and "
        f"this is {dtype}",
        "onnx-tensorrt docs/operators.md, types of this version or the one before it",
        f"cast around it to {'int32' if 'INT32' in types else 'float32'}",
    )


def type_name(dtype: str, version: Version) -> str:
    """An ONNX type as the tables of a version call it."""
    if dtype == "INT64" and version < _INT64_SINCE:
        return "INT32"
    return _SPELLED.get(dtype, dtype)


def _typed(node: ir.Node) -> ir.Value | None:
    if node.op_type in _MAKES_TYPE:
        return node.outputs[0]
    return input_of(node, _READS_TYPE_OF.get(node.op_type, 0))


def _is_known(values: Sequence[ir.Value]) -> bool:
    """Shape arithmetic, which the parser and the builder fold."""
    return all(constant(value) is not None for value in values)


OPERATOR_RULES = (
    Rule("no-importer", (), _no_importer),
    Rule("unknown-type", (), _unparsed_type),
    Rule("element-type", (), _element_type),
)

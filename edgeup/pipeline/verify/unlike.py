"""In what two nodes that correspond differ as they are written: attributes and constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

_MOST_VALUES = 8


def unlike(reference: ir.Node, candidate: ir.Node) -> tuple[str, ...]:
    """Each difference in words; nothing of nodes of different operators.

    A constant of another precision is the same where it is the reference's rounded to it.
    """
    if reference.op_identifier() != candidate.op_identifier():
        return ()
    return (*_attributes(reference, candidate), *_constants(reference, candidate))


def _attributes(reference: ir.Node, candidate: ir.Node) -> Iterator[str]:
    defaults = {**_defaults(reference), **_defaults(candidate)}  # an older version has fewer
    sides = [{**defaults, **_defaults(node), **_said(node)} for node in (reference, candidate)]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        there, here = (side.get(name) for side in sides)
        if there != here:
            yield f"{name}: {_shown(there)}, in the candidate {_shown(here)}"


def _defaults(node: ir.Node) -> dict[str, Any]:
    """Of the operator's version."""
    from onnx import defs, helper

    version = node.version or _opset(node)
    if version is None or not defs.has(node.op_type, version, node.domain):
        return {}
    return {
        name: _plain(helper.get_attribute_value(described.default_value))
        for name, described in defs.get_schema(
            node.op_type, version, node.domain
        ).attributes.items()
        if described.default_value.name
    }


def _said(node: ir.Node) -> dict[str, Any]:
    """What is written out, without tensors and graphs."""
    import onnx_ir as ir

    not_shown = (ir.AttributeType.TENSOR, ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return {
        name: _plain(attribute.value)
        for name, attribute in node.attributes.items()
        if attribute.type not in not_shown and not attribute.is_ref()
    }


def _opset(node: ir.Node) -> int | None:
    graph = node.graph
    return None if graph is None else graph.opset_imports.get(node.domain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(np.float32(value))  # as a file holds it
    try:
        return [_plain(one) for one in value]
    except TypeError:
        return str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    more = ", ..." if len(value) > _MOST_VALUES else ""
    return f"[{', '.join(_shown(one) for one in value[:_MOST_VALUES])}{more}]"


def _constants(reference: ir.Node, candidate: ir.Node) -> Iterator[str]:
    for there, here in zip(reference.inputs, candidate.inputs, strict=False):
        if there is None or here is None or there.const_value is None or here.const_value is None:
            continue
        a, b = there.const_value.numpy(), here.const_value.numpy()
        if a.shape != b.shape:
            sizes = ["x".join(map(str, array.shape)) or "scalar" for array in (a, b)]
            yield f"constant {there.name}: {sizes[0]}, in the candidate {sizes[1]}"
            continue
        with np.errstate(over="ignore"):  # a number that fp16 does not hold is infinite there
            rounded = a.astype(b.dtype)
        if not np.array_equal(rounded, b, equal_nan=a.dtype.kind == "f"):
            yield f"constant {there.name} has other values{_apart(a, b)}"


def _apart(a: np.typing.NDArray[Any], b: np.typing.NDArray[Any]) -> str:
    wide, other = a.astype(np.float64), b.astype(np.float64)
    peak = float(np.abs(wide).max(initial=0.0))
    away = float(np.abs(other - wide).max(initial=0.0))
    if not (np.isfinite(away) and peak):
        return ""
    return f": up to {away / peak:.2g} of its peak away"

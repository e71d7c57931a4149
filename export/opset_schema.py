"""May this node stand in that opset? The operator's schema there is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def fit_to_schema(node: ir.Node, source: int, opset: int) -> str | None:
    """Make ``node`` valid at ``opset``, or say why it cannot be.

    Going down, an attribute that the older schema lacks is dropped where it holds its default:
    defaults of new attributes are what the operator did before it had them.

    Returns:
        None when the node is valid now; else the reason why it cannot be.
    """
    from onnx import defs

    try:
        schema = defs.get_schema(node.op_type, opset)
    except defs.SchemaError:
        return _absent(node, opset)
    if schema.deprecated:
        return f"the operator is withdrawn in opset {opset}"
    before = _schema(node.op_type, source)
    for attribute in list(node.attributes.values()):
        if attribute.name in schema.attributes:
            continue
        if opset > source or not _is_default(attribute, before):
            return f"attribute {_shown(attribute)} does not exist in opset {opset}"
        del node.attributes[attribute.name]
    return _misfit(node, schema, opset)


def _schema(op: str, opset: int) -> onnx.defs.OpSchema | None:
    from onnx import defs

    try:
        return defs.get_schema(op, opset)
    except defs.SchemaError:
        return None


def _absent(node: ir.Node, opset: int) -> str:
    from onnx import defs

    if not defs.has(node.op_type):
        return "the operator is not in ONNX"
    versions = [
        s.since_version
        for s in defs.get_all_schemas_with_history()
        if s.name == node.op_type and s.domain == ""
    ]
    return f"the operator is not in opset {opset}; it came with opset {min(versions)}"


def _is_default(attribute: ir.Attr, schema: onnx.defs.OpSchema | None) -> bool:
    import onnx

    known = schema.attributes.get(attribute.name) if schema is not None else None
    if known is None or known.default_value.type == onnx.AttributeProto.UNDEFINED:
        return False
    default = onnx.helper.get_attribute_value(known.default_value)
    default = default.decode() if isinstance(default, bytes) else default
    return bool(attribute.value == default)


def _shown(attribute: ir.Attr) -> str:
    return f"{attribute.name}={attribute.value!r}"


def _misfit(node: ir.Node, schema: onnx.defs.OpSchema, opset: int) -> str | None:
    inputs = _trimmed(node.inputs)
    if not schema.min_input <= len(inputs) <= schema.max_input:
        return f"it has {len(inputs)} inputs; opset {opset} wants {_span(schema)}"
    outputs = len([v for v in node.outputs if v.name])
    if outputs > schema.max_output:
        return f"it has {outputs} outputs; in opset {opset} it has at most {schema.max_output}"
    for name, attribute in schema.attributes.items():
        if attribute.required and name not in node.attributes:
            return f"opset {opset} wants attribute {name}, which it does not have"
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    for formal, value in [*_pairs(schema.inputs, inputs), *_pairs(schema.outputs, node.outputs)]:
        type_name = _type_name(value)
        if type_name and type_name not in allowed.get(formal.type_str, [formal.type_str]):
            return f"{formal.name} is a {type_name}, which it does not take in opset {opset}"
    return None


def _span(schema: onnx.defs.OpSchema) -> str:
    least, most = schema.min_input, schema.max_input
    return str(least) if least == most else f"{least} to {most}"


def _trimmed(inputs: Any) -> list[ir.Value | None]:
    values = list(inputs)
    while values and values[-1] is None:
        values.pop()
    return values


def _pairs(formals: Any, values: Any) -> list[tuple[Any, ir.Value | None]]:
    """Formal parameters with their values; a variadic last one takes all that remain."""
    formals = list(formals)
    return [(formals[min(i, len(formals) - 1)], value) for i, value in enumerate(values)]


def _type_name(value: ir.Value | None) -> str | None:
    import onnx_ir as ir

    if value is None or not isinstance(value.type, ir.TensorType):
        return None
    return f"tensor({value.type.dtype.name.lower()})"

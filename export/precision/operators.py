"""Which inputs and outputs of an operator may hold a 16-bit format: its ONNX schema is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from edgeup.export.precision.formats import Format

FREE_INPUTS = {"Cast": (0,), "Shape": (0,), "Size": (0,)}
"""Inputs that take any type without a word: no cast is ever needed in front of them."""

_FP32_INPUTS = {"Resize": (1,)}
"""Inputs that stay float32 though their schema allows more: a Resize's roi is geometry."""

TYPED_BY_ATTRIBUTE = frozenset(
    {
        *("Bernoulli", "BitCast", "BlackmanWindow", "ConstantOfShape", "EyeLike"),
        *("HammingWindow", "HannWindow", "MelWeightMatrix", "Multinomial", "RandomNormal"),
        *("RandomNormalLike", "RandomUniform", "RandomUniformLike", "SequenceEmpty"),
    }
)
"""What they make has the type that an attribute names; a cast follows where one is needed."""

_NOT_RUN_HERE = frozenset({"MeanVarianceNormalization"})
"""Operators that ONNX Runtime's CPU provider does not run in 16 bits, so nothing could be proven:
it expands this one with float32 constants (1.32). `_scatters_into_sums` is the other case."""

_NOT_IN_TENSORRT = {
    "fp16": {
        "Celu": "TensorRT for RTX's parser refuses it in fp16 (run, 1.7.1)",
        "STFT": "TensorRT's takes float32 alone (onnx-tensorrt docs/operators.md, 11.1)",
    },
    "bf16": {
        **dict.fromkeys(
            ("DeformConv", "GridSample", "Mish", "NonMaxSuppression", "RoiAlign"),
            "TensorRT's takes no bf16 (onnx-tensorrt docs/operators.md, 10.3 and 11.1)",
        ),
        **dict.fromkeys(
            ("Celu", "GRU", "HardSwish", "LpNormalization", "LpPool"),
            "TensorRT for RTX's parser refuses it in bf16 (run, 1.7.1)",
        ),
        "ConvTranspose": "TensorRT for RTX's builder finds no bf16 deconvolution (run, 1.7.1)",
    },
}
"""Operators that TensorRT takes in float32 and not in the format."""

MOVERS = frozenset(
    {
        *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND"),
        *("Identity", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose"),
        *("Unsqueeze",),
        *("ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less"),
        *("LessOrEqual",),
    }
)
"""They move or compare values and compute none: between float32 neighbours they stay float32."""


@dataclass(frozen=True)
class Lowered:
    """The positions of a node's float32 inputs and outputs that take the 16-bit format."""

    inputs: frozenset[int]
    outputs: frozenset[int]


def lowered(node: ir.Node, opset: int, form: Format) -> Lowered | str:
    """What of ``node`` may be in ``form``, or why nothing may.

    Types of one type parameter go together, since the schema binds them to each other.
    """
    from onnx import defs

    if node.domain not in ("", "ai.onnx"):
        return f"{node.domain}.{node.op_type} is no operator of ONNX's: its types are not known"
    if node.op_type in TYPED_BY_ATTRIBUTE:
        return f"an attribute of {node.op_type} sets the type of what it makes"
    if node.op_type in _NOT_RUN_HERE or _scatters_into_sums(node):
        return f"ONNX Runtime's CPU provider does not run this {node.op_type} in {form.name}"
    if node.op_type in _NOT_IN_TENSORRT[form.name]:
        return f"{node.op_type}: {_NOT_IN_TENSORRT[form.name][node.op_type]}"
    try:
        schema = defs.get_schema(node.op_type, opset)
    except defs.SchemaError:
        return f"{node.op_type} is not in opset {opset}: its types are not known"
    untouched = _FP32_INPUTS.get(node.op_type, ()) + FREE_INPUTS.get(node.op_type, ())
    inputs = {i for i in _takes(schema, schema.inputs, node.inputs, form) if i not in untouched}
    outputs = set(_takes(schema, schema.outputs, node.outputs, form))
    if not inputs and not outputs:
        return f"{node.op_type} takes no {form.name} in opset {opset}"
    return Lowered(frozenset(inputs), frozenset(outputs))


def _scatters_into_sums(node: ir.Node) -> bool:
    reduction = node.attributes.get("reduction")
    return (
        node.op_type in ("ScatterElements", "ScatterND")
        and reduction is not None
        and reduction.value not in ("none", b"none")
    )


def _takes(
    schema: onnx.defs.OpSchema, formals: Any, values: Sequence[ir.Value | None], form: Format
) -> Iterator[int]:
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    formals = list(formals)
    for index, value in enumerate(values):
        formal = formals[min(index, len(formals) - 1)]  # a variadic last one takes all that remain
        if is_float32(value) and f"tensor({form.onnx})" in allowed.get(formal.type_str, ()):
            yield index


def is_float32(value: ir.Value | None) -> bool:
    """Whether the value is known to be a float32 tensor."""
    import onnx_ir as ir

    return value is not None and isinstance(value.type, ir.TensorType) and value.dtype == 1


def is_unknown(value: ir.Value | None) -> bool:
    """Whether a value's type is unknown, or holds float32 otherwise than as a plain tensor."""
    import onnx_ir as ir

    if value is None or not (value.name or value.producer() is not None):
        return False
    return not isinstance(value.type, ir.TensorType)

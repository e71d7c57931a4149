"""Eight bits and less: TensorRT has them for quantization, not for arithmetic.

FP8, FP4 and INT4 tensors come from QuantizeLinear or a constant and go to DequantizeLinear, moved
at most. UINT8 stands at the network's border, or comes from QuantizeLinear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.passes.facts import constant

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

QUANTIZED = ("FLOAT8E4M3FN", "FLOAT4E2M1", "INT4")
HARDWARE = ("FLOAT8E4M3FN", "FLOAT4E2M1")
"""Not on compute capability 8.6, which stands for a Jetson's 8.7."""
MAKERS = (
    *("QuantizeLinear", "Constant", "Concat", "Identity", "Reshape", "Transpose", "Flatten"),
    *("Squeeze", "Unsqueeze"),
)


def _made(node: ir.Node, aim: Aim) -> Fault | None:
    names = {value.dtype.name for value in node.outputs if value.dtype is not None}
    made = names.intersection(QUANTIZED)
    if not is_rtx(aim) or not made or node.op_type in MAKERS:
        return None
    return refused(
        f"{node.op_type} makes {'/'.join(sorted(made))}, which only QuantizeLinear may",
        "Tensor has datatype but is not produced by IQuantizeLayer, IConstantLayer, "
        "IConcatenationLayer, IShuffleLayer, or IdentityLayer",
        "quantize with QuantizeLinear",
    )


def _quantized_to(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.outputs[0]
    if not is_rtx(aim) or value.dtype is None:
        return None
    if value.dtype.name in HARDWARE:
        return refused(
            f"{value.dtype.name} on compute capability 8.6",
            "Cannot compile for target(s) sm86, because the model contains HW-specific datatypes",
            "quantize to INT8",
        )
    if value.dtype.name == "UINT8" and "output_dtype" in node.attributes:
        return refused(
            "output_dtype UINT8",
            "dtype == DataType::kFP8 || dtype == DataType::kINT8 || dtype == DataType::kINT4",
            "give it a zero point of UINT8 instead, or quantize to INT8",
        )
    return None


def _unsigned(node: ir.Node, aim: Aim) -> Fault | None:
    """A uint8 that stays inside."""
    if not is_rtx(aim) or node.op_type in ("QuantizeLinear", "Constant"):
        return None
    for value in node.outputs:
        if value.dtype is None or value.dtype.name != "UINT8" or value.is_graph_output():
            continue
        if value.uses() and constant(value) is None:
            return refused(
                "it makes UINT8 that is read inside the network",
                "TensorRT does not support UINT8 types for intermediate tensors",
                "cast to INT32 in its place",
            )
    return None


RULES = (
    Rule("rtx-quantized-made", (), _made),
    Rule("rtx-quantize-to", ("QuantizeLinear",), _quantized_to),
    Rule("rtx-uint8-inside", (), _unsigned),
)

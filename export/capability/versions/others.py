"""What is left: one short rule per operator, each an assertion of an importer that was read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.sources import Version, importer
from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import attribute, constant, input_of, rank
from edgeup.export.passes.moved_types import MOVED_BOOL_SINCE
from edgeup.export.passes.narrowed_float64 import NarrowedFloat64
from edgeup.export.passes.padding import pad_lacking
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

NATIVE_INSTANCE_NORM_SINCE: Version = (8, 6)
EINSUM_ELLIPSIS_SINCE: Version = (9, 1)
UINT8_BY_FLOAT_BEFORE: Version = (8, 6)
COMPUTED_FLOAT_RANGE_SINCE: Version = (8, 4)

_NCHW = 4
_NORMALISED_RANKS = (3, 4, 5)


def _pad(node: ir.Node, aim: Aim) -> Fault | None:
    lack = None if aim.tensorrt is None else pad_lacking(node, aim)
    return None if lack is None else Fault(Verdict.REFUSED, lack.reason, lack.evidence)


def _bool(node: ir.Node, aim: Aim) -> Fault | None:
    value = input_of(node, 1 if node.op_type == "Where" else 0)
    if value is None or value.dtype is None or value.dtype.name != "BOOL":
        return None
    if not older(aim, MOVED_BOOL_SINCE) or constant(node.outputs[0]) is not None:
        return None
    return _refused(
        aim, f"this TensorRT has no {node.op_type} of bool", "does not support BOOL input"
    )


def _blocks(node: ir.Node, aim: Aim) -> Fault | None:
    dims = rank(node.inputs[0])
    if aim.tensorrt is None or dims is None or dims == _NCHW:
        return None
    return _refused(aim, f"its input has {dims} dimensions, not n c h w", "must be in NCHW format")


def _instance_norm(node: ir.Node, aim: Aim) -> Fault | None:
    dims = rank(node.inputs[0])
    if dims is None or dims in _NORMALISED_RANKS or not older(aim, NATIVE_INSTANCE_NORM_SINCE):
        return None
    return _refused(
        aim,
        f"its input has {dims} dimensions; this TensorRT normalizes 3 to 5",
        "TensorRT only supports InstanceNormalization on 3D, 4D, or 5D tensors!",
    )


def _einsum(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None:
        return None
    equation = attribute(node, "equation", "")
    if strange := sorted(set(re.findall(r"[^a-z\->., ]", equation))):
        return _refused(
            aim,
            f"equation {equation!r}: TensorRT reads lower-case letters, not {''.join(strange)!r}",
            "Invalid character(s) in Einsum equation",
            "rename the letters",
        )
    terms = equation.replace(" ", "").split("->")[0].split(",")
    repeats = any(len(set(term)) < len(term) for term in terms)
    if (repeats or "..." in equation) and older(aim, EINSUM_ELLIPSIS_SINCE):
        return Fault(
            Verdict.REFUSED,
            f"equation {equation!r}: this TensorRT has no ellipsis and no diagonal",
            "onnx-tensorrt docs/operators.md, Einsum of 8.2 to 8.6",
        )
    return None


def _zero_point(node: ir.Node, aim: Aim) -> Fault | None:
    zero = constant(input_of(node, 2))
    if aim.tensorrt is None or zero is None or not np.any(zero.astype(np.float32)):
        return None
    return _refused(
        aim,
        "its zero point is not zero: TensorRT quantizes symmetrically",
        "only supports symmetric quantization - zeroPt must be all zeros",
        "quantize symmetrically",
    )


def _uint8_cast(node: ir.Node, aim: Aim) -> Fault | None:
    """8.5: uint8 comes from floats and becomes floats."""
    source, made = input_of(node, 0), node.outputs[0]
    if source is None or source.dtype is None or made.dtype is None:
        return None
    names = {source.dtype.name, made.dtype.name}
    if "UINT8" not in names or names & {"FLOAT", "FLOAT16", "DOUBLE"}:
        return None
    if not older(aim, UINT8_BY_FLOAT_BEFORE) or names == {"UINT8"}:
        return None
    return _refused(
        aim,
        f"this TensorRT casts uint8 to and from floats alone: {source.dtype} to {made.dtype}",
        "UINT8 type casting is only supported from FP types",
        "cast by way of float32",
    )


def _float64(node: ir.Node, aim: Aim) -> Fault | None:
    found = NarrowedFloat64().check(node, aim)
    if aim.tensorrt is None or not isinstance(found, Refusal):
        return None
    evidence = f"{importer(aim)}, convertDtype"
    return Fault(Verdict.WARNING, found.reason, evidence, "compute in float32")


def _training(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None or not attribute(node, "training_mode", 0):
        return None
    return _refused(
        aim, "training_mode: TensorRT runs models, it does not train them", "training_mode == 1"
    )


def _norm_order(node: ir.Node, aim: Aim) -> Fault | None:
    order = attribute(node, "p", 2)
    if aim.tensorrt is None or order in (1, 2):
        return None
    return _refused(aim, f"p = {order}", "Only L1 and L2 normalization are supported")


def _dropout(node: ir.Node, aim: Aim) -> Fault | None:
    training = constant(input_of(node, 2))
    if aim.tensorrt is None or training is None or not np.any(training):
        return None
    return _refused(aim, "training_mode is true", "Dropout operator in training mode")


def _range(node: ir.Node, aim: Aim) -> Fault | None:
    first = input_of(node, 0)
    if aim.tensorrt is None or first is None or first.dtype is None:
        return None
    name = first.dtype.name
    if name in ("INT32", "INT64"):
        return None
    if name not in ("FLOAT", "DOUBLE"):
        return _refused(aim, f"a Range of {name.lower()}", "only supports int32 and float")
    known = all(constant(value) is not None for value in node.inputs)
    if known or not older(aim, COMPUTED_FLOAT_RANGE_SINCE):
        return None
    return _refused(
        aim,
        "a Range of floats that are computed",
        "with dynamic inputs, this version of TensorRT only supports INT32",
    )


def _mod(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.inputs[0]
    if aim.tensorrt is None or attribute(node, "fmod", 0) or value is None or value.dtype is None:
        return None
    if not value.dtype.is_floating_point():
        return None
    return _refused(aim, "Mod of floats without fmod=1", "Inputs cannot be of floating point types")


def _second_output(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None or not any(value.name for value in node.outputs[1:]):
        return None
    return Fault(
        Verdict.REFUSED,
        "LayerNormalization with mean or deviation: TensorRT gives its first output alone",
        "onnx-tensorrt docs/operators.md, 10.1 and later; importers before return one output",
        "leave out the outputs, or compute them beside it (ReduceMean)",
    )


def _inner_uint8(node: ir.Node, aim: Aim) -> Fault | None:
    made = node.outputs[0]
    if aim.tensorrt is None or made.dtype is None or made.dtype.name != "UINT8":
        return None
    if made.is_graph_output() or constant(made) is not None:
        return None
    return Fault(
        Verdict.REFUSED,
        "uint8 inside the network: TensorRT has it at inputs and outputs alone",
        "NvInfer.h 8.5 to 11.1, DataType::kUINT8; run: TensorRT for RTX 1.7.1",
        "leave the cast to uint8 out",
    )


def _narrow_border(node: ir.Node, aim: Aim) -> Fault | None:
    """FP8, FP4 and INT4 live between quantization and dequantization."""
    if aim.tensorrt is None or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return None
    for value in (*node.inputs, *node.outputs):
        if value is None or value.dtype is None or constant(value) is not None:
            continue
        if value.dtype.name in ("FLOAT8E4M3FN", "FLOAT4E2M1", "INT4"):
            return Fault(
                Verdict.REFUSED,
                f"{node.op_type} of {value.dtype.name.lower()}, which TensorRT has behind "
                f"QuantizeLinear and before DequantizeLinear alone",
                "run: TensorRT for RTX 1.7.1; onnx-tensorrt docs/operators.md",
            )
    return None


def _refused(aim: Aim, reason: str, asserted: str, remedy: str = "") -> Fault:
    return Fault(Verdict.REFUSED, reason, f"{importer(aim)}: {asserted}", remedy)


OTHER_RULES = (
    Rule("pad-mode", ("Pad",), _pad),
    Rule("bool-moved", ("Where", "Gather", "GatherElements", "GatherND", "Equal"), _bool),
    Rule("block-rank", ("DepthToSpace", "SpaceToDepth"), _blocks),
    Rule("instance-norm-rank", ("InstanceNormalization",), _instance_norm),
    Rule("einsum-equation", ("Einsum",), _einsum),
    Rule("quantize-zero-point", ("QuantizeLinear", "DequantizeLinear"), _zero_point),
    Rule("cast-uint8", ("Cast",), _uint8_cast),
    Rule("float64", (), _float64),
    Rule("training-mode", ("BatchNormalization",), _training),
    Rule("norm-order", ("LpNormalization", "LpPool"), _norm_order),
    Rule("dropout-training", ("Dropout",), _dropout),
    Rule("mod-type", ("Mod",), _mod),
    Rule("layer-norm-outputs", ("LayerNormalization",), _second_output),
    Rule("inner-uint8", ("Cast", "CastLike"), _inner_uint8),
    Rule("narrow-type", (), _narrow_border),
    Rule("range-type", ("Range",), _range),
)

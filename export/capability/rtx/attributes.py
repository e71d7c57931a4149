"""Attributes, inputs and outputs that TensorRT for RTX lacks, one short rule each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.known import is_weights
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.passes.facts import attribute, constant, input_of, rank, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_MOST_SORTED = 3840
_NCHW = 4
_ONE_BOUND = 2
_MATRIX = 2
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def _outputs(node: ir.Node, aim: Aim) -> Fault | None:
    named = [value.name for value in node.outputs if value.name]
    if not is_rtx(aim) or len(named) < 2:
        return None
    return refused(
        f"{len(named)} outputs: TensorRT computes the first alone",
        f"does not support more than 1 output for {node.op_type} nodes",
        "leave out the others if nothing needs them",
    )


def _training(node: ir.Node, aim: Aim) -> Fault | None:
    """BatchNormalization says so in an attribute, Dropout from opset 12 in an input."""
    if not is_rtx(aim):
        return None
    switch = input_of(node, 2) if node.op_type == "Dropout" else None
    if switch is not None and not is_weights(switch):
        return refused(
            "its training_mode is computed",
            "only supports the training_mode input as an initializer",
            "export the model for inference",
        )
    numbers = constant(switch)
    if attribute(node, "training_mode", 0) or (numbers is not None and numbers.any()):
        return refused(
            "training_mode: TensorRT runs models, it does not train them",
            f"does not support {node.op_type} in training mode",
            "export the model for inference (model.eval())",
        )
    return None


def _remainder(node: ir.Node, aim: Aim) -> Fault | None:
    value = node.inputs[0]
    if not is_rtx(aim) or value is None or value.dtype is None or attribute(node, "fmod", 0):
        return None
    if value.dtype.name in ("INT32", "INT64"):
        return None
    return refused(
        f"Mod of {value.dtype.name} with fmod=0",
        "The fmod attribute is set to 0. Inputs cannot be of floating point types",
        "write fmod=1, or x - floor(x / y) * y",
    )


def _norm_order(node: ir.Node, aim: Aim) -> Fault | None:
    order = attribute(node, "p", 2)
    if not is_rtx(aim) or order in (1, 2):
        return None
    return refused(f"p = {order}", "Only L1 and L2 normalization are supported")


def _reduction(node: ir.Node, aim: Aim) -> Fault | None:
    reduction = attribute(node, "reduction", "none")
    if not is_rtx(aim) or reduction == "none":
        return None
    return refused(
        f"reduction={reduction!r}: TensorRT for RTX only overwrites, and has no plugin for it",
        "Unsupported reduction type; ScatterND with reduction is not supported",
        "sum in the model instead (OneHot and MatMul, or separate scatters)",
    )


def _cache_update(node: ir.Node, aim: Aim) -> Fault | None:
    mode, dims = attribute(node, "mode", "linear"), rank(node.inputs[0])
    if not is_rtx(aim):
        return None
    if mode != "linear":
        return refused(f"mode {mode!r}", f"Only linear mode is supported for now, got {mode}")
    if dims not in (None, _NCHW):
        return refused(
            f"a cache of {dims} dimensions", "The past_cache tensor is required to be 4D"
        )
    axis = attribute(node, "axis", -2)
    if axis not in (-2, _NCHW - 2):
        return refused(f"axis {axis}", "onnx-tensorrt docs/operators.md, 11.1: axis must be -2")
    return None


def _most_sorted(node: ir.Node, aim: Aim) -> Fault | None:
    wanted = constant(input_of(node, 1))
    if not is_rtx(aim) or wanted is None or wanted.max(initial=0) <= _MOST_SORTED:
        return None
    return refused(
        f"TopK of {int(wanted.max())}",
        f"K exceeds the maximum value allowed ({_MOST_SORTED})",
    )


def _bounds(node: ir.Node, aim: Aim) -> Fault | None:
    """A lower bound that is named and empty takes another way through the importer."""
    value = node.inputs[0]
    if not is_rtx(aim) or len(node.inputs) == 1 or node.inputs[1] is not None:
        return None
    if len(node.inputs) == _ONE_BOUND:
        return refused("a bound whose name is empty, and no other", "Invalid Node")
    if value is None or value.dtype is None or value.dtype.name != "INT8":
        return None
    return refused(
        "int8 is clipped without a lower bound",
        "only supports floating-point, INT32, or INT64 inputs for Clip",
        "give it -128 as min",
    )


def _equal_parts(node: ir.Node, aim: Aim) -> Fault | None:
    """Without sizes every part but the last is of the same length, rounded up."""
    shape, parts = static_shape(node.inputs[0]), attribute(node, "num_outputs", 0)
    if not is_rtx(aim) or not shape or not parts:
        return None
    length = shape[attribute(node, "axis", 0)]
    if -(-length // parts) * (parts - 1) <= length:
        return None
    return refused(
        f"{length} elements in {parts} parts: the last would have less than none",
        "The last chunk size is negative, see details in https://github.com/onnx/onnx/issues/5766",
        "write the sizes of the parts as an input",
    )


def _zero_point(node: ir.Node, aim: Aim) -> Fault | None:
    zero = constant(input_of(node, 2))
    if not is_rtx(aim) or zero is None or not np.any(zero.astype(np.float32)):
        return None
    return refused(
        "its zero point is not zero: TensorRT quantizes symmetrically",
        "Non-zero zero point is not supported",
        "quantize symmetrically",
    )


def _random(node: ir.Node, aim: Aim) -> Fault | None:
    """float64 is taken from the input, and not from the attribute."""
    made = node.outputs[0].dtype
    if not is_rtx(aim) or made is None or made.name in ("FLOAT", "FLOAT16"):
        return None
    if made.name == "DOUBLE" and "dtype" not in node.attributes:
        return None
    return refused(
        f"random numbers of {made.name}",
        "Unsupported data type in randomUniform; only support output type kFLOAT or kHALF",
        "draw float32 and cast",
    )


def _vector_times_batch(node: ir.Node, aim: Aim) -> Fault | None:
    vector, matrices = rank(node.inputs[0]), static_shape(node.inputs[1])
    if not is_rtx(aim) or vector != 1 or matrices is None or len(matrices) <= _MATRIX:
        return None
    if np.prod(matrices[:-_MATRIX]) == 1:
        return None
    return refused(
        f"a vector times matrices of shape {matrices}",
        "Output shape can not be computed for node ONNXTRT_squeezeTensor",
        "unsqueeze the vector before, and squeeze the product",
    )


def _letters(node: ir.Node, aim: Aim) -> Fault | None:
    equation = attribute(node, "equation", "")
    strange = sorted(set(re.findall(r"[^a-z\->., ]", equation)))
    if not is_rtx(aim) or not strange:
        return None
    return refused(
        f"equation {equation!r}: TensorRT reads lower-case letters, not {''.join(strange)!r}",
        "Invalid character(s) in Einsum equation",
        "rename the letters",
    )


RULES = (
    Rule("rtx-einsum", ("Einsum",), _letters),
    Rule("rtx-random", _RANDOM, _random),
    Rule("rtx-matmul", ("MatMul",), _vector_times_batch),
    Rule("rtx-outputs", ("MaxPool", "LayerNormalization", "BatchNormalization"), _outputs),
    Rule("rtx-training", ("BatchNormalization", "Dropout"), _training),
    Rule("rtx-mod", ("Mod",), _remainder),
    Rule("rtx-norm-order", ("LpPool", "LpNormalization"), _norm_order),
    Rule("rtx-reduction", ("ScatterElements", "ScatterND"), _reduction),
    Rule("rtx-tensor-scatter", ("TensorScatter",), _cache_update),
    Rule("rtx-topk", ("TopK",), _most_sorted),
    Rule("rtx-clip", ("Clip",), _bounds),
    Rule("rtx-split", ("Split",), _equal_parts),
    Rule("rtx-zero-point", ("QuantizeLinear", "DequantizeLinear"), _zero_point),
)

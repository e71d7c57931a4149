"""Attention: which of them a kernel of TensorRT for RTX computes on compute capability 8.6.

::

    queries   types        head size                   batch times heads
    1         any          a multiple of 8, to 256     4 and more          decoding
    2 and up  fp16, bf16   9 to 256                    2 and more
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.passes.facts import attribute, input_of, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_WITH_HEADS = 4
_HALF = ("FLOAT16", "BFLOAT16")
_LARGEST_HEAD = 256
_REMEDY = "write it as MatMul, Softmax and MatMul"


class _Sizes(NamedTuple):
    """Of queries or keys: ``batch heads length size``."""

    batch: int
    heads: int
    length: int
    size: int


def _attention(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    named = [value.name for value in node.outputs if value.name]
    if len(named) > 1:
        return refused("more than one output", "only supports Attention nodes with one output")
    if attribute(node, "softcap", 0.0):
        return refused(
            "softcap", "Setting softcap is not supported in TensorRT Attention.", _REMEDY
        )
    if "softmax_precision" in node.attributes:
        return refused("softmax_precision", "Setting softmax precision is not supported", _REMEDY)
    if any(input_of(node, place) is not None for place in (4, 5)):
        return refused(
            "past_key and past_value",
            "onnx-tensorrt docs/operators.md, 11.1: past_key, past_value are unsupported",
            "concatenate them before it",
        )
    return _inputs(node) or _kernel(node)


def _inputs(node: ir.Node) -> Fault | None:
    query, key, value = (_sizes(node, place) for place in (0, 1, 2))
    if None not in (key, value) and key != value:
        return refused(
            f"keys {key and tuple(key)} and values {value and tuple(value)} differ",
            "Key and Value must have the same shape",
            _REMEDY,
        )
    mask = input_of(node, 3)
    if mask is None:
        return None
    if attribute(node, "is_causal", 0):
        return refused("a mask, and is_causal", "mask cannot be used together with CausalMaskKind")
    shape = static_shape(mask)
    if query is None or key is None or shape is None:
        return None
    wanted = (query.batch, query.heads, query.length, key.length)
    fits = all(a in (1, b) for a, b in zip(reversed(shape), reversed(wanted), strict=False))
    if not fits:
        return refused(
            f"a mask of shape {shape}", f"mask must be broadcastable to {list(wanted)}", _REMEDY
        )
    source = node.inputs[0]
    if source is not None and mask.dtype not in (None, source.dtype) and mask.dtype.name != "BOOL":
        return refused(
            f"a mask of {mask.dtype} for queries of {source.dtype}", "element type differs"
        )
    return None


def _kernel(node: ir.Node) -> Fault | None:
    query, source = _sizes(node, 0), node.inputs[0]
    if query is None or source is None or source.dtype is None:
        return None
    blocks = query.batch * query.heads
    if query.length == 1:
        fits = query.size % 8 == 0 and blocks >= 4
    else:
        fits = source.dtype.name in _HALF and query.size > 8 and blocks >= 2
    if fits and query.size <= _LARGEST_HEAD:
        return None
    return refused(
        f"no kernel for {source.dtype.name} of batch, heads, length, head size {tuple(query)}",
        "Attention operation was not supported by a dedicated kernel.",
        _REMEDY,
    )


def _sizes(node: ir.Node, place: int) -> _Sizes | None:
    shape = static_shape(input_of(node, place))
    if shape is None:
        return None
    if len(shape) == _WITH_HEADS:
        return _Sizes(*shape)
    heads = attribute(node, "q_num_heads" if place == 0 else "kv_num_heads", 0)
    if not heads:
        return None
    batch, length, features = shape
    return _Sizes(batch, heads, length, features // heads)


RULES = (Rule("rtx-attention", ("Attention",), _attention),)

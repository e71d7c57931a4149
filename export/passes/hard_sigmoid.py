"""``clip(x + b, 0, c) / c``, spelled out, is HardSigmoid; times x it is hard swish.

::

    x -> Add(b) -> Clip(0, c) -> Div(c) -> y            becomes   x -> HardSigmoid -> y
    x -> Add(b) -> Clip(0, c) -> Mul(x) -> Div(c) -> y  becomes   x -> HardSigmoid -> Mul(x) -> y

1. clip(x + b, 0, c) / c = clip(x / c + b / c, 0, 1): HardSigmoid of alpha 1 / c and beta b / c.
   Its result is in 0..1, so the two differ by rounding of numbers no larger than 1.
2. Dividing after the multiplication by x instead of before is the same up to rounding.
3. Div(c) may be a Mul by 1 / c; operands of Add and Mul come in either order.
4. The form is HardSigmoid and Mul, not HardSwish: ONNX Runtime 1.32 takes HardSwish apart into
   just these, NVIDIA's DLA runs them but no HardSwish, and they exist before opset 14.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import (
    attribute,
    constant,
    dtype_of,
    input_of,
    is_onnx,
    rank,
    sole_user,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder


class _Clipped(NamedTuple):
    """``clip(x + shift, 0, top)`` and its nodes."""

    nodes: tuple[ir.Node, ...]
    x: ir.Value
    shift: float
    top: float


class HardSigmoid:
    """Writes hard sigmoid and hard swish with the operator that there is for them."""

    name = "hard-sigmoid"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Rules 1 to 4 of the module."""
        scaled = _scaled(node)
        if scaled is None:
            return None
        inner, divisor = scaled
        clipped, times = _clipped(inner.producer()), False
        product = inner.producer()
        if clipped is None and product is not None and is_onnx(product, "Mul"):
            clipped, times = _clipped_times_x(product), True
        if clipped is None:
            return None
        name = node.name or ""
        if not math.isclose(clipped.top, divisor, rel_tol=1e-6):
            return Refusal(name, f"clipped at {clipped.top:g}, but divided by {divisor:g}")
        chain = (*clipped.nodes, product, node) if times and product else (*clipped.nodes, node)
        for one in chain[:-1]:
            if one.graph is not node.graph:
                return Refusal(name, "a part of the chain is outside of its subgraph")
            if sole_user(one.outputs[0]) is None:
                return Refusal(name, f"{one.outputs[0].name}, inside the chain, is read elsewhere")
        dtype = dtype_of(clipped.x)
        if dtype is None or dtype.kind != "f":
            return Refusal(name, f"it is of {dtype}: HardSigmoid wants floating point")
        if rank(clipped.x) is None or rank(clipped.x) != rank(node.outputs[0]):
            return Refusal(name, "its constants may add axes: the rank of its input is not kept")
        return _plan(chain, clipped, times)


def _plan(chain: tuple[ir.Node, ...], clipped: _Clipped, times: bool) -> Plan:
    settings = {"alpha": 1 / clipped.top, "beta": clipped.shift / clipped.top}

    def build(builder: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        gate = builder.op("HardSigmoid", inputs, settings)
        return [builder.op("Mul", [inputs[0], gate]) if times else gate]

    return Plan(
        nodes=chain,
        inputs=(clipped.x,),
        outputs=(chain[-1].outputs[0],),
        candidates=(Candidate("HardSigmoid and Mul" if times else "HardSigmoid", build),),
        why=f"hard {'swish' if times else 'sigmoid'} in {len(chain)} nodes",
        simpler=True,
    )


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """What is divided by a positive constant, and that."""
    if not is_onnx(node, "Div", "Mul"):
        return None
    split = _with_scalar(node, commutes=node.op_type == "Mul")
    if split is None or not split[1] > 0:
        return None
    return split[0], split[1] if node.op_type == "Div" else 1 / split[1]


def _clipped_times_x(product: ir.Node) -> _Clipped | None:
    a, b = product.inputs
    for x, gate in ((a, b), (b, a)):
        clipped = None if gate is None else _clipped(gate.producer())
        if clipped is not None and clipped.x is x:
            return clipped
    return None


def _clipped(clip: ir.Node | None) -> _Clipped | None:
    if clip is None or not is_onnx(clip, "Clip") or clip.inputs[0] is None:
        return None
    low, high = (_bound(clip, i, name) for i, name in ((1, "min"), (2, "max")))
    add = clip.inputs[0].producer()
    if low != 0 or high is None or not high > 0 or add is None or not is_onnx(add, "Add"):
        return None
    split = _with_scalar(add, commutes=True)
    return None if split is None else _Clipped((add, clip), split[0], split[1], high)


def _bound(clip: ir.Node, index: int, name: str) -> float | None:
    """A bound of Clip: an attribute before opset 11, an input since."""
    if name in clip.attributes:
        return float(attribute(clip, name, 0.0))
    return _scalar(input_of(clip, index))


def _with_scalar(node: ir.Node, *, commutes: bool) -> tuple[ir.Value, float] | None:
    a, b = node.inputs
    for value, other in ((a, b), (b, a))[: 2 if commutes else 1]:
        number = _scalar(other)
        if value is not None and number is not None:
            return value, number
    return None


def _scalar(value: ir.Value | None) -> float | None:
    """A constant of one element."""
    numbers = constant(value)
    return None if numbers is None or numbers.size != 1 else float(numbers.ravel()[0])

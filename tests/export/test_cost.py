"""Multiply-accumulates, against sums done by hand."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser

from edgeup.export.cost import Macs, macs, nodes_by_operator


def model(interface: str, nodes: str, constants: str = "") -> ir.Model:
    head = f"g {interface} <{constants}>" if constants else f"g {interface}"
    text = f'<ir_version: 8, opset_import: ["": 18, "mine": 1]> {head} {{ {nodes} }}'
    return ir.from_proto(parser.parse_model(text))


COUNTED = {
    # 6*4 output pixels * 5 channels * 3 taps in * 3x3
    "conv": (
        "(float[1,3,6,4] x, float[5,3,3,3] w) => (float[1,5,6,4] y)",
        "y = Conv<pads=[1,1,1,1]>(x, w)",
        6 * 4 * 5 * 3 * 9,
    ),
    "strided conv": (
        "(float[2,3,6,4] x, float[5,3,3,3] w) => (float[2,5,3,2] y)",
        "y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w)",
        2 * 3 * 2 * 5 * 3 * 9,
    ),
    "depthwise conv": (
        "(float[1,4,6,4] x, float[4,1,5,5] w) => (float[1,4,6,4] y)",
        "y = Conv<pads=[2,2,2,2], group=4>(x, w)",
        6 * 4 * 4 * 25,
    ),
    # every input value meets every tap of every output channel
    "conv transpose": (
        "(float[1,3,6,4] x, float[3,5,4,4] w) => (float[1,5,12,8] y)",
        "y = ConvTranspose<pads=[1,1,1,1], strides=[2,2]>(x, w)",
        3 * 6 * 4 * 5 * 16,
    ),
    "grouped conv transpose": (
        "(float[1,4,6,4] x, float[4,2,2,2] w) => (float[1,4,12,8] y)",
        "y = ConvTranspose<strides=[2,2], group=2>(x, w)",
        4 * 6 * 4 * 2 * 4,
    ),
    "matmul": (
        "(float[2,7,3] a, float[2,3,5] b) => (float[2,7,5] y)",
        "y = MatMul(a, b)",
        2 * 7 * 5 * 3,
    ),
    "gemm": (
        "(float[3,7] a, float[3,5] b) => (float[7,5] y)",
        "y = Gemm<transA=1>(a, b)",
        7 * 5 * 3,
    ),
    "shapes in between are inferred": (
        "(float[1,3,6,4] x, float[5,3,1,1] w, float[2,5,1,1] v) => (float[1,2,6,4] y)",
        "a = Conv(x, w) b = Relu(a) y = Conv(b, v)",
        6 * 4 * 5 * 3 + 6 * 4 * 2 * 5,
    ),
    "pointwise is free": ("(float[4] x) => (float[4] y)", "y = Add(x, x)", 0),
}


@pytest.mark.parametrize("name", COUNTED)
def test_count(name: str):
    interface, nodes, expected = COUNTED[name]
    assert macs(model(interface, nodes)) == Macs(expected)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("1,0,0,0, 1,0,0,0", 0),
        ("0,0,0,1, 0,1,0,0", 0),
        ("2,0,0,0, 1,0,0,0", 2 * 9 * 4),
        ("1,0,1,0, 1,0,0,0", 2 * 9 * 4),
        ("0,0,0,0, 1,0,0,0", 2 * 9 * 4),
    ],
)
def test_zero_insertion_is_a_copy(kernel: str, expected: int):
    insertion = model(
        "(float[1,2,3,3] x) => (float[1,2,6,6] y)",
        "y = ConvTranspose<strides=[2,2], group=2>(x, w)",
        f"float[2,1,2,2] w = {{{kernel}}}",
    )
    assert macs(insertion) == Macs(expected)


def test_dense_one_hot_kernel_is_counted():
    weight = ",".join(str(v) for v in np.eye(2, dtype=int).reshape(-1))
    dense = model(
        "(float[1,2,3,3] x) => (float[1,2,3,3] y)",
        "y = ConvTranspose(x, w)",
        f"float[2,2,1,1] w = {{{weight}}}",
    )
    assert macs(dense) == Macs(2 * 9 * 2)


def test_dynamic_dimension_is_a_reason():
    dynamic = model(
        "(float[n,3,6,4] x, float[5,3,1,1] w) => (float[n,5,6,4] y)", "[head] y = Conv(x, w)"
    )
    assert macs(dynamic) == Macs(None, "Conv 'head': dimension n is dynamic")


def test_loop_or_branch_is_a_reason():
    branch = model(
        "(bool c, float[2,2] x) => (float[2,2] y)",
        "y = If(c) <then_branch = t () => (float[2,2] a) { [inner] a = MatMul(x, x) }, "
        "else_branch = e () => (float[2,2] b) { b = Relu(x) }>",
    )
    assert macs(branch) == Macs(None, "MatMul 'inner' runs in a branch or loop")


def test_counting_leaves_the_model():
    uninferred = model(*COUNTED["shapes in between are inferred"][:2])
    macs(uninferred)
    assert uninferred.graph.node(0).outputs[0].shape is None


def test_nodes_by_operator():
    counted = nodes_by_operator(
        model(
            "(bool c, float[2,2] x) => (float[2,2] y)",
            "r = Relu(x) s = mine.Odd(r) "
            "y = If(c) <then_branch = t () => (float[2,2] a) { a = Relu(s) }, "
            "else_branch = e () => (float[2,2] b) { b = Neg(s) }>",
        )
    )
    assert list(counted.items()) == [("Relu", 2), ("If", 1), ("Neg", 1), ("mine.Odd", 1)]

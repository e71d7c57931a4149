"""The forms, written to ONNX field by field, in ONNX Runtime: attributes mean what ONNX means."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from edgeup.polyphase import Conv, ConvTranspose, Interleave, InterleavedConvs, PolyphaseFilter


class Graph:
    """Nodes and initializers of a graph from ``x`` to the output of the last node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, array) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, *inputs, **attributes) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def run(self, x):
        info = helper.make_tensor_value_info
        ends = [info("x", 1, list(x.shape))], [info(self.nodes[-1].output[0], 1, [None] * x.ndim)]
        graph = helper.make_graph(self.nodes, "g", *ends, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {"x": x})[0]


def weighted(graph, op, form, **attributes):
    inputs = [graph.constant(a) for a in (form.weight, form.bias) if a is not None]
    return graph.node(
        op, "x", *inputs, pads=form.pads, dilations=form.dilations, group=form.group, **attributes
    )


def run_conv_transpose(form, x):
    graph = Graph()
    weighted(graph, "ConvTranspose", form, strides=form.strides, output_padding=form.output_padding)
    return graph.run(x)


def run_interleaved(form, x):
    graph, interleave = Graph(), form.interleave
    maps = [weighted(graph, "Conv", conv) for conv in form.convs]
    joined = graph.node("Concat", *maps, axis=1) if len(maps) > 1 else maps[0]
    if interleave.blocksize:
        block = {"blocksize": interleave.blocksize, "mode": interleave.mode}
        out = graph.node("DepthToSpace", joined, **block)
    else:
        blocks = form.convs[0].output_spatial(x.shape[2:])
        strides = interleave.strides
        split = (-1, *strides) if interleave.mode == "CRD" else (*strides, -1)
        joint = [s * n for s, n in zip(strides, blocks, strict=True)]
        out = graph.node(
            "Reshape", joined, graph.constant(np.array([len(x), *split, *blocks], np.int64))
        )
        out = graph.node("Transpose", out, perm=interleave.perm)
        out = graph.node("Reshape", out, graph.constant(np.array([len(x), -1, *joint], np.int64)))
    if any(interleave.crops):
        # A batch and a channel axis that are not cropped: pads in Pad's order, negative.
        half = len(interleave.crops) // 2
        pads = [0, 0, *interleave.crops[:half], 0, 0, *interleave.crops[half:]]
        graph.node("Pad", out, graph.constant(-np.array(pads, np.int64)))
    return graph.run(x)


RNG = np.random.default_rng(7)


def values(*shape):
    return RNG.integers(1, 5, shape).astype(np.float32) * RNG.choice(
        np.array([-1, 1], np.float32), shape
    )


CASES = {
    "nearest 2x2, 5x5": (
        PolyphaseFilter.from_nearest_conv(Conv(values(3, 2, 5, 5), values(3), (2,) * 4), (2, 2)),
        values(2, 2, 4, 5),
    ),
    "nearest 2x2, depthwise 3x3": (
        PolyphaseFilter.from_nearest_conv(
            Conv(values(3, 1, 3, 3), values(3), (1,) * 4, group=3), (2, 2)
        ),
        values(1, 3, 4, 5),
    ),
    "zero insertion 3x2, 4x5, grouped, uneven pads": (
        PolyphaseFilter.from_zero_insertion_conv(
            Conv(values(4, 2, 4, 5), None, (1, 3, 5, 0), group=2), (3, 2), (1, 0)
        ),
        values(1, 4, 4, 5),
    ),
    "transposed 4x4, output padding, group of 2": (
        PolyphaseFilter.from_conv_transpose(
            ConvTranspose(
                values(4, 3, 4, 4), values(6), (3, 3), (1,) * 4, output_padding=(1, 1), group=2
            )
        ),
        values(1, 4, 4, 5),
    ),
    "transposed 1-D, dilated": (
        PolyphaseFilter.from_conv_transpose(
            ConvTranspose(values(2, 3, 3), values(3), (2,), (1, 2), (3,))
        ),
        values(1, 2, 5),
    ),
    "transposed 3-D": (
        PolyphaseFilter.from_conv_transpose(
            ConvTranspose(values(2, 3, 3, 3, 3), values(3), (2, 2, 2), (1,) * 6)
        ),
        values(1, 2, 3, 2, 3),
    ),
    "sub-pixel 2x2 in DCR order": (
        PolyphaseFilter.from_interleaved_convs(
            InterleavedConvs(
                (Conv(values(12, 2, 3, 3), values(12), (1,) * 4),), Interleave((2, 2), "DCR")
            )
        ),
        values(1, 2, 4, 5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_computes_the_filter(name):
    """Small integers: float32 holds every sum exactly, so equality is at zero tolerance."""
    filter_, x = CASES[name]
    expected = filter_.apply(x)
    assert np.ptp(expected) > 10
    for form in (
        filter_.to_subpixel_conv(),
        filter_.to_subpixel_conv(tight=True),
        filter_.to_phase_convs(),
    ):
        np.testing.assert_array_equal(run_interleaved(form, x), expected)
    transposed = filter_.to_conv_transpose()
    if isinstance(transposed, ConvTranspose):
        np.testing.assert_array_equal(run_conv_transpose(transposed, x), expected)
    else:
        assert name == "sub-pixel 2x2 in DCR order", transposed.reason

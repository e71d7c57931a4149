"""The rules about TensorRT by version: each at the versions between which its answer changes.

Every case names the evidence that its finding must cite. None of these versions can be run here:
the importers were read at the commits that the evidence holds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.export.capability.check import check_model, is_accepted
from edgeup.export.capability.contract import Finding, Verdict
from edgeup.export.capability.versions.constants import WANTED
from edgeup.export.capability.versions.operators import table, types_of
from edgeup.export.capability.versions.table import VERSION_RULES
from edgeup.export.passes.contract import Aim

ModelText = Callable[..., str]
X = "float[1,2,8,8] x"
Y = "float[a,b,c,d] y"
VOLUME, VOLUME_OUT = "float[1,2,4,4,4] x", "float[a,b,c,d,e] y"
DOUBLE = {"s": np.array([1, 1, 2, 2], np.float32)}
HALVED = {"s": np.array([1, 1, 0.5, 0.5], np.float32)}
WEIGHT = np.arange(2 * 2 * 3 * 3, dtype=np.float32).reshape(2, 2, 3, 3)
REFUSED, DIFFERENT, WARNING = Verdict.REFUSED, Verdict.DIFFERENT, Verdict.WARNING


def findings(text: str, version: tuple[int, int]) -> list[Finding]:
    proto = onnx.parser.parse_model(text)
    aim = Aim("test", "tensorrt", version, proto.opset_import[0].version)
    return check_model(ir.from_proto(proto), aim, VERSION_RULES)


def version_of(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def graph(
    body: str, inputs: str = X, output: str = Y, opset: int = 13, **arrays: Any
) -> dict[str, Any]:
    """The arguments of `model_text`."""
    return {"body": body, "inputs": inputs, "output": output, "opset": opset, **arrays}


def resize(attributes: str, opset: int = 18, **named: Any) -> dict[str, Any]:
    return graph(f"y = Resize<{attributes}>(x, , s)", opset=opset, **named)


def conv_transpose(attributes: str) -> dict[str, Any]:
    return graph(f"y = ConvTranspose<{attributes}>(x, w)", w=WEIGHT)


CASES: dict[str, tuple[dict[str, Any], dict[str, Verdict | None], str, str, str]] = {
    # model; verdict per version; rule; words of the reason; words of the evidence
    "antialias where it shrinks": (
        resize('mode="linear", antialias=1', **HALVED),
        {"8.0": DIFFERENT, "8.6": DIFFERENT, "9.3": DIFFERENT, "10.0": REFUSED, "11.1": REFUSED},
        "resize-settings",
        "antialias",
        "importer source, Resize",
    ),
    "antialias where it grows": (
        resize('mode="linear", antialias=1', **DOUBLE),
        {"8.6": None, "9.3": None, "10.0": REFUSED},
        "resize-settings",
        "antialias",
        "10.0 (eb43908)",
    ),
    "keep_aspect_ratio_policy": (
        graph(
            'y = Resize<mode="nearest", keep_aspect_ratio_policy="not_larger">(x, , , s)',
            opset=18,
            s=np.array([1, 2, 16, 32]),
        ),
        {"8.5": DIFFERENT, "9.3": DIFFERENT, "10.0": REFUSED},
        "resize-settings",
        "keep_aspect_ratio_policy",
        "importer source",
    ),
    "axes with fewer scales": (
        resize('mode="linear", axes=[2,3]', s=np.array([2, 2], np.float32)),
        {"8.0": REFUSED, "9.3": REFUSED, "10.0": None},
        "resize-settings",
        "ignores axes",
        "must align with the input rank",
    ),
    "axes with sizes": (
        graph('y = Resize<mode="linear", axes=[2,3]>(x, , , s)', opset=18, s=np.array([16, 16])),
        {"8.6": DIFFERENT, "9.3": DIFFERENT, "10.0": None},
        "resize-settings",
        "ignores axes",
        "importer source",
    ),
    "tf_half_pixel_for_nn with linear": (
        resize(
            'mode="linear", coordinate_transformation_mode="tf_half_pixel_for_nn"',
            opset=13,
            **DOUBLE,
        ),
        {"8.0": DIFFERENT, "8.6": DIFFERENT, "10.3": DIFFERENT, "11.1": DIFFERENT},
        "resize-settings",
        "computes half_pixel",
        "importer source",
    ),
    "tf_half_pixel_for_nn with floor": (
        resize(
            'mode="nearest", nearest_mode="floor", '
            'coordinate_transformation_mode="tf_half_pixel_for_nn"',
            opset=13,
            **DOUBLE,
        ),
        {"8.0": REFUSED, "10.1": REFUSED},
        "resize-settings",
        "tf_half_pixel_for_nn with floor",
        "importer source",
    ),
    "tf_half_pixel_for_nn with sizes": (
        graph(
            'y = Resize<mode="nearest", '
            'coordinate_transformation_mode="tf_half_pixel_for_nn">(x, , , s)',
            s=np.array([1, 2, 16, 16]),
        ),
        {"8.4": None, "8.5": REFUSED, "10.1": REFUSED},
        "resize-settings",
        "does not read sizes",
        "importer source, Resize",
    ),
    "half_pixel_symmetric": (
        resize(
            'mode="linear", coordinate_transformation_mode="half_pixel_symmetric"',
            opset=19,
            **DOUBLE,
        ),
        {"8.0": REFUSED, "11.1": REFUSED},
        "resize-settings",
        "half_pixel_symmetric",
        "importer source",
    ),
    "cubic": (
        resize('mode="cubic"', opset=13, **DOUBLE),
        {"8.0": REFUSED, "8.4": REFUSED, "8.5": None, "10.3": None},
        "resize-settings",
        "no cubic",
        "importer source, Resize",
    ),
    "linear on four axes": (
        graph(
            'y = Resize<mode="linear">(x, , s)',
            inputs="float[2,2,4,4,4] x",
            output=VOLUME_OUT,
            s=np.array([1, 2, 2, 2, 2], np.float32),
        ),
        {"8.0": REFUSED, "11.1": REFUSED},
        "resize-settings",
        "last 3 axes",
        "importer source",
    ),
    "nearest of opset 10, times 3": (
        graph('y = Resize<mode="nearest">(x, s)', opset=10, s=np.array([1, 1, 3, 3], np.float32)),
        {"8.0": DIFFERENT, "8.1": DIFFERENT, "8.2": None, "11.1": None},
        "resize-settings",
        "align_corners",
        "8.0 (8fea430)",
    ),
    "nearest of opset 10, times 2, which align_corners does alike": (
        graph('y = Resize<mode="nearest">(x, s)', opset=10, **DOUBLE),
        {"8.0": None, "8.2": None},
        "",
        "",
        "",
    ),
    "resize of int32": (
        resize(
            'mode="nearest"',
            opset=13,
            inputs="int32[1,2,8,8] x",
            output="int32[a,b,c,d] y",
            **DOUBLE,
        ),
        {"8.0": REFUSED, "8.6": REFUSED, "11.1": REFUSED},
        "resize-settings",
        "does not resize INT32",
        "importer source",
    ),
    "computed scales": (
        graph(
            't = Mul(s, s) y = Resize<mode="nearest">(x, , t)', s=np.array([1, 1, 2, 2], np.float32)
        ),
        {"8.0": REFUSED, "8.2": REFUSED, "8.4": None},
        "resize-computed-scales",
        "scales are computed",
        "Resize scales must be an initializer!",
    ),
    "output_shape with an odd padding": (
        conv_transpose("strides=[2,2], output_shape=[16,16]"),
        {"8.0": DIFFERENT, "8.6": DIFFERENT, "10.13": DIFFERENT, "11.1": DIFFERENT},
        "conv-transpose-output-shape",
        "begin pads [0, 0] and ONNX [1, 1]",
        "onnx-tensorrt#1042",
    ),
    "output_shape with an even padding": (
        conv_transpose("strides=[2,2], output_shape=[15,15]"),
        {"8.0": None, "11.1": None},
        "",
        "",
        "",
    ),
    "output_shape of one more than there is": (
        conv_transpose("strides=[2,2], output_shape=[18,18]"),
        {"8.2": None, "10.3": None},
        "",
        "",
        "",
    ),
    "output_shape of three more than there is": (
        conv_transpose("strides=[2,2], output_shape=[20,20]"),
        {"8.0": REFUSED, "10.3": REFUSED},
        "conv-transpose-output-shape",
        "negative pad",
        "negative pre-padding",
    ),
    "output_shape beside SAME_UPPER": (
        conv_transpose('strides=[2,2], auto_pad="SAME_UPPER", output_shape=[17,17]'),
        {"8.6": DIFFERENT, "10.3": DIFFERENT},
        "conv-transpose-output-shape",
        "from output_shape",
        "generatePadding",
    ),
    "asymmetric pads on three axes": (
        graph(
            "y = ConvTranspose<pads=[1,1,1,0,0,0]>(x, w)",
            inputs=VOLUME,
            output=VOLUME_OUT,
            w=np.ones((2, 2, 3, 3, 3), np.float32),
        ),
        {"8.0": REFUSED, "8.2": REFUSED, "8.4": None},
        "conv-transpose-form",
        "on three axes",
        "asymmetrical padding for 3D",
    ),
    "output padding on one axis": (
        graph(
            "y = ConvTranspose<strides=[2], pads=[1,1], output_padding=[1]>(x, w)",
            inputs="float[1,2,8] x",
            output="float[a,b,c] y",
            w=np.ones((2, 2, 3), np.float32),
        ),
        {"8.0": DIFFERENT, "8.4": DIFFERENT, "8.5": None},
        "conv-transpose-form",
        "one axis",
        "Changelog.md, 8.5",
    ),
    "strides with dilations": (
        conv_transpose("strides=[2,2], dilations=[2,2]"),
        {"8.6": WARNING, "10.3": WARNING},
        "conv-transpose-strided-and-dilated",
        "does not build strides",
        "Strided & Dilated Deconv",
    ),
    "computed bias": (
        graph("b = Neg(n) y = ConvTranspose(x, w, b)", inputs=f"{X}, float[2] n", w=WEIGHT),
        {"8.0": REFUSED, "8.4": REFUSED, "8.5": None},
        "computed-input",
        "bias is computed",
        "importer source",
    ),
    "MaxPool with indices": (
        graph("y, i = MaxPool<kernel_shape=[2,2]>(x)", output=f"{Y}, int64[e,f,g,h] i"),
        {"8.0": REFUSED, "10.3": REFUSED, "11.1": REFUSED},
        "pooling-indices",
        "with indices",
        "indices output in MaxPool",
    ),
    "dilated MaxPool": (
        graph("y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)"),
        {"8.0": REFUSED, "11.1": REFUSED},
        "pooling-dilations",
        "neighbours",
        "dilations other than 1",
    ),
    "ceil_mode with a window behind the map": (
        graph("y = MaxPool<kernel_shape=[1,1], strides=[2,2], ceil_mode=1>(x)", opset=22),
        {"8.0": DIFFERENT, "11.1": DIFFERENT},
        "pooling-ceil-mode",
        "one larger",
        "EXPLICIT_ROUND_UP",
    ),
    "ceil_mode with a window that overhangs": (
        graph("y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
        {"8.0": None, "11.1": None},
        "",
        "",
        "",
    ),
    "average with begin pads": (
        graph("y = AveragePool<kernel_shape=[2,2], pads=[1,1,0,0]>(x)"),
        {"8.0": REFUSED, "10.1": REFUSED},
        "pooling-average-pads",
        "pads [1, 1, 0, 0]",
        "form of the attribute pads",
    ),
    "ScatterND with reduction none": (
        graph(
            'y = ScatterND<reduction="none">(x, i, u)',
            inputs="float[4] x, float[2] u",
            output="float[4] y",
            i=np.array([[1], [2]]),
            opset=16,
        ),
        {"8.2": None, "9.3": None, "10.0": REFUSED, "10.3": REFUSED, "10.8": REFUSED, "10.9": None},
        "scatter-reduction",
        "any reduction attribute",
        "CHANGELOG 10.9",
    ),
    "ScatterND that adds": (
        graph(
            'y = ScatterND<reduction="add">(x, i, u)',
            inputs="float[4] x, float[2] u",
            output="float[4] y",
            i=np.array([[1], [2]]),
            opset=16,
        ),
        {"8.2": DIFFERENT, "9.3": DIFFERENT, "10.3": REFUSED, "10.9": REFUSED, "11.1": REFUSED},
        "scatter-reduction",
        "reduction",
        "onnx-tensorrt",
    ),
    "ScatterElements that adds": (
        graph(
            'y = ScatterElements<axis=0, reduction="add">(x, i, u)',
            inputs="float[4] x, float[2] u",
            output="float[4] y",
            i=np.array([1, 2]),
            opset=16,
        ),
        {"8.2": DIFFERENT, "9.3": DIFFERENT, "10.0": WARNING, "11.1": WARNING},
        "scatter-reduction",
        "reduction='add'",
        "importer source",
    ),
    "GridSample by the names of opset 20": (
        graph('y = GridSample<mode="linear">(x, g)', inputs=f"{X}, float[1,4,4,2] g", opset=20),
        {"8.4": REFUSED, "8.5": DIFFERENT, "10.3": DIFFERENT, "10.13": DIFFERENT, "10.14": None},
        "grid-sample",
        "",
        "onnx-tensorrt 8.0 to 10.1",
    ),
    "GridSample by the names of opset 16": (
        graph('y = GridSample<mode="bilinear">(x, g)', inputs=f"{X}, float[1,4,4,2] g", opset=16),
        {"8.4": REFUSED, "8.5": None, "10.3": None},
        "grid-sample",
        "no GridSample",
        "onnx-tensorrt 8.0 to 10.1",
    ),
    "GridSample of a volume": (
        graph(
            'y = GridSample<mode="nearest">(x, g)',
            inputs=f"{VOLUME}, float[1,4,4,4,3] g",
            output=VOLUME_OUT,
            opset=20,
        ),
        {"8.5": REFUSED, "10.14": REFUSED, "11.1": REFUSED, "11.4": None},
        "grid-sample",
        "two axes only",
        "release notes of 11.2.1",
    ),
    "Pad with ones": (
        graph("y = Pad(x, p, v)", p=np.array([0, 0, 1, 1, 0, 0, 1, 1]), v=np.array(1, np.float32)),
        {"8.0": REFUSED, "8.2": None},
        "pad-mode",
        "zeros alone",
        "only supports constant 0 padding",
    ),
    "Pad of three axes": (
        graph("y = Pad(x, p)", p=np.array([0, 1, 1, 1, 0, 0, 1, 1])),
        {"8.0": REFUSED, "8.2": None},
        "pad-mode",
        "pads 3",
        "only supports 2D padding",
    ),
    "Pad that wraps": (
        graph('y = Pad<mode="wrap">(x, p)', p=np.array([0, 0, 1, 1, 0, 0, 1, 1]), opset=19),
        {"8.6": REFUSED, "9.3": REFUSED, "10.0": None},
        "pad-mode",
        "wraps around",
        "Unsupported pad mode",
    ),
    "Pad with axes": (
        graph("y = Pad(x, p, , a)", p=np.array([1, 1]), a=np.array([3]), opset=18),
        {"8.6": REFUSED, "9.3": REFUSED, "10.0": None},
        "pad-mode",
        "axes of Pad",
        "dynamic axes for pad",
    ),
    "Where of bool": (
        graph("y = Where(c, x, z)", inputs="bool[4] c, bool[4] x, bool[4] z", output="bool[4] y"),
        {"8.0": REFUSED, "8.4": REFUSED, "8.5": None, "10.3": None},
        "bool-moved",
        "Where of bool",
        "importer source",
    ),
    "Gather of bool": (
        graph("y = Gather(x, i)", inputs="bool[4] x", output="bool[2] y", i=[1, 2]),
        {"8.2": REFUSED, "8.4": REFUSED, "8.5": None},
        "bool-moved",
        "Gather of bool",
        "BOOL input",
    ),
    "DepthToSpace in a volume's place": (
        graph("y = DepthToSpace<blocksize=2>(x)", inputs="float[4,8,8] x", output="float[a,b,c] y"),
        {"8.0": REFUSED, "11.1": REFUSED},
        "block-rank",
        "not n c h w",
        "NCHW format",
    ),
    "InstanceNormalization of a matrix": (
        graph(
            "y = InstanceNormalization(x, w, w)",
            inputs="float[2,2] x",
            output="float[a,b] y",
            w=np.ones(2, np.float32),
        ),
        {"8.5": REFUSED, "8.6": None},
        "instance-norm-rank",
        "2 dimensions",
        "3D, 4D, or 5D",
    ),
    "Einsum with capital letters": (
        graph(
            'y = Einsum<equation="Bi,Bj->ij">(x, z)',
            inputs="float[2,3] x, float[2,4] z",
            output="float[3,4] y",
        ),
        {"8.2": REFUSED, "11.1": REFUSED},
        "einsum-equation",
        "lower-case",
        "Invalid character(s)",
    ),
    "Einsum with an ellipsis": (
        graph(
            'y = Einsum<equation="...i,...i->...">(x, x)',
            inputs="float[2,3] x",
            output="float[2] y",
        ),
        {"8.2": REFUSED, "8.6": REFUSED, "9.3": None},
        "einsum-equation",
        "no ellipsis",
        "operators.md",
    ),
    "zero point of 3": (
        graph(
            "y = QuantizeLinear(x, s, z) v = DequantizeLinear(y, s, z)",
            inputs="float[4] x",
            output="float[4] v",
            s=np.array(0.5, np.float32),
            z=np.array(3, np.int8),
        ),
        {"8.0": REFUSED, "11.1": REFUSED},
        "quantize-zero-point",
        "zero point is not zero",
        "symmetric quantization",
    ),
    "Cast of uint8 to int32": (
        graph("y = Cast<to=6>(x)", inputs="uint8[4] x", output="int32[4] y"),
        {"8.4": REFUSED, "8.5": REFUSED, "8.6": None, "10.3": None},
        "",
        "uint8",
        "8.",
    ),
    "uint8 between two casts": (
        graph("t = Cast<to=2>(x) y = Cast<to=1>(t)", inputs="float[4] x", output="float[4] y"),
        {"8.5": REFUSED, "10.3": REFUSED},
        "inner-uint8",
        "inside the network",
        "DataType::kUINT8",
    ),
    "Mod of floats": (
        graph("y = Mod(x, x)", inputs="float[4] x", output="float[4] y"),
        {"8.4": REFUSED, "8.5": REFUSED, "11.1": REFUSED},
        "mod-type",
        "Mod of floats",
        "floating point",
    ),
    "LayerNormalization with its mean": (
        graph(
            "y, m = LayerNormalization(x, w)",
            inputs="float[2,4] x",
            output="float[2,4] y, float[2,1] m",
            w=np.ones(4, np.float32),
        ),
        {"8.6": REFUSED, "11.1": REFUSED},
        "layer-norm-outputs",
        "first output alone",
        "operators.md",
    ),
    "float64": (
        graph("y = Neg(x)", inputs="double[4] x", output="double[4] y"),
        {"8.0": WARNING, "11.1": WARNING},
        "float64",
        "narrows to float32",
        "convertDtype",
    ),
    "int16": (
        graph("y = Cast<to=5>(x)", inputs="float[4] x", output="int16[4] y"),
        {"8.0": REFUSED, "11.1": REFUSED},
        "unknown-type",
        "int16",
        "convertDtype",
    ),
    "bfloat16": (
        graph("y = Relu(x)", inputs="bfloat16[4] x", output="bfloat16[4] y", opset=14),
        {"8.6": REFUSED, "9.1": None, "10.3": None},
        "unknown-type",
        "bfloat16",
        "8.6 (6ba67d3)",
    ),
    "Relu of int32": (
        graph("y = Relu(x)", inputs="int32[4] x", output="int32[4] y", opset=14),
        {"8.6": REFUSED, "9.1": None, "10.3": None},
        "element-type",
        "Relu of",
        "operators.md",
    ),
    "int64 is int32 before 9.1": (
        graph("y = Add(x, x)", inputs="int64[4] x", output="int64[4] y"),
        {"8.0": None, "8.6": None, "9.1": None},
        "",
        "",
        "",
    ),
    "MaxUnpool": (
        graph(
            "y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i)",
            inputs="float[1,1,2,2] x, int64[1,1,2,2] i",
        ),
        {"8.0": REFUSED, "10.3": REFUSED, "11.1": REFUSED},
        "no-importer",
        "no importer for MaxUnpool",
        "operators.md",
    ),
    "HardSwish": (
        graph("y = HardSwish(x)", inputs="float[4] x", output="float[4] y", opset=14),
        {"8.2": REFUSED, "8.3": REFUSED, "8.4": None, "10.3": None},
        "no-importer",
        "HardSwish",
        "operators.md",
    ),
    "an operator of nobody": (
        graph("y = my.Thing(x)", inputs="float[4] x", output="float[4] y"),
        {"8.0": REFUSED, "11.1": REFUSED},
        "no-importer",
        "plugin",
        "importer source",
    ),
    "INT8 ConvTranspose": (
        graph(
            "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = ConvTranspose(d, w)",
            s=np.array(0.5, np.float32),
            z=np.array(0, np.int8),
            w=WEIGHT,
        ),
        {"8.2": WARNING, "8.4": None},
        "bug-int8-conv-transpose",
        "wrong values",
        "NVIDIA/TensorRT#1699",
    ),
    "cubic of 10.8": (
        resize('mode="cubic"', opset=13, **DOUBLE),
        {"10.7": None, "10.8": WARNING, "10.9": WARNING, "10.10": None},
        "bug-cubic-resize",
        "reported to differ",
        "pytorch/TensorRT#3429",
    ),
}


@pytest.mark.parametrize(
    ("name", "version"), [(name, version) for name, case in CASES.items() for version in case[1]]
)
def test_a_rule_speaks_at_its_versions_and_cites_its_evidence(
    model_text: ModelText, name: str, version: str
) -> None:
    model, verdicts, rule, reason, evidence = CASES[name]
    text = model_text(model["body"], **{k: v for k, v in model.items() if k != "body"})
    if "my.Thing" in text:
        text = text.replace('opset_import: ["": 13]', 'opset_import: ["": 13, "my": 1]')
    found = findings(text, version_of(version))
    verdict = verdicts[version]
    if verdict is None:
        assert is_accepted(found), found
        assert not [f for f in found if rule and f.rule == rule]
        return
    ours = [f for f in found if f.verdict is verdict and (not rule or f.rule == rule)]
    if not ours:  # before its first importer, an operator has no rule of its own
        assert [f.rule for f in found if f.verdict is verdict] == ["no-importer"]
        return
    assert reason in ours[0].reason
    assert evidence in ours[0].evidence
    assert is_accepted(found) == (verdict is WARNING)


def test_every_rule_has_a_case() -> None:
    named = {case[2] for case in CASES.values()} | COVERED_BELOW
    assert {rule.name for rule in VERSION_RULES} <= named


COVERED_BELOW = {
    "cast-uint8",
    "conv-transpose-rank",
    "pooling-rank",
    "training-mode",
    "norm-order",
    "dropout-training",
    "narrow-type",
    "range-type",
    "bug-if-transpose-resize",
}

SHORT = {
    "cast-uint8": ("8.5", "y = Cast<to=6>(x)", "uint8[4] x", "int32[4] y", 13, {}),
    "conv-transpose-rank": (
        *("10.3", "y = ConvTranspose(x, w)", "float[1,1,2,2,2,2] x", "float[a,b,c,d,e,f] y", 13),
        {"w": np.ones((1, 1, 1, 1, 1, 1), np.float32)},
    ),
    "pooling-rank": (
        *("8.6", "y = MaxPool<kernel_shape=[1,1,1,1]>(x)", "float[1,1,2,2,2,2] x"),
        *("float[a,b,c,d,e,f] y", 13, {}),
    ),
    "training-mode": (
        *("10.1", "y = BatchNormalization<training_mode=1>(x, w, w, w, w)", X, Y, 15),
        {"w": np.ones(2, np.float32)},
    ),
    "norm-order": ("8.6", "y = LpPool<kernel_shape=[2,2], p=3>(x)", X, Y, 13, {}),
    "dropout-training": (
        *("10.3", "y = Dropout(x, r, t)", X, Y, 13),
        {"r": np.array(0.5, np.float32), "t": np.array(1, np.int64)},
    ),
    "narrow-type": ("10.3", "y = Cast<to=17>(x)", X, "float8e4m3fn[1,2,8,8] y", 19, {}),
    "range-type": (
        *("8.2", "y = Range(a, b, c)", "float a, float b, float c", "float[n] y", 13, {}),
    ),
}


@pytest.mark.parametrize("rule", sorted(SHORT))
def test_the_short_rules(model_text: ModelText, rule: str) -> None:
    version, body, inputs, output, opset, arrays = SHORT[rule]
    text = model_text(body, inputs=inputs, output=output, opset=opset, **arrays)
    if rule == "dropout-training":
        text = text.replace("int64 t = {1}", "bool t = {1}")
    found = [f for f in findings(text, version_of(version)) if f.rule == rule]
    assert [f.verdict for f in found] == [REFUSED]
    assert "onnx-tensorrt" in found[0].evidence or "RTX" in found[0].evidence


def test_if_transpose_resize_is_a_warning_of_its_two_versions() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (bool c, float[1,2,4,4] x) => (float y)
    <float[4] s = {1.0, 1.0, 2.0, 2.0}> {
      i = If (c) <then_branch = a () => (float[1,2,4,4] p) { p = Neg(x) },
                  else_branch = b () => (float[1,2,4,4] q) { q = Abs(x) }>
      t = Transpose<perm=[0,1,3,2]>(i)
      y = Resize<mode="linear">(t, , s)
    }"""
    for version, count in (((11, 0), 0), ((11, 1), 1), ((11, 2), 1), ((11, 3), 0)):
        found = [f for f in findings(text, version) if f.rule == "bug-if-transpose-resize"]
        assert len(found) == count
        assert all("NVIDIA/TensorRT#4846" in f.evidence for f in found)


@pytest.mark.parametrize("wanted", WANTED, ids=lambda w: f"{w.operators[0]}-{w.name}-{w.weights}")
def test_inputs_that_must_be_constant_do_so_before_their_version(wanted: Any) -> None:
    """The input is fed, so neither an initializer nor known."""
    operator = wanted.operators[0]
    count = max(wanted.index + 1, onnx.defs.get_schema(operator, 18).min_input)
    names = [f"i{k}" for k in range(count)]
    fed = ir.val(names[wanted.index], dtype=ir.DataType.INT64, shape=[1])
    held = [ir.val(n, const_value=ir.tensor(np.ones(1, np.int64), name=n)) for n in names[1:]]
    first = ir.val(names[0], dtype=ir.DataType.FLOAT, shape=[1, 2, 4, 4])
    values = [first, *held]
    values[wanted.index] = fed
    initializers = [value for value in held if value in values]
    node = ir.node(operator, values, outputs=[ir.val("y")], name="node")
    imports = {"": 18}
    made = ir.Graph(
        [first, fed],
        node.outputs,
        nodes=[node],
        initializers=initializers,
        opset_imports=imports,
        name="g",
    )
    model = ir.Model(made, ir_version=8)
    before = (wanted.before[0], wanted.before[1] - 1) if wanted.before[1] else (9, 3)
    last = (11, 4) if wanted.before > (90, 0) else before
    rules = [rule for rule in VERSION_RULES if rule.name == "computed-input"]
    found = check_model(model, Aim("t", "tensorrt", last, 18), rules)
    assert [f.verdict for f in found] == [REFUSED]
    assert f"its {wanted.name} is computed" in found[0].reason
    assert "onnx-tensorrt" in found[0].evidence


def test_an_opset_is_no_fault_by_itself(model_text: ModelText) -> None:
    text = model_text("y = Relu(x)", inputs=X, output=Y, opset=22)
    assert findings(text, (8, 0)) == []


def test_other_backends_have_none_of_these_rules(model_text: ModelText) -> None:
    body = "y = MaxUnpool<kernel_shape=[2,2]>(x, i)"
    text = model_text(body, inputs="float[1,1,2,2] x, int64[1,1,2,2] i", output=Y, opset=13)
    model = ir.from_proto(onnx.parser.parse_model(text))
    for backend in ("onnxruntime", "tensorrt-rtx"):
        assert check_model(model, Aim("t", backend, None, 13), VERSION_RULES) == []


def test_the_operator_table_is_in_order_and_names_its_sources() -> None:
    document = json.loads((files("edgeup") / "data" / "operators.json").read_text("utf-8"))
    assert {"tables", "importers", "derived"} <= set(document["_sources"])
    assert len(table()) > 150
    for operator, rows in table().items():
        versions = [version for version, _ in rows]
        assert versions == sorted(set(versions)), operator
        changes = [types for _, types in rows]
        assert all(a != b for a, b in itertools.pairwise(changes)), operator


def test_a_version_between_two_takes_the_older() -> None:
    assert types_of("OneHot", (8, 4)) is None
    assert types_of("Einsum", (8, 1)) is None
    assert types_of("Einsum", (8, 3)) == types_of("Einsum", (8, 2)) == {"FP32", "FP16"}
    assert types_of("Relu", (9, 2)) == types_of("Relu", (9, 1))
    assert types_of("Nothing", (11, 1)) is None

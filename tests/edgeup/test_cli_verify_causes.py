"""Each cause that `edgeup verify` knows: two ONNX files with that fault, and clean ones beside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Edgeup = Callable[..., Any]
SIZE = 24
MEAN, STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RNG = np.random.default_rng(4)
CONSTANTS: dict[str, Any] = {
    "w0": RNG.normal(0, 0.4, (6, 3, 3, 3)),
    "w1": RNG.normal(0, 0.4, (8, 6, 3, 3)),
    "b1": RNG.normal(0, 0.5, 8),
    "w1_off": RNG.normal(0, 0.4, (8, 6, 3, 3)),
    "twice": [1.0, 1.0, 2.0, 2.0],
    "mean": np.reshape(MEAN, (1, 3, 1, 1)),
    "std": np.reshape(STD, (1, 3, 1, 1)),
    "forty": [40.0],
    "two": [2.0],
    "holes": (RNG.uniform(size=(SIZE, SIZE)) > 0.02) * 1.0,
    "six": 6.0,
    "zero": 0.0,
    "bgr": np.array([2, 1, 0]),
    "swapped": np.array([0, 2, 1, 3, 4, 5, 6, 7]),
    "shift": np.array([0, 0, 1, 0, 0, 0, -1, 0]),
    "in_nhwc": np.array([1, SIZE, SIZE, 3]),
    "in_shape": np.array([1, 3, SIZE, SIZE]),
    "out_shape": np.array([1, 8, 2 * SIZE, 2 * SIZE]),
}

Step = tuple[Any, ...]


def step(op: str, *constants: str, **attributes: Any) -> Step:
    """One node of a chain: what it reads besides the value before it."""
    return op, constants, attributes


def resize(mode: str) -> Step:
    return step("Resize", "", "twice", mode="linear", coordinate_transformation_mode=mode)


CONV = step("Conv", "w0", pads=[1] * 4)
HEAD = step("Conv", "w1", "b1", pads=[1] * 4)
OTHER = step("Conv", "w1_off", "b1", pads=[1] * 4)
UP = resize("half_pixel")
NORMALISE = [step("Sub", "mean"), step("Div", "std")]
SHUFFLE = [step("DepthToSpace", blocksize=2, mode=mode) for mode in ("CRD", "DCR")]
LARGE = [step("Mul", "forty"), step("Relu")]
CLIP = step("Clip", "zero", "six")


@dataclass(frozen=True)
class Fault:
    """Two chains of nodes; ``says``: of the line that people read."""

    kind: str
    right: Sequence[Step]
    wrong: Sequence[Step]
    says: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


BODY = [CONV, HEAD]
FAULTS = {
    "half pixel": Fault("half-pixel shift", [*BODY, UP], [*BODY, resize("asymmetric")],
                        "0.5 pixel up and 0.5 pixel left", {"down": -0.5, "right": -0.5}),
    "one pixel": Fault("one-pixel shift", [*BODY, UP], [*BODY, UP, step("Pad", "shift")],
                       "moved by 1 pixel down", {"down": 1.0, "right": 0.0}),
    "aligned": Fault("align_corners", [*BODY, UP], [*BODY, resize("align_corners")],
                     "the candidate aligns corners"),
    "h and w of the output": Fault(
        "axes transposed", [*BODY, UP], [*BODY, UP, step("Transpose", perm=[0, 1, 3, 2])],
        "n c w h for n c h w", {"axes": [0, 1, 3, 2]}),
    "nhwc output": Fault(
        "axes transposed", [*BODY, UP], [*BODY, UP, step("Transpose", perm=[0, 2, 3, 1])],
        "n h w c for n c h w", {"axes": [0, 2, 3, 1]}),
    "nhwc numbers": Fault(
        "layout", [*BODY, UP],
        [*BODY, UP, step("Transpose", perm=[0, 2, 3, 1]), step("Reshape", "out_shape")],
        "a Reshape in place of a Transpose"),
    "channels": Fault(
        "channels swapped", [*BODY, UP], [*BODY, UP, step("Gather", "swapped", axis=1)],
        "channels 1 and 2 are swapped"),
    "bgr": Fault("BGR for RGB", BODY, [step("Gather", "bgr", axis=1), *BODY], "BGR for RGB"),
    "h and w of the input": Fault(
        "input transposed", [*BODY, UP], [step("Transpose", perm=[0, 1, 3, 2]), *BODY, UP],
        "height and width of input x transposed"),
    "nhwc input": Fault(
        "input layout", [*BODY, UP],
        [step("Reshape", "in_nhwc"), step("Transpose", perm=[0, 3, 1, 2]), *BODY, UP],
        "as n h w c, not n c h w"),
    "nhwc input the other way": Fault(
        "input layout", [*BODY, UP],
        [step("Transpose", perm=[0, 2, 3, 1]), step("Reshape", "in_shape"), *BODY, UP],
        "into the order n h w c"),
    "interleave": Fault("interleave order", [*BODY, SHUFFLE[0]], [*BODY, SHUFFLE[1]],
                        "depth first (DCR)"),
    "not normalised": Fault("input normalisation", [*NORMALISE, *BODY], BODY,
                            "is missing in the candidate"),
    "normalised twice": Fault("input normalisation", [*NORMALISE, *BODY],
                              [*NORMALISE, *NORMALISE, *BODY], "once too often"),
    "relu6": Fault("ReLU6 for ReLU", [*BODY, *LARGE], [*BODY, *LARGE, CLIP],
                   "ReLU6 in place of ReLU"),
    "relu": Fault("ReLU for ReLU6", [*BODY, *LARGE, CLIP], [*BODY, *LARGE],
                  "ReLU in place of ReLU6"),
    "nan": Fault("NaN", [*BODY, step("Relu")], [*BODY, step("Sqrt"), step("Pow", "two")],
                 "NaN in"),
    "infinity": Fault("infinity", [*BODY, step("Sigmoid")],
                      [*BODY, step("Sigmoid"), step("Div", "holes")], "infinity in"),
}  # fmt: skip


def chain(steps: Sequence[Step], path: Path) -> Path:
    """x -> the steps -> y; node i is called ``<op>_<i>``."""
    nodes, value, read = [], "x", set()
    for index, (op, constants, attributes) in enumerate(steps):
        after = "y" if index == len(steps) - 1 else f"v{index}"
        name = f"{op}_{index}"
        nodes.append(helper.make_node(op, [value, *constants], [after], name, **attributes))
        value, read = after, read | set(constants)
    weights = []
    for name in sorted(read - {""}):
        array = np.asarray(CONSTANTS[name])
        array = array if array.dtype == np.int64 else array.astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, SIZE, SIZE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def verify(edgeup: Edgeup, right: Path, wrong: Path) -> Any:
    kinds = ("--kinds", "natural,noise,impulse")
    return edgeup("verify", right, wrong, *kinds, "--format", "json")


def kinds_of(report: Any) -> list[str]:
    return [one["kind"] for output in report["parity"] for one in output["diagnoses"]]


@pytest.mark.parametrize("name", FAULTS)
def test_each_cause_is_named_alone(edgeup: Edgeup, tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    right = chain(fault.right, tmp_path / "right.onnx")
    wrong = chain(fault.wrong, tmp_path / "wrong.onnx")
    ran = verify(edgeup, right, wrong)
    assert ran.status == 1
    assert kinds_of(ran.json) == [fault.kind]
    [found] = ran.json["parity"][0]["diagnoses"]
    assert {key: found[key] for key in fault.figures} == fault.figures
    assert fault.says in found["words"]
    makers = {"NaN": "Sqrt_2", "infinity": "Div_3"}  # of these, Sqrt_2 is the candidate's alone
    bisect = ran.json["bisect"]
    strange = None if bisect is None else bisect["first_nonfinite"]["candidate_node"]
    assert strange == makers.get(fault.kind)


# By the last fault that starts from it: each right chain once.
CLEAN = {name: FAULTS[name].right for name in {str(f.right): n for n, f in FAULTS.items()}.values()}


@pytest.mark.parametrize("right", CLEAN.values(), ids=CLEAN)
def test_no_cause_is_named_on_a_clean_one(
    edgeup: Edgeup, tmp_path: Path, right: Sequence[Step]
) -> None:
    """Clean of that fault and all others: one layer has other weights."""
    other = [OTHER if one is HEAD else one for one in right]
    assert other != right
    paths = chain(right, tmp_path / "right.onnx"), chain(other, tmp_path / "other.onnx")
    ran = verify(edgeup, *paths)
    assert ran.status == 1
    assert kinds_of(ran.json) == []
    assert ran.json["bisect"] is None


@pytest.mark.parametrize(
    ("shape", "axes"), [((1, 3, 32, 24), "n c w h"), ((1, 24, 32, 3), "n h w c")]
)
def test_an_input_declared_in_another_layout_is_named(
    edgeup: Edgeup, tmp_path: Path, shape: tuple[int, ...], axes: str
) -> None:
    """Nothing can be run: the sizes themselves tell."""
    paths = []
    for name, sizes in (("right", (1, 3, 24, 32)), ("wrong", shape)):
        model = onnx.load(chain([step("Relu")], tmp_path / f"{name}.onnx"))
        for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
            dim.dim_value = size
        onnx.save(model, tmp_path / f"{name}.onnx")
        paths.append(tmp_path / f"{name}.onnx")
    ran = edgeup("verify", *paths)
    assert ran.status == 2
    assert f"input transposed: the candidate takes x:{'x'.join(map(str, shape))}" in ran.err
    assert f"with its axes as {axes} for n c h w" in ran.err
    assert len(ran.err.splitlines()) == 1

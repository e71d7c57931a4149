"""What `edgeup verify --bisect` says of two nodes that differ as they are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.pipeline.verify.unlike import unlike


def node(op: str, inputs: dict[str, np.ndarray | None], opset: int = 18, **said: Any) -> ir.Node:
    """In a graph, since a default depends on the opset; None is no constant."""
    constants = [numpy_helper.from_array(a, n) for n, a in inputs.items() if a is not None]
    fed = [n for n, a in inputs.items() if a is None]
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), ["y"], **said)],
        "one",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in fed],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    return next(iter(ir.from_proto(helper.make_model(graph, opset_imports=opsets)).graph))


SCALES = np.array([1, 1, 2, 2], np.float32)
RESIZE = {"x": None, "": None, "s": SCALES}


def test_a_default_is_what_is_not_said() -> None:
    half_pixel = "half_pixel"
    said = node("Resize", RESIZE, mode="linear", coordinate_transformation_mode=half_pixel)
    assert unlike(node("Resize", RESIZE, mode="linear"), said) == ()
    other = node("Resize", RESIZE, mode="linear", coordinate_transformation_mode="align_corners")
    assert unlike(said, other) == (
        "coordinate_transformation_mode: half_pixel, in the candidate align_corners",
    )


def test_what_an_older_version_does_not_have_is_its_default() -> None:
    newer = node("Resize", RESIZE, opset=19, mode="linear")
    assert unlike(node("Resize", RESIZE, opset=13, mode="linear"), newer) == ()
    smooth = node("Resize", RESIZE, opset=19, mode="linear", antialias=1)
    found = unlike(node("Resize", RESIZE, opset=13, mode="linear"), smooth)
    assert found == ("antialias: 0, in the candidate 1",)


def test_a_weight_that_fp16_does_not_hold_is_the_same_there() -> None:
    weights = np.array([1e6, 1.0], np.float32)
    with np.errstate(all="raise"):
        assert unlike(
            node("Add", {"x": None, "w": weights}),
            node("Add", {"x": None, "w": np.array([np.inf, 1.0], np.float16)}),
        ) == ()  # fmt: skip


def test_lists_and_numbers() -> None:
    conv = {"x": None, "w": np.ones((1, 1, 3, 3), np.float32)}
    found = unlike(node("Conv", conv, pads=[1] * 4), node("Conv", conv, pads=[0, 0, 2, 2]))
    assert found == ("pads: [1, 1, 1, 1], in the candidate [0, 0, 2, 2]",)
    found = unlike(node("LeakyRelu", {"x": None}, alpha=0.25), node("LeakyRelu", {"x": None}))
    assert found == ("alpha: 0.25, in the candidate 0.01",)


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ([1.0, -4.0], [1.0, -3.0], "constant w has other values: up to 0.25 of its peak away"),
        ([1.0, 2.0], [[1.0, 2.0]], "constant w: 2, in the candidate 1x2"),
        ([np.nan, 1.0], [np.nan, 1.0], ""),
        ([0.0, 0.0], [0.0, 1.0], "constant w has other values"),
    ],
)
def test_constants(there: list[float], here: list[Any], words: str) -> None:
    sides = [node("Add", {"x": None, "w": np.array(w, np.float32)}) for w in (there, here)]
    assert unlike(*sides) == ((words,) if words else ())


def test_a_constant_that_is_rounded_to_the_candidates_precision_is_the_same() -> None:
    weights = np.random.default_rng(0).normal(size=9).astype(np.float32)
    reference = node("Add", {"x": None, "w": weights})
    half = node("Add", {"x": None, "w": weights.astype(np.float16)})
    assert unlike(reference, half) == ()
    moved = node("Add", {"x": None, "w": (weights * 1.01).astype(np.float16)})
    assert unlike(reference, moved)[0].startswith("constant w has other values")


def test_another_operator_is_all_there_is_to_say() -> None:
    assert unlike(node("Relu", {"x": None}), node("LeakyRelu", {"x": None})) == ()


def test_the_report_and_the_page_name_it(edgeup: Callable[..., Any], tmp_path: Path) -> None:
    def saved(name: str, mode: str) -> Path:
        """A resize in the middle of a network, where no picture of the error tells."""
        rng = np.random.default_rng(0)
        weights = [rng.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32) for _ in range(2)]
        text = f"""<ir_version: 9, opset_import: ["" : 18]>
            g (float[1,3,12,16] x) => (float[1,3,24,32] y) {{
                [first] a = Conv <pads = [1, 1, 1, 1]> (x, w0)
                [up] b = Resize <mode = "linear", coordinate_transformation_mode = "{mode}">
                    (a, , s)
                [last] y = Conv <pads = [1, 1, 1, 1]> (b, w1)
            }}"""
        model = onnx.parser.parse_model(text)
        held = {"w0": weights[0], "w1": weights[1], "s": SCALES}
        model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in held.items())
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    sides = saved("right.onnx", "half_pixel"), saved("wrong.onnx", "align_corners")
    ran = edgeup("verify", *sides, "--bisect", "--kinds", "noise", "-o", tmp_path / "v.json")
    assert ran.status == 1
    words = "coordinate_transformation_mode: half_pixel, in the candidate align_corners"
    assert f"the two nodes differ in {words}" in " ".join(ran.out.split())
    assert words in (tmp_path / "v.html").read_text()

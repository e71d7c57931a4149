"""`edgeup verify --bisect`, the first NaN, `--find-fp32-nodes`, `build --keep-fp32`: end to end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.files import write_all


def network(middle: Callable[[list[Any]], None] = lambda nodes: None) -> onnx.ModelProto:
    """Convolution, a bilinear resize, a convolution whose result is 1000 too large for a while."""
    rng = np.random.default_rng(2)
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="encode", pads=[1] * 4),
        helper.make_node("Resize", ["a", "", "s"], ["u"], name="upsample", mode="linear",
                         coordinate_transformation_mode="half_pixel"),
        helper.make_node("Conv", ["u", "w1"], ["c"], name="decode", pads=[1] * 4),
        helper.make_node("Add", ["c", "thousand"], ["d"], name="raise"),
        helper.make_node("Sub", ["d", "thousand"], ["e"], name="lower"),
        helper.make_node("Sigmoid", ["e"], ["y"], name="squash"),
    ]  # fmt: skip
    middle(nodes)
    weights = {
        "w0": rng.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32),
        "w1": rng.normal(0, 0.4, (2, 4, 3, 3)).astype(np.float32),
        "s": np.array([1, 1, 2, 2], np.float32),
        "thousand": np.array([1000], np.float32),
        "nothing": np.array([0], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 32, 32))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def saved(model: onnx.ModelProto, path: Path) -> Path:
    write_all({path: model.SerializeToString()})
    return path


def asymmetric(nodes: list[Any]) -> None:
    nodes[1].attribute[1 if nodes[1].attribute[1].name.startswith("coord") else 0].s = b"asymmetric"


def divides_by_zero(nodes: list[Any]) -> None:
    nodes[3].op_type, nodes[3].input[1] = "Div", "nothing"


def test_bisect_names_the_node_and_the_cause(edgeup: Callable[..., Any], tmp_path: Path) -> None:
    right = saved(network(), tmp_path / "right.onnx")
    wrong = saved(network(asymmetric), tmp_path / "wrong.onnx")
    ran = edgeup("verify", right, wrong, "--bisect", "--bisect-memory", "1M", "--format", "json")
    assert ran.status == 1
    found = ran.json["bisect"]["first_difference"]
    assert found["node"] == found["candidate_node"] == "upsample"
    assert found["op"] == "Resize"
    assert [one["kind"] for one in found["diagnoses"]] == ["half-pixel shift"]
    assert 0 < found["peak_bytes"] <= 1 << 20
    assert ran.json["bisect"]["first_nonfinite"] is None
    text = edgeup("verify", right, wrong, "--bisect")
    assert "Resize upsample" in text.out
    assert "0.5 pixel up and 0.5 pixel left" in " ".join(text.out.split())


def test_first_nan_is_told_unasked(edgeup: Callable[..., Any], tmp_path: Path) -> None:
    right = saved(network(), tmp_path / "right.onnx")
    wrong = saved(network(divides_by_zero), tmp_path / "wrong.onnx")
    ran = edgeup("verify", right, wrong, "--kinds", "noise", "--format", "json")
    assert ran.status == 1
    # The Div makes infinities, and the Sigmoid numbers of them again: no output shows it.
    assert ran.json["bisect"] is None

    def without_sigmoid(nodes: list[Any]) -> None:
        nodes[5].op_type = "Identity"

    def both(nodes: list[Any]) -> None:
        without_sigmoid(nodes)
        divides_by_zero(nodes)

    right = saved(network(without_sigmoid), right)
    wrong = saved(network(both), wrong)
    outputs = tmp_path / "outputs"
    ran = edgeup("verify", right, wrong, "--kinds", "noise", "--save-outputs", outputs,
                 "--format", "json")  # fmt: skip
    assert ran.json["bisect"]["first_nonfinite"]["node"] == "raise"
    assert ran.json["bisect"]["first_nonfinite"]["candidate_op"] == "Div"
    alone = edgeup("verify", outputs / "reference.npz", wrong, "--format", "json")
    assert alone.status == 1
    assert alone.json["bisect"]["first_nonfinite"]["node"] == "raise"


def test_nodes_to_keep_are_found_and_built_with(edgeup: Callable[..., Any], tmp_path: Path) -> None:
    import onnx_ir as ir

    from edgeup.export.packed import pack
    from edgeup.export.precision.convert import convert

    right = saved(network(), tmp_path / "right.onnx")
    half = tmp_path / "half.onnx"
    write_all(pack(convert(ir.from_proto(network()), "fp16").model, "half.data").files(half))
    keep = tmp_path / "keep.txt"
    ran = edgeup("verify", right, half, "--find-fp32-nodes", keep, "--format", "json")
    found = ran.json["fp32_nodes"]
    assert [entry["node"] for entry in found["nodes"]] == ["raise", "lower"]
    assert found["enough"]
    assert found["minimal"]
    names = [line.split("\t")[0] for line in keep.read_text().splitlines() if line[0] != "#"]
    assert names == ["raise", "lower"]
    build = ("build", right, "--target", "trt-8.5", "--precision", "fp16", "--dry-run")
    commands = edgeup(*build, "--keep-fp32", keep)
    assert commands.status == 0
    assert "raise:fp32" in commands.out
    assert "lower:fp32" in commands.out
    idle = edgeup("build", right, "--target", "trt-8.5", "--dry-run", "--keep-fp32", keep)
    assert idle.status == 2
    assert "--keep-fp32 says what stays fp32 in another --precision" in idle.err
    keep.write_text("raize\n")
    wrong = edgeup(*build, "--keep-fp32", keep)
    assert wrong.status == 2
    assert "unknown node 'raize': did you mean raise" in wrong.err


@pytest.mark.parametrize("option", [("--bisect",), ("--find-fp32-nodes", "keep.txt")])
def test_what_has_no_nodes_is_refused(
    option: tuple[str, ...], edgeup: Callable[..., Any], tmp_path: Path
) -> None:
    saved_outputs = tmp_path / "outputs.npz"
    np.savez(saved_outputs, y=np.zeros(1))
    ran = edgeup("verify", saved_outputs, saved(network(), tmp_path / "m.onnx"), *option)
    assert ran.status == 2
    assert f"{option[0]} looks into the nodes of ONNX files" in ran.err
    assert not (tmp_path / "keep.txt").exists()

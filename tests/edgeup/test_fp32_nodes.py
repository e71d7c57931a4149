"""The nodes that must stay float32: found, minimal, written, and read by the build."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeup.errors import EdgeupError
from edgeup.export.precision.convert import prepared
from edgeup.export.precision.formats import find_format
from edgeup.pipeline.precision.fp32_nodes import Fp32Nodes, check_lowered, fewest, find_fp32_nodes
from edgeup.pipeline.precision.keep_list import keep_list_text, read_keep_list
from edgeup.pipeline.precision.lower import PrecisionRequest, lower_precision
from edgeup.pipeline.precision.rounding import RoundingBench
from edgeup.runtime.inputs import test_inputs as make_inputs
from edgeup.runtime.tolerances import FP16_TOLERANCE
from edgeup.spec import TensorSpec, Tolerance
from edgeup.targets import find_target

SPEC = TensorSpec("x", (1, 4, 16, 16))


def network() -> ir.Model:
    """Convolutions, and in the middle a difference of two large, nearly equal values.

    1000 + f rounds to steps of 0.5 in fp16: the sum, and what takes the 1000 off again and reads
    it, must stay float32, and nothing else need.
    """
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.normal(0, 0.25, (4, 4, 3, 3)).astype(np.float32) for i in range(4)}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="conv_0", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="relu_0"),
        helper.make_node("Conv", ["b", "w1"], ["c"], name="conv_1", pads=[1] * 4),
        helper.make_node("Add", ["c", "thousand"], ["d"], name="raise"),
        helper.make_node("Sub", ["d", "thousand"], ["e"], name="lower"),
        helper.make_node("Conv", ["e", "w2"], ["f"], name="conv_2", pads=[1] * 4),
        helper.make_node("Relu", ["f"], ["g"], name="relu_2"),
        helper.make_node("Conv", ["g", "w3"], ["y"], name="conv_3", pads=[1] * 4),
    ]
    shape = (1, 4, 16, 16)
    graph = helper.make_graph(
        nodes,
        "cancels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            *(numpy_helper.from_array(w, name) for name, w in weights.items()),
            numpy_helper.from_array(np.array([1000], np.float32), "thousand"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return ir.from_proto(model)


CASES = list(make_inputs([SPEC], 0, ("natural", "noise")))


def test_the_nodes_that_lose_are_found_and_no_others() -> None:
    found = find_fp32_nodes(network(), "fp16", CASES, FP16_TOLERANCE)
    assert found.enough
    assert found.minimal
    assert list(found.reasons) == ["raise", "lower"]
    assert found.runs <= 30
    assert found.to_json()["nodes"][0]["node"] == "raise"


def test_nothing_is_kept_where_all_may_round() -> None:
    model = network()
    for node in list(model.graph):
        if node.name in ("raise", "lower"):
            node.replace_input_with(1, None)
            node.op_type = "Identity"
            node.resize_inputs(1)
    found = find_fp32_nodes(model, "fp16", CASES, FP16_TOLERANCE)
    assert found.enough
    assert found.reasons == {}


def test_a_list_that_does_not_do_says_so() -> None:
    found = Fp32Nodes("bf16", {"conv": "it loses"}, False, False, 128, FP16_TOLERANCE)
    assert "does NOT pass" in found.text()
    assert found.to_json()["enough"] is False


def test_list_feeds_the_lowering(tmp_path: Path) -> None:
    found = find_fp32_nodes(network(), "fp16", CASES, FP16_TOLERANCE)
    path = tmp_path / "keep.txt"
    path.write_text(found.text())
    assert found.text().startswith("# nodes that stay float32, all else in fp16")
    kept = read_keep_list(path)
    assert kept == {"raise", "lower"}
    request = PrecisionRequest("fp16", find_target("trt-10.3"), keep_fp32=kept)
    lowered = lower_precision(network(), request, CASES)
    assert lowered.passed
    assert ("raise", "it was asked for") in lowered.plan.kept
    unmeasured = lower_precision(network(), request, None)
    assert "raise" in dict(unmeasured.plan.kept)
    wrong = PrecisionRequest("fp16", find_target("trt-10.3"), keep_fp32=frozenset({"raize"}))
    with pytest.raises(EdgeupError, match="unknown node 'raize': did you mean raise"):
        lower_precision(network(), wrong, CASES)


def test_lists_are_text() -> None:
    text = keep_list_text({"/a/Conv": "it  loses\nmost", "b c": ""}, ["of a test"])
    assert text == "# of a test\n/a/Conv\tit loses most\nb c\n"
    for name in ("", "two\nlines", "a\ttab", "#comment"):
        with pytest.raises(EdgeupError, match="cannot stand in a list; rename the node"):
            keep_list_text({name: ""})


def test_wrong_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeupError, match="No such file"):
        read_keep_list(tmp_path / "none.txt")
    binary = tmp_path / "model.engine"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgeupError, match="is no text; wanted one node name a line"):
        read_keep_list(binary)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Zs")),
                              min_size=1).filter(lambda n: n[0] != "#"), unique=True))  # fmt: skip
def test_lists_round_trip(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lists") / "keep.txt"
    path.write_text(keep_list_text(dict.fromkeys(names, "why")), "utf-8")
    assert read_keep_list(path) == frozenset(names)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 60), data=st.data())
def test_fewest_finds_what_is_needed(size: int, data: st.DataObject) -> None:
    nodes = [str(index) for index in range(size)]
    needed = set(data.draw(st.lists(st.sampled_from(nodes), max_size=4)) if nodes else [])
    runs = 0

    def passes(part: Sequence[str]) -> bool:
        nonlocal runs
        runs += 1
        return needed <= set(part)

    kept, minimal = fewest(nodes, passes, lambda: True)
    assert set(kept) == needed
    assert minimal
    assert runs <= 1 + 2 * (len(needed) + 1) * max(size, 2).bit_length()


def test_budget_ends_the_search() -> None:
    kept, minimal = fewest(["a", "b", "c"], lambda part: "b" in part, lambda: False)
    assert kept == ["a", "b", "c"]
    assert not minimal


def test_candidate_must_be_in_16_bits() -> None:
    check_lowered("bf16")
    with pytest.raises(EdgeupError, match="the candidate is in fp32; wanted one in fp16 or bf16"):
        check_lowered("fp32")


def test_each_output_has_its_own_tolerance() -> None:
    """Of one output that may be far away and one that may not, the second decides."""
    model = network()
    early = next(node for node in model.graph if node.name == "conv_0").outputs[0]
    model.graph.outputs.insert(0, early)
    loose, tight = Tolerance(0.0, 0.0, "asked", 10.0), Tolerance(0.0, 0.0, "asked", 0.02)
    found = find_fp32_nodes(model, "fp16", CASES, {"a": loose, "y": tight})
    assert [name for name in found.reasons if name in ("raise", "lower")] == ["raise", "lower"]
    assert "a: atol 10 + rtol 0; y: atol 0.02 + rtol 0" in found.text()
    lax = find_fp32_nodes(model, "fp16", CASES, {"a": loose, "y": Tolerance(0.0, 0.0, "", 1e3)})
    assert not lax.reasons


def test_a_tolerance_that_is_said_to_be_reached_is() -> None:
    """Tighter than rounding the input alone moves the output: no RMS error stands in for it."""
    asked = Tolerance(0.0, 0.0, "asked", 2e-5, strict=True)
    found = find_fp32_nodes(network(), "fp16", CASES, asked)
    work = prepared(network())
    with RoundingBench(work, find_format("fp16"), CASES, asked, as_verify=True) as bench:
        outputs = bench.parity(bench.twin(frozenset(found.reasons)))
    assert found.enough == all(output.metrics["max_abs"] <= 2e-5 for output in outputs)
    assert ("does NOT pass" in found.text()) == (not found.enough)


def test_where_an_argmax_alone_fails_the_losses_are_those_of_numbers() -> None:
    """Nodes are kept for what they lose, and not in any order."""
    model = network()
    model.graph.outputs[0].name = "scores"
    argmax = ir.node("ArgMax", [model.graph.outputs[0]], {"axis": 1, "keepdims": 1}, name="argmax")
    argmax.outputs[0].name = "mask"
    argmax.outputs[0].dtype = ir.DataType.INT64
    model.graph.append(argmax)
    model.graph.outputs.append(argmax.outputs[0])
    wide = Tolerance(0.0, 0.0, "asked", 1e3, strict=True)
    found = find_fp32_nodes(model, "fp16", CASES, {"scores": wide, "mask": FP16_TOLERANCE})
    assert {"raise", "lower"} <= found.reasons.keys()
    assert "moves the output by 0 of" not in found.text()
    assert "mask" not in found.text()  # whole numbers have no tolerance

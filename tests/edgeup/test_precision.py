"""Choosing what stays float32: planted faults are found, named, and repaired."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from edgeup.errors import EdgeupError
from edgeup.export.precision.formats import BF16, FP16
from edgeup.export.precision.probe import Probe, chunks, probes
from edgeup.pipeline.precision.lower import (
    LoweredModel,
    PrecisionRequest,
    check_precision,
    lower_precision,
)
from edgeup.pipeline.precision.search import Loss, by_loss, fewest_exceptions
from edgeup.pipeline.precision.value_ranges import Range, scan
from edgeup.pipeline.verified import cases_for
from edgeup.runtime.inputs import Case
from edgeup.targets import find_target

SHAPE = "float[1,3,8,8]"


def model_of(body: str, constants: str, opset: int = 17) -> ir.Model:
    ir_version = 8 if opset < 20 else 10
    return ir.from_proto(
        parser.parse_model(f"""
            <ir_version: {ir_version}, opset_import: ["" : {opset}]>
            g ({SHAPE} x) => ({SHAPE} y) <{constants}> {{ {body} }}
        """)
    )


def lower(model: ir.Model, precision: str = "fp16", target: str = "rtx") -> LoweredModel:
    cases = list(cases_for(model, 0))
    return lower_precision(model, PrecisionRequest(precision, find_target(target)), cases)


def kept(lowered: LoweredModel) -> dict[str, str]:
    return dict(lowered.plan.kept)


def test_an_overflow_is_named_and_its_nodes_stay_float32() -> None:
    model = model_of(
        "[low] a = Add (x, one) [big] b = Mul (a, much) [small] c = Mul (b, little)"
        "[end] y = Relu (c)",
        "float[1] one = {1}, float[1] much = {60000}, float[1] little = {0.00002}",
    )
    lowered = lower(model)
    assert set(kept(lowered)) == {"big", "small"}
    assert kept(lowered)["big"].startswith("it makes 120000, beyond 65504")
    assert kept(lowered)["small"].startswith("it reads 120000, beyond 65504")
    (finding,) = lowered.section["findings"]
    assert (finding["kind"], finding["node"], finding["op"]) == ("overflow", "big", "Mul")
    assert lowered.passed
    assert lowered.section["largest"] == {"node": "big", "value": "b", "magnitude": 120000.0}


def test_bf16_holds_what_fp16_does_not() -> None:
    model = model_of(
        "[big] b = Mul (x, much) [small] y = Mul (b, little)",
        "float[1] much = {120000}, float[1] little = {0.00002}",
        opset=22,
    )
    lowered = lower(model, "bf16")
    assert lowered.plan.kept == ()
    assert lowered.section["findings"] == []
    assert lowered.passed


def test_a_cancellation_is_found_by_its_error() -> None:
    model = model_of(
        "[one] a = Relu (x) [up] b = Add (a, far) [down] c = Sub (b, far)"
        "[two] d = Sigmoid (c) [end] y = Mul (d, half)",
        "float[1] far = {4000}, float[1] half = {0.5}",
    )
    lowered = lower(model)
    assert lowered.passed
    assert "up" in kept(lowered)
    assert "two" not in kept(lowered)
    assert "end" not in kept(lowered)
    errors = {entry["node"]: entry["error"] for entry in lowered.section["kept"]}
    assert errors["up"] > 0.02
    assert "moves the output by" in kept(lowered)["up"]


def test_a_division_by_what_became_zero_is_named() -> None:
    model = model_of(
        "[tiny] a = Mul (x, little) [plus] b = Add (a, little) [over] c = Div (b, b)"
        "[end] y = Add (c, x)",
        "float[1] little = {0.00000001}, float[1] one = {1}",
    )
    # The constant alone is reason enough for the two that read it; the division reads zeros.
    lowered = lower(model)
    assert kept(lowered)["tiny"].endswith("and would become 0")
    assert "alone makes the output infinite or NaN" in kept(lowered)["over"]
    kinds = {finding["kind"]: finding["node"] for finding in lowered.section["findings"]}
    assert kinds["nan in 16 bits"] == "over"
    assert kinds["flush"] in ("tiny", "plus")
    assert lowered.passed


def test_nan_in_float32_is_named_and_not_blamed_on_the_format() -> None:
    model = model_of("[root] a = Sqrt (x) [log] b = Log (a) [end] y = Add (b, x)", "")
    lowered = lower(model)  # log of 0 where an input is 0
    assert {f["node"] for f in lowered.section["findings"] if f["kind"] == "nan"} == {"log", "end"}


def test_weights_that_vanish_are_counted() -> None:
    model = model_of(
        "[conv] y = Conv (x, w)",
        "float[3,3,1,1] w = {1, 0.000000001, 0, 0, 1, 0.00001, 0, 0, 1}",
    )
    lowered = lower(model)
    weights = lowered.section["weights"]
    assert (weights["vanishing"], weights["subnormal"], weights["nonzero"]) == (1, 1, 5)
    (finding,) = [f for f in lowered.section["findings"] if f["value"] == "w"]
    assert (finding["kind"], finding["node"], finding["figure"]) == ("flush", "conv", 0.2)


def test_too_much_loss_everywhere_does_not_pass() -> None:
    """Each of ten nodes loses all on its own, and none may be kept: the budget is spent."""
    nodes = [f"n{i}" for i in range(10)]
    spent = iter([True] * 3 + [False] * 20)
    taken, enough = fewest_exceptions(by_loss(nodes, len), lambda out: False, lambda: next(spent))
    assert not enough
    assert len(taken) == 4


def test_weak_typing_gets_the_float32_graph_and_the_list() -> None:
    model = model_of(
        "[big] b = Mul (x, much) [small] y = Mul (b, little)",
        "float[1] much = {120000}, float[1] little = {0.00002}",
        opset=13,
    )
    lowered = lower(model, target="jetpack-5.1.2")
    assert {node.name for node in lowered.model.graph} == {"big", "small"}
    assert all(v.dtype == ir.DataType.FLOAT for n in lowered.model.graph for v in n.outputs)
    weak = lowered.plan.weak_typing
    assert weak is not None
    assert (weak.precision, weak.layers_fp32) == ("fp16", ("big", "small"))
    assert lowered.section["form"] == "float32 graph and layer list"
    assert lower(model, target="jetpack-6.2").plan.weak_typing is None


def test_nothing_is_measured_without_cases() -> None:
    model = model_of("[one] y = Relu (x)", "")
    lowered = lower_precision(model, PrecisionRequest("fp16", find_target("rtx")), None)
    assert [node.op_type for node in lowered.model.graph] == ["Cast", "Relu", "Cast"]
    assert lowered.parity == ()
    assert "rounding" not in lowered.section
    assert lowered.section["measured_on"] == []
    assert any("was not measured" in notice for notice in lowered.notices)


def test_given_inputs_decide() -> None:
    model = model_of("[sq] a = Mul (x, x) [end] y = Sigmoid (a)", "")
    request = PrecisionRequest("fp16", find_target("rtx"))
    large = Case("given", {"x": np.linspace(0, 1000, 192, dtype=np.float32).reshape(1, 3, 8, 8)})
    assert kept(lower_precision(model, request, list(cases_for(model, 0)))) == {}
    assert set(kept(lower_precision(model, request, [large]))) == {"sq", "end"}


@pytest.mark.parametrize(
    ("precision", "target", "words"),
    [
        ("bf16", "jetpack-4.6.1", "jetpack-4.6.1 has no bf16; it has fp32"),
        ("bf16", "cpu", "cpu has no bf16"),
        ("int4", "rtx", "rtx has no int4"),
    ],
)
def test_what_a_target_lacks_is_refused(precision: str, target: str, words: str) -> None:
    with pytest.raises(EdgeupError, match=words):
        check_precision(precision, find_target(target))


def test_bf16_needs_an_opset_that_has_it() -> None:
    target = find_target("jetpack-6.2")
    if "bf16" not in target.precisions:
        pytest.skip("the target has no bf16 in the first place")
    with pytest.raises(EdgeupError, match="came with ONNX opset 22"):
        check_precision("bf16", target)


def test_bf16_moves_the_model_to_an_opset_that_has_it() -> None:
    model = model_of("[conv] y = Conv (x, w)", "float[3,1,1,1] w = {1, 2, 3}", opset=20)
    model.graph[0].attributes["group"] = ir.AttrInt64("group", 3)
    lowered = lower(model, "bf16")
    assert lowered.model.opset_imports[""] == 22
    assert lowered.plan.kept == ()
    assert lowered.passed


def test_sections_are_json() -> None:
    model = model_of("[one] y = Relu (x)", "")
    section = lower(model).section
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert section["measured_on"][0] == "natural"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=40, unique=True))
def test_nodes_come_out_in_order_of_their_loss(losses: list[float]) -> None:
    names = [f"n{i}" for i in range(len(losses))]
    own = dict(zip(names, losses, strict=True))
    runs = 0

    def error_of(group: Sequence[str]) -> float:
        nonlocal runs
        runs += 1
        return math.sqrt(sum(own[name] ** 2 for name in group))

    order = by_loss(names, error_of)
    first = next(order)
    assert first.node == max(names, key=own.__getitem__)
    found = [first, *order]
    assert sorted(loss.node for loss in found) == sorted(names)
    assert [loss.error for loss in found] == sorted(losses, reverse=True)
    assert runs == 2 * len(names) - 1


def test_the_one_bad_node_is_found_in_few_runs() -> None:
    names = [f"n{i}" for i in range(128)]
    runs = 0

    def error_of(group: Sequence[str]) -> float:
        nonlocal runs
        runs += 1
        return math.sqrt(sum(1.0 if name == "n77" else 1e-6 for name in group))

    taken, enough = fewest_exceptions(
        by_loss(names, error_of), lambda out: "n77" in out, lambda: True
    )
    assert [loss.node for loss in taken] == ["n77"]
    assert isinstance(taken[0], Loss)
    assert enough
    assert runs == 1 + 2 * 7


def test_chunks_bound_memory_and_leave_nothing_out() -> None:
    found = [Probe(f"v{i}", f"n{i}", "Relu", (), size) for i, size in enumerate((3, 3, 9, 2, 2))]
    parts = list(chunks(found, 6))
    assert [[p.value for p in part] for part in parts] == [["v0", "v1"], ["v2"], ["v3", "v4"]]


def test_a_scan_in_small_chunks_sees_the_same() -> None:
    model = model_of("a = Neg (x) b = Mul (a, w) y = Exp (b)", "float[1] w = {3}")
    cases = list(cases_for(model, 0))
    from edgeup.export.precision.convert import prepared

    work = prepared(model)
    found = probes(work)
    whole = scan(work, found, cases, FP16)
    assert [probe.op for probe in found] == ["Neg", "Mul", "Exp"]
    assert whole == scan(work, found, cases, FP16, limit=1)
    assert whole["b"].largest == pytest.approx(3, abs=0.01)


def test_ranges_count_by_the_format() -> None:
    values = np.array([0, 1, -(2.0**-25), 2.0**-24, 2.0**-14, np.inf, np.nan, -7e4], np.float32)
    seen = Range()
    seen.add(values, FP16)
    assert (seen.largest, seen.elements, seen.nonfinite) == (7e4, 8, 2)
    assert (seen.nonzero, seen.vanishing, seen.subnormal) == (5, 1, 1)
    seen.add(np.array([2.0**-25], np.float32), BF16)
    assert (seen.nonzero, seen.vanishing, seen.subnormal) == (6, 1, 1)

"""What reports say of the quantities of --fail-on."""

from __future__ import annotations

import numpy as np
import pytest

from edgeup.pipeline.gate_facts import (
    build_facts,
    engine_precision,
    parity_facts,
    report_facts,
    task_facts,
    task_quantities,
)
from edgeup.pipeline.gates import Figure, failures, gated, parse_conditions
from edgeup.pipeline.quantities import find_quantity
from edgeup.runtime.metrics import ALL_METRICS
from edgeup.runtime.parity import Comparison
from edgeup.runtime.task_metrics import TASKS, find_task
from edgeup.spec import Tolerance

REPORT = {
    "passed": True,
    "onnx": {"bytes": 3_000_000, "data": {"bytes": 1_000_000}},
    "parity": [{"name": "depth", "passed": True}],
    "latency": {
        **{f"{name}_ms": 10.0 for name in ("median", "mean", "min", "std", "p90", "p95", "p99")},
        **{"cv": 0.1, "drift": -0.2},
    },
}


def judged(report, conditions):
    return gated(report, conditions, report_facts(report))


def test_reports_of_export_and_optimize_are_judged():
    conditions = parse_conditions(["parity,latency>12ms,p99>20ms,size>5MB"])
    assert judged(REPORT, conditions) == {
        "gates": {
            "conditions": ["parity", "latency>12ms", "p99>20ms", "size>5MB"],
            "failures": [],
        },
        "passed": True,
    }
    worse = REPORT | {"parity": [{"name": "depth", "passed": False}], "passed": False}
    found = judged(worse, parse_conditions(["parity,size>3.5MB,drift>10%"]))
    assert found["gates"]["failures"] == [
        "parity: depth beyond the tolerance",
        "size>3.5MB: bytes of the model's file is 4 MB",
        "drift>10%: how far the latency drifted, up or down is 20%",
    ]
    assert found["passed"] is False


def test_what_a_report_did_not_measure_fails():
    report = REPORT | {"latency": {"not_measured": "bfloat16"}, "parity": []}
    found = judged(report, parse_conditions(["parity,latency>1ms"]))
    assert found["gates"]["failures"] == [
        "parity: parity was not measured",
        "latency>1ms: latency was not measured",
    ]


def test_a_node_that_stays_fp32_is_not_what_was_asked():
    conditions = parse_conditions(["precision"])
    section = {"asked": "fp16", "kept": []}
    assert judged(REPORT | {"precision": section}, conditions)["passed"] is True
    section["kept"] = [{"node": f"exp_{number}"} for number in range(5)]
    found = judged(REPORT | {"precision": section}, conditions)
    assert found["gates"]["failures"] == [
        "precision: exp_0, exp_1, exp_2 and 2 more kept in fp32 where fp16 was asked"
    ]
    assert judged(REPORT, conditions)["passed"] is True  # nothing was asked


def test_rounding_that_loses_too_much_is_no_parity():
    section = {"asked": "fp16", "kept": [], "rounding": {"passed": False}}
    found = judged(REPORT | {"precision": section}, parse_conditions(["parity"]))
    assert found["gates"]["failures"] == [
        "parity: rounded to fp16, the outputs are beyond the tolerance"
    ]


RAMP = np.linspace(-2.0, 2.0, 64, dtype=np.float32).reshape(1, 1, 8, 8)


def compared(*cases):
    """Facts of (kind, reference, candidate): each a dict of outputs."""
    comparison = Comparison(Tolerance(rtol=0.0, atol_of_peak=1e-4, reason="test"), ALL_METRICS)
    for case in cases:
        comparison.add(case)
    return parity_facts([output.to_json() for output in comparison.reports()])


def test_each_error_is_the_worst_of_any_output_and_input():
    facts = compared(
        ("ramp", {"depth": RAMP, "mask": RAMP}, {"depth": RAMP + 0.5, "mask": RAMP}),
        ("noise", {"depth": RAMP, "mask": RAMP}, {"depth": RAMP, "mask": RAMP * -1}),
    )
    assert facts["parity"] == "depth, mask beyond the tolerance"
    assert facts["max_abs"] == Figure(4.0, "mask on noise")
    assert facts["max_rel"] == Figure(pytest.approx(0.5 / np.abs(RAMP).min()), "depth on ramp")
    assert facts["cosine"] == Figure(pytest.approx(-1.0), "mask on noise")
    rms = float(np.sqrt(np.mean(np.square(2 * RAMP.astype(np.float64)))))
    assert facts["rmse"] == Figure(pytest.approx(rms), "mask on noise")
    assert facts["psnr"] == Figure(pytest.approx(20 * np.log10(4 / rms)), "mask on noise")
    assert facts["mean_abs"].where == "mask on noise"


def test_equal_outputs_have_an_infinite_psnr_which_is_not_too_low():
    facts = compared(("ramp", {"depth": RAMP}, {"depth": RAMP}))
    assert facts["psnr"] == ""
    assert facts["max_abs"] == Figure(0.0, "depth on ramp")
    assert facts["cosine"].value == pytest.approx(1.0)


def test_an_error_beside_a_constant_reference_has_no_psnr():
    flat = np.ones_like(RAMP)
    facts = compared(("ones", {"depth": flat}, {"depth": flat + 1e-5}))
    assert facts["psnr"] == "psnr of depth is not defined"
    assert facts["max_abs"].value == pytest.approx(1e-5, rel=0.1)


def test_nan_and_other_shapes_are_never_within_a_limit():
    broken = RAMP.copy()
    broken[0, 0, 0, 0] = np.nan
    facts = compared(("ramp", {"depth": RAMP}, {"depth": broken}))
    said = "depth holds NaN or infinity where the other side does not"
    assert facts["max_abs"] == facts["cosine"] == facts["psnr"] == said
    facts = compared(("ramp", {"depth": RAMP}, {"depth": RAMP[:, :, :4]}))
    assert facts["rmse"].startswith("depth could not be compared: got shape 1x1x4x8")


READ_BACK = {"verified": True, "why": "", "downgrades": [], "fp32_layers": []}


@pytest.mark.parametrize(
    ("read_back", "kept", "said"),
    [
        ({}, (), ""),
        ({"verified": False, "why": "no inspector"}, (), "layers were not compared: no inspector"),
        (
            {"downgrades": [{"layer": "big", "asked": "fp16", "got": "fp32"}]},
            (),
            "big is in fp32 where fp16 was asked",
        ),
        (
            {"downgrades": [{"layer": "", "asked": "fp16", "got": "fp32"}]},
            (),
            "the engine is in fp32 where fp16 was asked",
        ),
        ({"downgrades": [{"layer": "big", "asked": "DLA", "got": "GPU"}]}, (), ""),
        (
            {"fp32_layers": ["a", "b", "c", "d"]},
            (),
            "a, b, c and 1 more in fp32 where fp16 was asked",
        ),
        ({}, ("exp",), "exp kept in fp32 where fp16 was asked"),
    ],
)
def test_an_engine_in_less_than_what_was_asked(read_back, kept, said):
    found = engine_precision(READ_BACK | read_back, "fp16", kept)
    assert (said in found) if said else found == ""


def test_a_build_without_an_engine_tells_neither_size_nor_precision():
    section = {"asked": "fp16", "is": "fp16", "kept": [], "parity": REPORT["parity"]}
    report = {"precision": section, "read_back": READ_BACK, "engine": {"bytes": 3_000_000}}
    assert build_facts(report) == {"parity": "", "size": 3e6, "precision": ""}
    assert build_facts(report | {"engine": None}) == {"parity": ""}
    own = {"asked": None, "is": "fp32"}
    assert build_facts(report | {"precision": own}) == {"size": 3e6, "precision": ""}


def with_task(**values):
    return {"name": "depth", "task": {**values, "cases": []}}


def test_metrics_of_a_task_are_judged_by_the_worst_output():
    task = find_task("depth")
    assert task_quantities(task) == ("abs_rel", "delta_1.25", "edge_error")  # rmse: of any outputs
    near = with_task(**{"abs_rel": 0.01, "delta_1.25": 0.999, "edge_error": None})
    far = {**with_task(**{"abs_rel": 0.2, "delta_1.25": 0.8, "edge_error": 1.0}), "name": "aux"}
    other = {"name": "mask", "task": None}
    facts = task_facts([near, far, other], task)
    conditions = parse_conditions(["abs_rel>10%,delta_1.25<0.99,edge_error>2"])
    assert failures(conditions, facts) == (
        "abs_rel>10%: the mean |error| by the reference's depth is 0.2 (aux)",
        "delta_1.25<0.99: the share of pixels within 1.25 times is 0.8 (aux)",
        "edge_error>2: edge_error of depth is not defined",
    )
    assert failures(conditions[:2], task_facts([near], task)) == ()


@pytest.mark.parametrize("name", TASKS)
def test_each_metric_of_a_task_has_its_bad_side(name):
    task = find_task(name)
    for metric in task_quantities(task):
        quantity = find_quantity(metric)
        assert (quantity.worse == "<") == (metric in task.best_is_largest)

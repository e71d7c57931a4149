"""ONNX's own upsampling and pooling tests, after the passes.

TensorRT for RTX takes every one, and `check` finds nothing for any version. The versions cannot
be run here, so acceptance there is by the rules; values are ONNX Runtime's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx.backend.test.case import node as onnx_tests

from edgeup.export.capability.check import check_model, is_accepted
from edgeup.export.capability.contract import Finding, Verdict
from edgeup.export.optimize import optimize
from edgeup.export.passes.contract import Aim, Chosen, Plan
from edgeup.export.passes.driver import SiteModels
from edgeup.pipeline.optimize import to_opset_of
from edgeup.pipeline.verified import aim_at
from edgeup.targets import find_target

Array = npt.NDArray[Any]
Builds = Callable[[Any], str]

NAMES = (
    "resize",
    "upsample",
    "convtranspose",
    "unpool",
    "depthtospace",
    "spacetodepth",
    "maxpool",
    "gridsample",
)
# Each file makes its cases when it is imported; all files together take 18 seconds.
for _file in (*NAMES[:3], "maxunpool", *NAMES[4:7], "globalmaxpool", "gridsample"):
    importlib.import_module(f"onnx.backend.test.case.node.{_file}")
CASES = {
    case.name.removeprefix("test_"): case
    for case in onnx_tests._NodeTestCases
    if any(name in case.name for name in NAMES)
}

STORED_DIFFERS = {
    # ONNX Runtime and PyTorch agree with each other, and the stored output is another.
    "resize_downsample_scales_linear_align_corners",
    "resize_downsample_scales_cubic_align_corners",
    "maxunpool_export_with_output_shape",
}

ROUNDING = 1e-6
"""Of the largest value: sums of at most 25 float32 products, in another order."""


def frozen(case: Any) -> tuple[onnx.ModelProto, Array]:
    """The test's model with every input after the first as a constant, and the first input."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    _, *others = model.graph.input
    values = case.data_sets[0][0]
    for given, value in zip(others, values[1:], strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), given.name))
    del model.graph.input[1:]
    return model, values[0]


def run(model: onnx.ModelProto, value: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: value})
    return outputs


def only_what_is_needed(plan: Plan, models: SiteModels) -> Chosen:
    if plan.required or plan.simpler:
        return Chosen(plan.candidates[0], "needed")
    return Chosen(None, "not needed")


@cache
def rewritten(name: str) -> onnx.ModelProto:
    model, _ = frozen(CASES[name])
    opset = model.opset_import[0].version
    aim = Aim("rtx", "tensorrt-rtx", None, opset)
    proto: onnx.ModelProto = ir.to_proto(
        optimize(ir.from_proto(model), aim, only_what_is_needed).model
    )
    return proto


def assert_same(name: str, got: list[Array], want: list[Array]) -> None:
    for ours, theirs in zip(got, want, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
        assert theirs.any(), "zeros prove nothing"
        error = np.abs(ours.astype(np.float64) - theirs).max()
        assert error <= ROUNDING * np.abs(theirs.astype(np.float64)).max(), name


def test_there_are_at_least_the_cases_of_onnx_1_18() -> None:
    assert len(CASES) >= 96
    assert len(MOVABLE) >= 88
    assert set(CASES) >= STORED_DIFFERS


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_stay(name: str) -> None:
    model, value = frozen(CASES[name])
    want = run(model, value)
    assert_same(name, run(rewritten(name), value), want)
    stored = CASES[name].data_sets[0][1]
    agrees = all(
        ours.shape == np.shape(theirs) and np.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        for ours, theirs in zip(want, stored, strict=True)
    )
    assert agrees == (name not in STORED_DIFFERS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_tensorrt_takes_it_after_the_passes(name: str, builds_for_rtx: Builds) -> None:
    assert builds_for_rtx(rewritten(name)) == ""


def test_tensorrt_refuses_some_as_they_are(builds_for_rtx: Builds) -> None:
    model, _ = frozen(CASES["resize_downsample_scales_linear_antialias"])
    assert "Antialiasing" in builds_for_rtx(model)


NEWEST_OPSET = 25
"""The newest that edgeup moves between; newer tests are brought down where they only say so."""

MOVABLE = {
    name: case
    for name, case in CASES.items()
    # The mode of SpaceToDepth is a word of opset 28, and so are the functions around these.
    if not any(word in name for word in ("spacetodepth_crd", "spacetodepth_dcr", "expanded"))
}

TARGETS = ("trt-8.0", "trt-8.2", "trt-8.5", "trt-8.6", "trt-10.3", "trt-11.1")

FED_UINT8 = {"maxpool_2d_uint8"}
"""Before 8.5, TensorRT does not know the type of the input itself, which no pass changes."""


def lowered(case: Any) -> tuple[onnx.ModelProto, Array]:
    """`frozen`, at an opset that edgeup moves between."""
    model, value = frozen(case)
    if model.opset_import[0].version > NEWEST_OPSET:
        model.opset_import[0].version, model.ir_version = NEWEST_OPSET, 11
    return model, value


def optimized(name: str, target_name: str) -> tuple[ir.Model, list[Finding]]:
    target = find_target(target_name)
    model, _ = lowered(MOVABLE[name])
    start, _ = to_opset_of(target, ir.from_proto(model), lambda notice: None)
    aim = aim_at(target, start.opset_imports[""])
    done = optimize(start, aim, only_what_is_needed).model
    return done, check_model(done, aim)


@pytest.mark.parametrize("target", TARGETS)
def test_check_of_the_result_is_clean_and_the_values_stay(target: str) -> None:
    unclean: dict[str, list[str]] = {}
    for name, case in sorted(MOVABLE.items()):
        model, value = lowered(case)
        done, findings = optimized(name, target)
        if not is_accepted(findings):
            unclean[name] = [finding.rule for finding in findings]
        assert_same(name, run(ir.to_proto(done), value), run(model, value))
    before_uint8 = (find_target(target).version or (99, 0)) < (8, 5)
    assert set(unclean) == (FED_UINT8 if before_uint8 else set())
    assert all(rules == ["unknown-type"] * len(rules) for rules in unclean.values())


@pytest.mark.parametrize(("target", "least"), [("trt-8.0", 50), ("trt-8.6", 30), ("trt-11.1", 25)])
def test_before_many_are_refused_or_silently_different(target: str, least: int) -> None:
    verdicts: list[Verdict] = []
    for case in MOVABLE.values():
        model = ir.from_proto(lowered(case)[0])
        aim = aim_at(find_target(target), model.opset_imports[""])
        findings = check_model(model, aim)
        verdicts += [f.verdict for f in findings if f.verdict is not Verdict.WARNING][:1]
    assert len(verdicts) >= least
    assert {Verdict.REFUSED, Verdict.DIFFERENT} <= set(verdicts)


WRITTEN = {
    "computed scales": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2,8,8] x) => (float[1,2,a,b] y)
        <float[2] two = {2.0, 2.0}, float[2] one = {1.0, 1.0}> {
          t = Mul(two, one) u = Concat<axis=0>(one, t) y = Resize<mode="linear">(x, , u) }""",
    "scales from a shape": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2,8,8] x) => (float[1,2,a,b] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}> {
          t = Shape(x) f = Cast<to=1>(t) m = Mul(f, s) h = Div(m, f)
          y = Resize<mode="linear">(x, , h) }""",
    "a bias that is fed": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2,4,4] x) => (float[1,1,a,b] y)
        <int64[1] k = {1}, float[2,1,2,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}> {
          p = GlobalAveragePool(x) c = ReduceMean<keepdims=0>(p) d = Reshape(c, k)
          y = ConvTranspose<strides=[2,2]>(x, w, d) }""",
    "cubic": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2,8,8] x) => (float[1,2,a,b] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}> {
          y = Resize<mode="cubic">(x, , s) }""",
    "ScatterND": """<ir_version: 9, opset_import: ["" : 18]>
        g (float[4] x) => (float[4] y) <int64[2,1] i = {1, 3}, float[2] u = {7.0, 8.0}> {
          y = ScatterND<reduction="none">(x, i, u) }""",
}
"""What ONNX's tests don't have: inputs that must be initializers, reduction="none"."""

LACKED = [
    ("computed scales", "trt-8.2"),
    ("scales from a shape", "trt-8.0"),
    ("a bias that is fed", "trt-8.2"),
    ("a bias that is fed", "trt-8.4"),
    ("cubic", "trt-8.2"),
    ("ScatterND", "trt-10.3"),
]


@pytest.mark.parametrize(("name", "target"), LACKED)
def test_what_a_version_lacks_is_written_otherwise(name: str, target: str) -> None:
    model = onnx.parser.parse_model(WRITTEN[name])
    aim = aim_at(find_target(target), model.opset_import[0].version)
    assert not is_accepted(check_model(ir.from_proto(model), aim))
    done = optimize(ir.from_proto(model), aim, only_what_is_needed).model
    assert check_model(done, aim) == []
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (want,), (got,) = run(model, value), run(ir.to_proto(done), value)
    assert np.ptp(want) > 0
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)

"""ONNX's own operator tests: TensorRT takes every one after the passes, and the values stay."""

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

from edgeup.export.optimize import optimize
from edgeup.export.passes.contract import Aim, Chosen, Plan
from edgeup.export.passes.driver import SiteModels

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
    first, *others = model.graph.input
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(first)
    values = case.data_sets[0][0]
    for given, value in zip(others, values[1:], strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), given.name))
    del model.graph.input[:]
    model.graph.input.append(kept)
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


def assert_same(got: list[Array], want: list[Array]) -> None:
    for ours, theirs in zip(got, want, strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        assert theirs.any(), "zeros prove nothing"
        error = np.abs(ours.astype(np.float64) - theirs).max()
        assert error <= ROUNDING * np.abs(theirs.astype(np.float64)).max()


def test_there_are_at_least_the_cases_of_onnx_1_18() -> None:
    assert len(CASES) >= 96
    assert set(CASES) >= STORED_DIFFERS


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_stay(name: str) -> None:
    model, value = frozen(CASES[name])
    want = run(model, value)
    assert_same(run(rewritten(name), value), want)
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

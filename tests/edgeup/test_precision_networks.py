"""Networks in fp16 and bf16: NVIDIA's parser and builder take them under strong typing."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir
import pytest

from edgeup.pipeline.precision.lower import PrecisionRequest, lower_precision
from edgeup.pipeline.verified import aim_at, cases_for
from edgeup.spec import TensorSpec
from edgeup.targets import find_target

NETWORKS = {
    "fastdepth nnconv5": ("fastdepth", (1, 3, 32, 64), {}),
    "unet": ("unet", (1, 1, 188, 188), {"width": "0.0625"}),
    "segnet, max unpooling": ("segnet", (1, 3, 64, 64), {"width": "0.125"}),
}


@cache
def optimized(network: str) -> ir.Model:
    """The network, exported and rewritten for TensorRT for RTX."""
    pytest.importorskip("torch")
    from edgeup.export.optimize import optimize
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.estimate import efficiency_for
    from edgeup.export.to_onnx import to_onnx
    from edgeup.pipeline.fastdepth import FastDepthChoice, fastdepth_subject
    from edgeup.pipeline.networks import NetworkChoice, network_subject

    name, shape, options = NETWORKS[network]
    image = TensorSpec("image", shape)
    if name == "fastdepth":
        subject = fastdepth_subject(FastDepthChoice(decoder="nnconv5"), image)
    else:
        subject = network_subject(NetworkChoice(name, options=options), image)
    exported = to_onnx(subject.module, subject.inputs, opset=20, output_names=subject.output_names)
    aim = aim_at(find_target("rtx"), 20)
    return optimize(exported.model, aim, static_choice(efficiency_for(aim))).model


@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_network_in_16_bits_is_accepted_and_close(network: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed")
    from edgeup.export.to_onnx import finish
    from edgeup.runtime.nvidia_parser import NvidiaParser

    model = optimized(network)
    cases = list(cases_for(model, 0))[:3]
    before, _ = finish(model)
    with NvidiaParser("tensorrt_rtx") as nvidia:
        # FastDepth is large, and has nothing for bf16 that the others do not have.
        for precision in ("fp16", "bf16")[: 1 if network.startswith("fastdepth") else 2]:
            request = PrecisionRequest(precision, find_target("rtx"))
            lowered = lower_precision(model, request, cases)
            content, facts = finish(lowered.model)
            assert lowered.passed, lowered.parity[0].notes
            assert [spec.dtype for spec in (*facts.inputs, *facts.outputs)] == ["float32"] * 2
            verdict = nvidia.ask(content, build=True)
            assert verdict.accepted, verdict.errors
            error = lowered.section["rounding"]["rms_of_peak"]
            assert error > 1e-5, "nothing was rounded"
            refused = dict(lowered.plan.kept)
            if precision == "fp16":
                assert refused == {}
                assert lowered.section["casts"] == 2
                assert len(content) < 0.6 * len(before)
            else:  # the one operator that the builder refuses in bf16
                assert all(reason.startswith("ConvTranspose") for reason in refused.values())


def test_the_twin_rounds_at_least_as_much_as_the_graph_in_onnxruntime() -> None:
    from edgeup.export.precision.convert import convert, prepared
    from edgeup.export.precision.formats import FP16
    from edgeup.pipeline.precision.rounding import RoundingBench
    from edgeup.runtime.ort_session import run_once
    from edgeup.runtime.tolerances import FP16_TOLERANCE

    model = prepared(optimized("unet"))
    cases = list(cases_for(model, 0))[:2]
    with RoundingBench(model, FP16, cases, FP16_TOLERANCE) as bench:
        twin = bench.error(frozenset(), cases).rms_of_peak
    from edgeup.export.serialize import to_bytes

    converted = to_bytes(convert(model, "fp16").model)
    errors = []
    for case in cases:
        (want,) = run_once(to_bytes(model), case.feeds).values()
        (got,) = run_once(converted, case.feeds).values()
        errors.append(float(np.sqrt(np.mean((got - want) ** 2)) / np.abs(want).max()))
    assert 0 < max(errors) < 1.2 * twin

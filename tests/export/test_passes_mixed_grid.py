"""GridSample with a map and a grid of different types."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgeup.export.passes.mixed_grid import MixedGrid

RTX = {"backend": "tensorrt-rtx", "exact": False}


def sample(model_text, x, grid, mode="linear"):
    return model_text(
        f'y = GridSample<mode="{mode}">(x, grid)',
        inputs=f"{x}[1,2,5,6] x, {grid}[1,4,3,2] grid",
        output=f"{x}[1,2,4,3] y",
        opset=20,
    )


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_a_wider_grid_is_kept_as_it_is(model_text, rewrite, mode):
    done = rewrite(sample(model_text, "float16", "float", mode), MixedGrid(), **RTX)
    assert done.nodes == {"Cast": 2, "GridSample": 1}
    half_ulp = 2.0**-11 * 8  # values are in -2..2; cubic weights add up to less than 2 of them
    assert done.error <= 2 * half_ulp


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_a_narrower_grid_is_widened_exactly(model_text, rewrite, mode):
    done = rewrite(sample(model_text, "float", "float16", mode), MixedGrid(), **RTX)
    assert done.nodes == {"Cast": 1, "GridSample": 1}
    assert done.error == 0


@pytest.mark.parametrize("types", [("float", "float"), ("double", "float"), ("float16", "float16")])
def test_what_tensorrt_takes_is_left_alone(model_text, rewrite, types):
    done = rewrite(sample(model_text, *types), MixedGrid(), only_look=True, **RTX)
    assert not done.optimized.sites


def test_onnx_runtime_takes_both(model_text, rewrite):
    done = rewrite(sample(model_text, "float16", "float"), MixedGrid(), only_look=True)
    assert not done.optimized.sites


@pytest.mark.parametrize("types", [("float16", "float"), ("float", "float16")])
def test_nvidia_builds_the_result_and_not_the_original(model_text, rewrite, builds_for_rtx, types):
    text = sample(model_text, *types)
    done = rewrite(text, MixedGrid(), **RTX)
    assert builds_for_rtx(ir.to_proto(done.optimized.model)) == ""
    assert "must be of same type" in builds_for_rtx(
        ir.to_proto(rewrite(text, only_look=True).optimized.model)
    )
    assert np.ptp(done.before[0].astype(np.float32)) > 0

"""GridSample over a constant grid against ONNX Runtime's GridSample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeup.export.passes.constant_grid import ConstantGrid

OLD = {"backend": "tensorrt", "tensorrt": (8, 2)}


def sample(model_text, shape, grid, *, opset=20, **settings):
    attributes = ", ".join(
        f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
        for name, value in settings.items()
    )
    written = f"<{attributes}>" if attributes else ""
    dims = ",".join(map(str, shape))
    result = ",".join(map(str, (*shape[:2], *grid.shape[1:-1])))
    return model_text(
        f"y = GridSample{written}(x, grid)",
        inputs=f"float[{dims}] x",
        output=f"float[{result}] y",
        opset=opset,
        grid=grid,
    )


@st.composite
def sites(draw):
    axes = draw(st.integers(2, 3))
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    extents = [draw(st.integers(1, 5)) for _ in range(axes)]
    places = [draw(st.integers(1, 4)) for _ in range(axes)]
    modes = ["linear", "nearest"] + ["cubic"] * (axes == 2)
    chosen = {
        "mode": draw(st.sampled_from(modes)),
        "padding_mode": draw(st.sampled_from(["zeros", "border", "reflection"])),
        "align_corners": draw(st.integers(0, 1)),
    }
    random = np.random.default_rng(draw(st.integers(0, 999)))
    grid = random.uniform(-1.6, 1.6, (batch, *places, axes)).astype(np.float32)
    if draw(st.booleans()):
        grid[:] = grid[:1]
    return (batch, channels, *extents), grid, chosen


@given(site=sites())
@settings(max_examples=120, deadline=None)
def test_gathers_are_the_sampling(model_text, rewrite, site):
    shape, grid, chosen = site
    text = sample(model_text, shape, grid, **chosen)
    done = rewrite(text, ConstantGrid(), exact=False, **OLD)
    assert done.optimized.rewritten
    assume(np.ptp(done.before[0]) > 0)
    assert done.error <= 2e-5


def test_the_names_of_opset_16(model_text, rewrite):
    grid = np.random.default_rng(0).uniform(-1, 1, (1, 3, 3, 2)).astype(np.float32)
    for mode in ("bilinear", "bicubic"):
        text = sample(model_text, (1, 2, 4, 4), grid, opset=16, mode=mode)
        assert rewrite(text, ConstantGrid(), exact=False, **OLD).error <= 2e-5


@pytest.mark.parametrize(
    ("aim", "chosen", "axes", "lacks"),
    [
        ({"backend": "tensorrt", "tensorrt": (8, 4)}, {}, 2, True),
        ({"backend": "tensorrt", "tensorrt": (8, 5)}, {}, 2, False),
        ({"backend": "tensorrt", "tensorrt": (10, 3)}, {"mode": "linear"}, 2, True),
        ({"backend": "tensorrt", "tensorrt": (10, 14)}, {"mode": "linear"}, 2, False),
        ({"backend": "tensorrt", "tensorrt": (10, 14)}, {}, 3, True),
        ({"backend": "tensorrt-rtx"}, {"mode": "linear"}, 3, False),
        ({"backend": "onnxruntime"}, {}, 2, False),
    ],
)
def test_what_a_version_lacks(model_text, rewrite, aim, chosen, axes, lacks):
    grid = np.random.default_rng(1).uniform(-1, 1, (1, *[3] * axes, axes)).astype(np.float32)
    text = sample(model_text, (1, 1, *[4] * axes), grid, **chosen)
    done = rewrite(text, ConstantGrid(), only_look=True, **aim)
    assert bool(done.optimized.rewritten) == lacks
    assert not done.reasons


@pytest.mark.parametrize(
    ("inputs", "body", "reason"),
    [
        ("float[1,1,4,4] x, float[1,2,2,2] g", "GridSample(x, g)", "its grid is not constant"),
        ("float[1,1,H,4] x", "GridSample(x, grid)", "its shape is not known"),
    ],
)
def test_refusals(model_text, rewrite, inputs, body, reason):
    grid = np.zeros((1, 2, 2, 2), np.float32)
    arrays = {"grid": grid} if "grid" in body else {}
    text = model_text(f"y = {body}", inputs=inputs, output="float[1,1,2,2] y", opset=16, **arrays)
    done = rewrite(text, ConstantGrid(), only_look=True, **OLD)
    assert not done.optimized.rewritten
    assert reason in done.reasons[0]

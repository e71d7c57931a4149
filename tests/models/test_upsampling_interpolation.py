"""Interpolation against PyTorch's printed examples and against its definition in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.interpolation import Interpolation

# The examples that PyTorch's documentation of nn.Upsample prints, to its four decimals.
PRINTED = 5e-5
INPUT = [[1.0, 2.0], [3.0, 4.0]]
INPUT_3X3 = [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
EXAMPLES = {
    "nearest": (
        INPUT,
        {"mode": "nearest"},
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    ),
    "bilinear": (
        INPUT,
        {"mode": "bilinear"},
        [
            [1.0000, 1.2500, 1.7500, 2.0000],
            [1.5000, 1.7500, 2.2500, 2.5000],
            [2.5000, 2.7500, 3.2500, 3.5000],
            [3.0000, 3.2500, 3.7500, 4.0000],
        ],
    ),
    "bilinear, align_corners": (
        INPUT,
        {"mode": "bilinear", "align_corners": True},
        [
            [1.0000, 1.3333, 1.6667, 2.0000],
            [1.6667, 2.0000, 2.3333, 2.6667],
            [2.3333, 2.6667, 3.0000, 3.3333],
            [3.0000, 3.3333, 3.6667, 4.0000],
        ],
    ),
    "3x3, bilinear": (
        INPUT_3X3,
        {"mode": "bilinear"},
        [
            [1.0000, 1.2500, 1.7500, 1.5000, 0.5000, 0.0000],
            [1.5000, 1.7500, 2.2500, 1.8750, 0.6250, 0.0000],
            [2.5000, 2.7500, 3.2500, 2.6250, 0.8750, 0.0000],
            [2.2500, 2.4375, 2.8125, 2.2500, 0.7500, 0.0000],
            [0.7500, 0.8125, 0.9375, 0.7500, 0.2500, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
        ],
    ),
    "3x3, bilinear, align_corners": (
        INPUT_3X3,
        {"mode": "bilinear", "align_corners": True},
        [
            [1.0000, 1.4000, 1.8000, 1.6000, 0.8000, 0.0000],
            [1.8000, 2.2000, 2.6000, 2.2400, 1.1200, 0.0000],
            [2.6000, 3.0000, 3.4000, 2.8800, 1.4400, 0.0000],
            [2.4000, 2.7200, 3.0400, 2.5600, 1.2800, 0.0000],
            [1.2000, 1.3600, 1.5200, 1.2800, 0.6400, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
        ],
    ),
}


@pytest.mark.parametrize(("image", "arguments", "printed"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples_of_the_pytorch_documentation(
    image: list[list[float]], arguments: dict[str, Any], printed: list[list[float]]
) -> None:
    y = Interpolation(scale_factor=2, **arguments)(torch.tensor([[image]]))
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y[0, 0].numpy(), printed, rtol=0, atol=PRINTED)


sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
# Exact in binary. 1.125 and 2.125 are there for the sizes that they leave alone, or double.
exact_factors = st.sampled_from([0.25, 0.5, 1.125, 1.5, 2.0, 2.125, 2.5, 3.0])
factors = st.floats(0.3, 3.5)

Normal = Callable[..., "np.ndarray[Any, np.dtype[np.float64]]"]


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["nearest", "nearest-exact"]),
    axes=st.lists(st.tuples(st.integers(4, 9), exact_factors), min_size=1, max_size=3),
    seed=seeds,
)
def test_nearest_is_its_definition(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    mode: str,
    axes: list[tuple[int, float]],
    seed: int,
) -> None:
    x = normal(seed, 2, 2, *(n for n, _ in axes))
    matrices = [
        reference.nearest_matrix(
            n, int(n * s), Fraction(s), mode == "nearest-exact", shortcuts=len(axes) == 2
        )
        for n, s in axes
    ]
    y = run(Interpolation(mode, scale_factor=tuple(s for _, s in axes)), x)
    np.testing.assert_array_equal(y, reference.resize(x, matrices))


@settings(max_examples=60, deadline=None)
@given(
    axes=st.lists(st.tuples(st.integers(2, 7), st.integers(1, 9)), min_size=1, max_size=3),
    seed=seeds,
)
def test_nearest_by_size_is_its_definition(
    reference: ModuleType, normal: Normal, run: Normal, axes: list[tuple[int, int]], seed: int
) -> None:
    x = normal(seed, 2, 2, *(n for n, _ in axes))
    matrices = [reference.nearest_matrix(n, out, Fraction(out, n)) for n, out in axes]
    y = run(Interpolation("nearest", size=tuple(out for _, out in axes)), x)
    np.testing.assert_array_equal(y, reference.resize(x, matrices))


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["linear", "bilinear", "trilinear", "bicubic"]),
    axes=st.lists(st.tuples(sizes, factors), min_size=3, max_size=3),
    align_corners=st.booleans(),
    recompute=st.booleans(),
    seed=seeds,
)
def test_linear_and_cubic_modes_are_their_definition(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    mode: str,
    axes: list[tuple[int, float]],
    align_corners: bool,
    recompute: bool,
    seed: int,
) -> None:
    axes = axes[: {"linear": 1, "trilinear": 3}.get(mode, 2)]
    axes = [(n, max(s, 1.0) if n * s < 1 else s) for n, s in axes]
    x = normal(seed, 2, 2, *(n for n, _ in axes))
    make = reference.cubic_matrix if mode == "bicubic" else reference.linear_matrix
    matrices = [
        make(n, int(n * s), int(n * s) / n if recompute else s, align_corners) for n, s in axes
    ]
    resize = Interpolation(
        mode,
        scale_factor=tuple(s for _, s in axes),
        align_corners=align_corners,
        recompute_scale_factor=recompute,
    )
    np.testing.assert_allclose(run(resize, x), reference.resize(x, matrices), rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["bilinear", "bicubic"]),
    # PyTorch 2.13 is wrong at an output width of 1, see the class.
    axes=st.lists(st.tuples(st.integers(2, 9), st.integers(2, 9)), min_size=2, max_size=2),
    seed=seeds,
)
def test_antialias_is_the_stretched_filter(
    reference: ModuleType,
    normal: Normal,
    run: Normal,
    mode: str,
    axes: list[tuple[int, int]],
    seed: int,
) -> None:
    x = normal(seed, 2, 2, *(n for n, _ in axes))
    matrices = [reference.antialiased_matrix(n, out, out / n, mode) for n, out in axes]
    resize = Interpolation(mode, size=tuple(out for _, out in axes), antialias=True)
    np.testing.assert_allclose(run(resize, x), reference.resize(x, matrices), rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    axes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9)), min_size=1, max_size=3),
    seed=seeds,
)
def test_area_is_the_mean_over_the_covered_cell(
    reference: ModuleType, normal: Normal, run: Normal, axes: list[tuple[int, int]], seed: int
) -> None:
    x = normal(seed, 2, 2, *(n for n, _ in axes))
    matrices = [reference.area_matrix(n, out) for n, out in axes]
    y = run(Interpolation("area", size=tuple(out for _, out in axes)), x)
    np.testing.assert_allclose(y, reference.resize(x, matrices), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"mode": "bilinaer", "scale_factor": 2}, "did you mean bilinear"),
        ({"mode": "nearest"}, "got neither; give either size or scale_factor"),
        ({"size": 4, "scale_factor": 2}, "got both size and scale_factor"),
        ({"scale_factor": 2, "align_corners": False}, "align_corners has no meaning for mode"),
        ({"mode": "area", "size": 2, "align_corners": True}, "align_corners has no meaning"),
        ({"mode": "nearest", "size": 2, "antialias": True}, "antialias has no meaning for mode"),
        ({"mode": "trilinear", "size": 2, "antialias": True}, "antialias has no meaning"),
        ({"size": 4, "recompute_scale_factor": True}, "recompute_scale_factor needs scale_factor"),
        ({"mode": "bilinear", "size": (4,)}, "size has 1 values"),
        ({"mode": "linear", "scale_factor": (2.0, 2.0)}, "scale_factor has 2 values"),
        ({"size": (1, 2, 3, 4)}, "size has 4 values"),
        ({"size": ()}, "size has 0 values"),
        ({"size": 0}, "integers of at least 1"),
        ({"mode": "bilinear", "size": (4, 2.5)}, "integers of at least 1"),
        ({"size": True}, "integers of at least 1"),
        ({"scale_factor": 0.0}, "finite numbers above 0"),
        ({"scale_factor": (2.0, float("inf"))}, "finite numbers above 0"),
        ({"scale_factor": "2"}, "it takes numbers"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EdgeupError, match=reason):
        Interpolation(**arguments)


@pytest.mark.parametrize(
    ("arguments", "rank"),
    [
        ({"mode": "bilinear", "scale_factor": 2}, 1),
        ({"mode": "linear", "size": 3}, 2),
        ({"mode": "nearest", "size": (3, 3)}, 3),
        ({"mode": "nearest", "scale_factor": 2}, 4),
    ],
)
def test_an_input_of_another_rank_is_refused(arguments: dict[str, Any], rank: int) -> None:
    with pytest.raises(EdgeupError, match=f"the input has {rank} spatial axes"):
        Interpolation(**arguments)(torch.ones(1, 1, *(2,) * rank))

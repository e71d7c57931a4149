from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

RESIZE = {"Resize": 1}
# Two float32 roundings of a coordinate below 40 (ulp 4e-6) times neighbours that differ by up to 6.
COORDINATES = 3e-5
# A sum of at most 40 products in float32.
SUMS = 1e-6

Case = tuple[int, str, dict[str, Any], dict[str, int], float]

# Which input (1-D, 2-D, 3-D), mode, arguments, nodes, tolerance.
CASES: list[Case] = [
    (0, "nearest", {"scale_factor": 2}, RESIZE, 0.0),
    (0, "nearest", {"scale_factor": 1.5}, RESIZE, 0.0),
    (0, "nearest", {"size": 7}, RESIZE, 0.0),
    (0, "nearest", {"scale_factor": 0.25}, RESIZE, 0.0),
    (0, "nearest-exact", {"scale_factor": 3}, RESIZE, 0.0),
    (0, "nearest-exact", {"scale_factor": 1.5}, RESIZE, 0.0),
    (0, "nearest-exact", {"size": 5}, RESIZE, 0.0),
    (0, "nearest-exact", {"scale_factor": 0.5}, RESIZE, 0.0),
    (0, "linear", {"scale_factor": 2}, RESIZE, COORDINATES),
    (0, "linear", {"scale_factor": 1.3}, RESIZE, COORDINATES),
    (0, "linear", {"size": 7}, RESIZE, COORDINATES),
    (0, "linear", {"size": 17, "align_corners": True}, RESIZE, COORDINATES),
    (0, "area", {"scale_factor": 4}, RESIZE, 0.0),
    (0, "area", {"scale_factor": 0.5}, {"AveragePool": 1}, SUMS),
    (0, "area", {"size": 7}, {"MatMul": 1}, SUMS),
    (1, "nearest", {"scale_factor": 2}, RESIZE, 0.0),
    (1, "nearest", {"scale_factor": (2, 3)}, RESIZE, 0.0),
    (1, "nearest", {"scale_factor": (1.3, 2.7)}, RESIZE, 0.0),
    (1, "nearest", {"scale_factor": (1.4, 2.7), "recompute_scale_factor": True}, RESIZE, 0.0),
    (1, "nearest", {"size": (7, 31)}, RESIZE, 0.0),
    (1, "nearest", {"scale_factor": 0.5}, RESIZE, 0.0),
    (1, "nearest", {"size": (12, 10)}, {}, 0.0),
    (1, "nearest", {"scale_factor": (1.05, 2.05)}, RESIZE, 0.0),
    (1, "nearest-exact", {"scale_factor": 4}, RESIZE, 0.0),
    (1, "nearest-exact", {"scale_factor": (1.3, 2.7)}, {"Gather": 2}, 0.0),
    (1, "nearest-exact", {"size": (7, 31)}, RESIZE, 0.0),
    (1, "bilinear", {"scale_factor": 2}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": (1.3, 2.7)}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": (1.3, 2.7), "recompute_scale_factor": True}, RESIZE, 3e-5),
    (1, "bilinear", {"size": (7, 31)}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": (1.05, 2)}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": 1.05}, {}, 0.0),
    (1, "bilinear", {"scale_factor": 2, "align_corners": True}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": 1.3, "align_corners": True}, RESIZE, COORDINATES),
    (1, "bilinear", {"size": (1, 31), "align_corners": True}, RESIZE, COORDINATES),
    (1, "bicubic", {"scale_factor": 2}, RESIZE, COORDINATES),
    (1, "bicubic", {"scale_factor": (1.3, 0.7)}, RESIZE, COORDINATES),
    (1, "bicubic", {"size": (7, 31), "align_corners": True}, RESIZE, COORDINATES),
    (1, "bicubic", {"scale_factor": (1.05, 2)}, RESIZE, COORDINATES),
    (1, "bicubic", {"scale_factor": 1.05}, {"MatMul": 2}, SUMS),
    (1, "area", {"scale_factor": 3}, RESIZE, 0.0),
    (1, "area", {"scale_factor": 0.5}, {"AveragePool": 1}, SUMS),
    (1, "area", {"size": (1, 1)}, {"GlobalAveragePool": 1}, SUMS),
    (1, "area", {"size": (4, 20)}, {"AveragePool": 1, "Resize": 1}, SUMS),
    (1, "area", {"size": (4, 7)}, {"AveragePool": 1, "MatMul": 1}, SUMS),
    (1, "area", {"scale_factor": (1.3, 2.7)}, {"MatMul": 2}, SUMS),
    (1, "bilinear", {"scale_factor": 0.5, "antialias": True}, RESIZE, COORDINATES),
    (1, "bilinear", {"scale_factor": (0.7, 1.3), "antialias": True}, RESIZE, COORDINATES),
    (1, "bicubic", {"size": (5, 7), "antialias": True}, RESIZE, COORDINATES),
    (1, "bicubic", {"scale_factor": (0.33, 2.3), "antialias": True}, RESIZE, COORDINATES),
    (
        1,
        "bilinear",
        {"size": (5, 7), "antialias": True, "align_corners": True},
        {"MatMul": 2},
        SUMS,
    ),
    (
        1,
        "bicubic",
        {"size": (5, 17), "antialias": True, "align_corners": True},
        {"MatMul": 2},
        SUMS,
    ),
    (2, "nearest", {"scale_factor": 2}, RESIZE, 0.0),
    (2, "nearest", {"scale_factor": (1.3, 2.7, 0.8)}, {"Gather": 3}, 0.0),
    (2, "nearest", {"scale_factor": (1.5, 2.5, 0.5)}, RESIZE, 0.0),
    (2, "nearest-exact", {"size": (3, 4, 3)}, RESIZE, 0.0),
    (2, "trilinear", {"scale_factor": 2}, RESIZE, COORDINATES),
    (2, "trilinear", {"scale_factor": (1.3, 2.7, 0.8)}, RESIZE, COORDINATES),
    (2, "trilinear", {"size": (3, 4, 7), "align_corners": True}, RESIZE, COORDINATES),
    (2, "area", {"scale_factor": 0.5}, {"AveragePool": 1}, SUMS),
    (2, "area", {"size": (3, 4, 3)}, {"MatMul": 3, "Reshape": 2}, SUMS),
]
if hasattr(torch.ops.aten, "_upsample_lanczos2d_aa"):
    CASES.append((1, "lanczos", {"size": (5, 7), "antialias": True}, {"MatMul": 2}, SUMS))


def interpolation(index: int, mode: str, arguments: dict[str, Any]) -> Callable[..., torch.Tensor]:
    return lambda *xs: F.interpolate(xs[index], mode=mode, **arguments)


@pytest.fixture(scope="module")
def translated(translate_all: Any) -> list[Any]:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 12), torch.randn(2, 3, 12, 10), torch.randn(2, 3, 4, 6, 10)]
    return list(translate_all([interpolation(*case[:3]) for case in CASES], inputs))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c[1]}-{c[0]}-{c[2]}" for c in CASES])
def test_interpolate_becomes_these_nodes_and_these_numbers(
    translated: list[Any], number: int
) -> None:
    *_, nodes, tolerance = CASES[number]
    assert translated[number].nodes == nodes
    assert translated[number].error <= tolerance


def test_random_interpolations_have_pytorchs_numbers_in_few_nodes(translate_all: Any) -> None:
    rng = random.Random(3)
    torch.manual_seed(1)
    heights, widths = (5, 16), (9, 11)
    inputs = [torch.randn(1, 2, h, w) for h, w in zip(heights, widths, strict=True)]
    cases: list[tuple[int, str, dict[str, Any]]] = []
    while len(cases) < 60:
        mode = rng.choice(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
        arguments: dict[str, Any] = {}
        if rng.random() < 0.5:
            arguments["size"] = (rng.randint(2, 40), rng.randint(2, 40))
        else:
            arguments["scale_factor"] = (rng.uniform(0.5, 4), rng.uniform(0.3, 4))
            arguments["recompute_scale_factor"] = rng.choice([None, True])
        if mode in ("bilinear", "bicubic"):
            arguments["antialias"] = rng.random() < 0.4
            arguments["align_corners"] = rng.random() < 0.4
        cases.append((rng.randrange(2), mode, arguments))
    results = translate_all([interpolation(*case) for case in cases], inputs)
    for case, result in zip(cases, results, strict=True):
        exact = case[1].startswith("nearest")
        assert result.error <= (0.0 if exact else COORDINATES), case
        assert sum(result.nodes.values()) <= 2, case
        assert set(result.nodes) <= {"Resize", "Gather", "MatMul", "AveragePool"}, case


def test_half_precision_and_bytes(translate_all: Any) -> None:
    torch.manual_seed(0)
    inputs = [
        torch.randn(1, 2, 5, 6).half(),
        torch.randint(0, 255, (1, 2, 5, 6), dtype=torch.uint8),
        torch.randn(1, 2, 5, 6, dtype=torch.float64),
    ]
    nearest, half, antialias, double = translate_all(
        [
            lambda h, u, d: F.interpolate(u, scale_factor=2),
            lambda h, u, d: F.interpolate(h, scale_factor=2, mode="bilinear"),
            lambda h, u, d: F.interpolate(h, size=(3, 9), mode="area"),
            lambda h, u, d: F.interpolate(d, size=(8, 9), mode="bilinear"),
        ],
        inputs,
    )
    assert nearest.nodes == RESIZE
    assert nearest.error == 0
    assert half.nodes == RESIZE
    assert half.error <= 2e-3  # half's ulp at 2 to 4
    assert antialias.nodes == {"MatMul": 2}
    assert antialias.error <= 4e-3
    assert double.nodes == {"MatMul": 2}
    assert double.error <= 1e-6  # the matrices are float32


def test_antialias_to_one_column_follows_pytorchs_channels_last_kernel(translate_all: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 12, 10)
    arguments: dict[str, Any] = {"size": (5, 1), "mode": "bilinear", "antialias": True}
    (result,) = translate_all([lambda x: F.interpolate(x, **arguments)], [x])
    right = F.interpolate(x.contiguous(memory_format=torch.channels_last), **arguments).numpy()
    assert result.nodes == RESIZE
    assert abs(result.got - right).max() <= COORDINATES

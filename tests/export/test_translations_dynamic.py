from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from edgeup.errors import EdgeupError

DYNAMIC = torch.export.Dim.DYNAMIC
SPATIAL = {0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}
BATCH = {0: DYNAMIC}
RESIZE = {"Resize": 1}
# As for static shapes: roundings of a coordinate below 64.
COORDINATES = 5e-5

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def pair(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(y, indices, 2, output_size=x.shape[2:])


def pair_by_kernel(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(y, indices, 2)


def by_factor(factor: Any, **arguments: Any) -> Function:
    return lambda x, like: F.interpolate(x, scale_factor=factor, **arguments)


def to_like(**arguments: Any) -> Function:
    return lambda x, like: F.interpolate(x, size=like.shape[2:], **arguments)


def test_dynamic_spatial_shapes(translate_all: Any) -> None:
    cases: list[tuple[Function, dict[str, int] | None, float]] = [
        (by_factor(2), RESIZE, 0),
        (by_factor(3, mode="nearest-exact"), RESIZE, 0),
        (by_factor(0.5, mode="nearest-exact"), RESIZE, 0),
        (by_factor(1.5), RESIZE, 0),
        # Its pixels depend on PyTorch's rounding, so the graph computes them.
        (by_factor(1.2), None, 0),
        (by_factor((1.3, 2.7), mode="nearest-exact"), None, 0),
        (to_like(), {"Resize": 1, "Shape": 3, "Concat": 1}, 0),
        (to_like(mode="nearest-exact"), {"Resize": 1, "Shape": 3, "Concat": 1}, 0),
        (by_factor(2, mode="bilinear"), RESIZE, COORDINATES),
        (by_factor(1.5, mode="bicubic"), RESIZE, COORDINATES),
        (by_factor(0.5, mode="bilinear", antialias=True), RESIZE, COORDINATES),
        (to_like(mode="bilinear", align_corners=True), None, COORDINATES),
        (lambda x, like: F.adaptive_avg_pool2d(x, 1), {"GlobalAveragePool": 1}, 1e-6),
        (lambda x, like: F.max_pool2d(x, 2, return_indices=True)[1], None, 0),
        (pair, {"MaxPool": 1, "MaxUnpool": 1, "Shape": 3, "Concat": 1}, 0),
        (pair_by_kernel, None, 0),
    ]
    torch.manual_seed(0)
    results = translate_all(
        [function for function, *_ in cases],
        [torch.randn(2, 3, 12, 10), torch.randn(2, 3, 24, 20)],
        dynamic_shapes=[SPATIAL, SPATIAL],
        run_with=[torch.randn(3, 3, 26, 30), torch.randn(3, 3, 52, 90)],
    )
    for number, (result, (_, nodes, tolerance)) in enumerate(zip(results, cases, strict=True)):
        assert nodes is None or result.nodes == nodes, number
        assert result.error <= tolerance, number
    assert results[4].nodes["Gather"] == 2


def test_a_dynamic_batch_costs_interpolation_nothing(translate_all: Any) -> None:
    cases: list[tuple[Function, dict[str, int]]] = [
        (by_factor(1.3), RESIZE),
        (by_factor((1.7, 0.6), mode="bilinear"), RESIZE),
        (to_like(mode="bilinear"), RESIZE),
        (lambda x, like: F.interpolate(x, size=(5, 7), mode="area"), {"MatMul": 2}),
        (lambda x, like: F.interpolate(x, size=(24, 16)), {"Gather": 2}),
        (lambda x, like: F.pixel_unshuffle(x, 2), {"SpaceToDepth": 1, "Gather": 1}),
        (pair, {"MaxPool": 1, "MaxUnpool": 1, "Shape": 1, "Concat": 1}),
    ]
    torch.manual_seed(0)
    results = translate_all(
        [function for function, _ in cases],
        [torch.randn(2, 3, 12, 10), torch.randn(2, 3, 24, 20)],
        dynamic_shapes=[BATCH, BATCH],
        run_with=[torch.randn(3, 3, 12, 10), torch.randn(3, 3, 24, 20)],
    )
    for number, (result, (_, nodes)) in enumerate(zip(results, cases, strict=True)):
        assert result.nodes == nodes, number
        assert result.error <= COORDINATES, number


def test_short_axes_of_a_dynamic_shape_are_copied_and_doubled(translate_all: Any) -> None:
    torch.manual_seed(0)
    results = translate_all(
        [by_factor((1.1, 2.2)), by_factor((1.1, 2.2), mode="nearest-exact")],
        [torch.randn(2, 3, 12, 10), torch.randn(1, 1, 4, 4)],
        dynamic_shapes=[SPATIAL, None],
        run_with=[torch.randn(2, 3, 9, 4), torch.randn(1, 1, 4, 4)],
    )
    assert [result.error for result in results] == [0, 0]


def refusal(error: BaseException) -> str:
    """The line of the translation, which the exporter wraps in errors of its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, EdgeupError):
        cause = cause.__cause__
    assert cause is not None, error
    return str(cause)


@pytest.mark.parametrize(
    ("function", "dynamic", "dtype", "reason"),
    [
        (
            lambda x: F.interpolate(x, size=(5, 7), mode="area"),
            SPATIAL,
            torch.float32,
            "its windows depend on the shape; export with a fixed spatial shape",
        ),
        (
            lambda x: F.interpolate(
                x, size=(5, 7), mode="bilinear", antialias=True, align_corners=True
            ),
            SPATIAL,
            torch.float32,
            "no ONNX operator computes it; export with a fixed spatial shape",
        ),
        (
            lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
            BATCH,
            torch.uint8,
            "convert to float before interpolate",
        ),
        (
            lambda x: F.pixel_shuffle(x.unsqueeze(1).repeat(1, 2, 4, 1, 1), 2),
            SPATIAL,
            torch.float32,
            "allows one dynamic dimension",
        ),
    ],
)
def test_what_cannot_be_translated_says_why(
    translate_all: Any, function: Any, dynamic: Any, dtype: torch.dtype, reason: str
) -> None:
    x = torch.ones(2, 3, 12, 10, dtype=dtype)
    with pytest.raises(torch.onnx.OnnxExporterError) as raised:
        translate_all([function], [x], dynamic_shapes=[dynamic])
    assert reason in refusal(raised.value)

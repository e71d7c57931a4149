from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

PAIR = {"MaxPool": 1, "MaxUnpool": 1}
SUMS = 1e-6
"""A mean of at most 48 values in float32."""

Function = Callable[..., torch.Tensor]


def pool_and_unpool(index: int, kernel: int, stride: int, padding: int) -> Function:
    """The pair of an encoder and its decoder, with something between them."""

    def run(*xs: torch.Tensor) -> torch.Tensor:
        x = xs[index]
        spatial = index + 1
        pool, unpool = getattr(F, f"max_pool{spatial}d"), getattr(F, f"max_unpool{spatial}d")
        y, indices = pool(x, kernel, stride, padding, return_indices=True)
        size = x.shape[-spatial:]
        result: torch.Tensor = unpool(y, indices, kernel, stride, padding, output_size=size)
        return result

    return run


def indices_of(index: int, kernel: int, stride: int, padding: int, **more: Any) -> Function:
    def run(*xs: torch.Tensor) -> torch.Tensor:
        pool = getattr(F, f"max_pool{index + 1}d")
        result: torch.Tensor = pool(
            xs[index], kernel, stride, padding, return_indices=True, **more
        )[1]
        return result

    return run


def with_ties() -> list[torch.Tensor]:
    """Few values, so that windows hold ties; batch and channels above one; odd sizes."""
    torch.manual_seed(0)
    shapes = [(2, 3, 11), (2, 3, 9, 7), (2, 2, 5, 6, 7), (3, 8, 6)]
    return [torch.randint(0, 4, shape).float() for shape in shapes]


def test_max_pool_and_unpool_are_connected_directly(translate_all: Any) -> None:
    windows = [(2, 2, 0), (3, 2, 1), (3, 1, 0), (2, 3, 1), (3, 3, 0)]
    functions = [pool_and_unpool(index, *window) for index in range(3) for window in windows]
    for result in translate_all(functions, with_ties()):
        assert result.nodes == PAIR
        assert result.error == 0


def test_indices_alone_are_pytorchs(translate_all: Any) -> None:
    functions = [
        indices_of(0, 2, 2, 0),
        indices_of(1, 2, 2, 0),
        indices_of(1, 3, 2, 1, ceil_mode=True),
        indices_of(1, 2, 2, 0, ceil_mode=True),
        indices_of(1, 2, 1, 0, dilation=2),
        indices_of(2, 3, 2, 1),
    ]
    for result in translate_all(functions, with_ties()):
        assert result.nodes == {"MaxPool": 1, "Mod": 1}
        assert result.error == 0


def test_zeilers_pooling_over_channels(translate_all: Any) -> None:
    """Zeiler et al. 2011 pool over neighbouring feature maps too: a 3-D window."""

    def switches(x: torch.Tensor) -> torch.Tensor:
        y, indices = F.max_pool3d(x.unsqueeze(1), (2, 2, 2), return_indices=True)
        size = [1, *x.shape[1:]][1:]
        return F.max_unpool3d(y, indices, (2, 2, 2), output_size=size).squeeze(1)

    torch.manual_seed(0)
    (result,) = translate_all([switches], [torch.randint(0, 5, (2, 6, 8, 7)).float()])
    assert result.nodes == {**PAIR, "Unsqueeze": 1, "Squeeze": 1}
    assert result.error == 0


def test_max_unpool_of_other_indices_adds_the_plane_back(translate_all: Any) -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 3, 2, 2)
    indices = torch.stack([torch.randperm(20)[:4] for _ in range(6)]).reshape(2, 3, 2, 2)
    x = torch.randint(0, 9, (2, 3, 6, 6)).float()

    def larger(values: torch.Tensor, indices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        y, own = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(y, own, 2, output_size=(7, 7))

    def moved(values: torch.Tensor, indices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        y, own = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(y, own % 7, 2)

    given, resized, taken_modulo = translate_all(
        [lambda v, i, x: F.max_unpool2d(v, i, 2, output_size=(4, 5)), larger, moved],
        [values, indices, x],
    )
    assert given.nodes == {"Add": 1, "MaxUnpool": 1}
    assert given.error == 0
    assert resized.nodes == {**PAIR, "Mod": 1, "Add": 1}
    assert resized.error == 0
    # Several values meet in one pixel: which of them stays is not defined.
    assert taken_modulo.nodes == {**PAIR, "Mod": 2, "Add": 1}


def test_what_has_no_batch_gets_one(translate_all: Any) -> None:
    x = with_ties()[3]

    def pair(x: torch.Tensor) -> torch.Tensor:
        y, indices = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(y, indices, 2)

    functions = [
        pair,
        lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    ]
    unpooled, adaptive, average = translate_all(functions, [x])
    assert unpooled.nodes == {**PAIR, "Unsqueeze": 2, "Squeeze": 2}
    assert adaptive.nodes == {"Unsqueeze": 1, "MatMul": 2, "Squeeze": 1}
    assert average.nodes == {"Unsqueeze": 1, "Conv": 1, "Squeeze": 1}
    assert max(unpooled.error, adaptive.error, average.error) <= SUMS


def test_average_pooling(translate_all: Any) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 8), torch.randn(2, 3, 8, 6), torch.randn(2, 2, 4, 6, 8)]
    cases: list[tuple[Function, dict[str, int]]] = [
        (lambda a, b, c: F.adaptive_avg_pool1d(a, 4), {"AveragePool": 1}),
        (lambda a, b, c: F.adaptive_avg_pool2d(b, 1), {"GlobalAveragePool": 1}),
        (lambda a, b, c: F.adaptive_avg_pool2d(b, (4, 3)), {"AveragePool": 1}),
        (lambda a, b, c: F.adaptive_avg_pool2d(b, (3, None)), {"MatMul": 1}),
        (lambda a, b, c: F.adaptive_avg_pool3d(c, (2, 3, 4)), {"AveragePool": 1}),
        (lambda a, b, c: F.adaptive_avg_pool3d(c, 1), {"GlobalAveragePool": 1}),
        (lambda a, b, c: F.avg_pool2d(b, 3, 2, 1), {"AveragePool": 1}),
        (lambda a, b, c: F.avg_pool2d(b, 3, 2, 1, True, False), {"AveragePool": 1}),
        (lambda a, b, c: F.avg_pool2d(b, 3, 2, 1, divisor_override=5), {"Conv": 1}),
        (lambda a, b, c: F.avg_pool2d(b, 3, 2, 1, True, divisor_override=5), {"Conv": 1}),
        (lambda a, b, c: F.avg_pool3d(c, 2, divisor_override=3), {"Conv": 1}),
    ]
    results = translate_all([function for function, _ in cases], inputs)
    for number, (result, (_, nodes)) in enumerate(zip(results, cases, strict=True)):
        assert result.nodes == nodes, number
        assert result.error <= SUMS, number


def test_random_pairs_are_connected_directly(translate_all: Any) -> None:
    rng = random.Random(5)
    functions = []
    for _ in range(40):
        kernel = rng.randint(1, 4)
        functions.append(pool_and_unpool(1, kernel, rng.randint(1, 4), rng.randint(0, kernel // 2)))
    torch.manual_seed(2)
    inputs = [torch.zeros(1, 1, 1), torch.randint(0, 6, (3, 2, 13, 10)).float()]
    for number, result in enumerate(translate_all(functions, inputs)):
        assert result.nodes == PAIR, number
        assert result.error == 0, number


@pytest.mark.parametrize("dim", [0, -1])
def test_squeeze_is_pytorchs(translate_all: Any, dim: int) -> None:
    torch.manual_seed(0)
    functions = [
        lambda x: x.squeeze(dim),
        lambda x: x.unsqueeze(dim).squeeze(dim) + 1,
        lambda x: x.unsqueeze(1).squeeze(dim),
    ]
    kept, undone, other = translate_all(functions, [torch.randn(2, 3, 4)])
    assert kept.nodes == {}
    assert undone.nodes == {"Add": 1}
    assert other.nodes == {"Unsqueeze": 1}
    assert max(kept.error, undone.error, other.error) == 0

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


def test_pixel_shuffle_and_unshuffle(translate_all: Any) -> None:
    torch.manual_seed(0)
    inputs = [
        torch.randn(2, 18, 6, 9),
        torch.randn(18, 6, 9),
        torch.randn(2, 2, 18, 6, 9),
        torch.randn(2, 1, 6, 9),
    ]
    shuffle, unshuffle = {"DepthToSpace": 1}, {"SpaceToDepth": 1}
    gathered = {**unshuffle, "Gather": 1}
    batched = {"Unsqueeze": 1, "Squeeze": 1}
    flattened = {"Reshape": 2}
    cases: list[tuple[Any, dict[str, int]]] = [
        (lambda a, b, c, d: F.pixel_shuffle(a, 3), shuffle),
        (lambda a, b, c, d: F.pixel_unshuffle(a, 3), gathered),
        (lambda a, b, c, d: F.pixel_shuffle(b, 3), {**shuffle, **batched}),
        (lambda a, b, c, d: F.pixel_unshuffle(b, 3), {**gathered, **batched}),
        (lambda a, b, c, d: F.pixel_shuffle(c, 3), {**shuffle, **flattened}),
        (lambda a, b, c, d: F.pixel_unshuffle(c, 3), {**gathered, **flattened}),
        (lambda a, b, c, d: F.pixel_unshuffle(d, 3), unshuffle),
        (lambda a, b, c, d: F.pixel_shuffle(a, 1) + 1, {"Add": 1}),
    ]
    results = translate_all([function for function, _ in cases], inputs)
    for number, (result, (_, nodes)) in enumerate(zip(results, cases, strict=True)):
        assert result.nodes == nodes, number
        assert result.error == 0, number

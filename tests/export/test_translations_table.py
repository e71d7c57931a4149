from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from edgeup.export.translations import table


def test_the_table_keeps_whole_what_the_exporter_would_decompose() -> None:
    aten = torch.ops.aten
    translated = table.translation_table()
    for operator in (
        aten._upsample_nearest_exact2d.vec,
        aten.upsample_linear1d.vec,
        aten._upsample_bicubic2d_aa.vec,
        aten.adaptive_avg_pool2d.default,
        aten.max_unpool2d.default,
        aten.max_unpool3d.default,
    ):
        assert operator in translated
    assert all(not inspect.signature(f).parameters for f in translated.values())


def test_each_overload_stands_in_the_table_once() -> None:
    names = [entry[:2] for entry in table._TABLE]
    assert len(set(names)) == len(names)


def test_an_operator_that_this_pytorch_has_not_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    before = table.translation_table()
    unknown = (("upsample_from_the_future2d", "vec", lambda x: x),)
    monkeypatch.setattr(table, "_TABLE", table._TABLE + unknown)
    assert table.translation_table().keys() == before.keys()


def test_the_default_overloads_of_a_decomposed_program(translate_all: Any) -> None:
    aten = torch.ops.aten
    torch.manual_seed(0)
    inputs = [torch.randn(1, 2, 6, 10), torch.randn(1, 2, 10), torch.randn(1, 2, 3, 6, 10)]
    resize = {"Resize": 1}
    cases: list[tuple[Any, dict[str, int]]] = [
        (lambda x, y, z: aten.upsample_nearest2d.default(x, [12, 20]), resize),
        (lambda x, y, z: aten._upsample_nearest_exact2d.default(x, [9, 16], 1.5, 1.6), resize),
        (lambda x, y, z: aten.upsample_linear1d.default(y, [16], False, 1.6), resize),
        (lambda x, y, z: aten.upsample_trilinear3d.default(z, [4, 9, 16], True), resize),
        (lambda x, y, z: aten._upsample_bilinear2d_aa.default(x, [3, 5], False), resize),
        (lambda x, y, z: aten._adaptive_avg_pool2d.default(x, [3, 5]), {"AveragePool": 1}),
    ]
    results = translate_all([function for function, _ in cases], inputs)
    for number, (result, (_, nodes)) in enumerate(zip(results, cases, strict=True)):
        assert result.nodes == nodes, number
        assert result.error <= 3e-5, number  # roundings of a coordinate below 10, see interpolate


def test_a_translation_is_traced_without_a_warning(
    translate_all: Any, caplog: pytest.LogCaptureFixture
) -> None:
    translate_all([lambda x: torch.nn.functional.pixel_shuffle(x, 2)], [torch.randn(1, 4, 2, 2)])
    assert "signature" not in caplog.text

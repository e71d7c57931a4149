from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeup.export.translations.axes import Axis, float32_at_least
from edgeup.export.translations.index_map import (
    FORMS,
    TIES,
    NearestForm,
    find_resize,
    resize_map,
)
from edgeup.export.translations.nearest import torch_map

Request = tuple[NearestForm, "float | None", int]
"""Form, scale (None: by size), output length."""


def run_resizes(length: int, requests: Sequence[Request]) -> list[Any]:
    """ONNX Runtime's maps of one axis: many Resize nodes on a ramp."""
    nodes, constants, outputs = [], [], []
    for i, (form, scale, size) in enumerate(requests):
        if scale is None:
            constants.append(numpy_helper.from_array(np.array([1, 1, size], np.int64), f"c{i}"))
        else:
            constants.append(numpy_helper.from_array(np.array([1, 1, scale], np.float32), f"c{i}"))
        inputs = ["x", "", "", f"c{i}"] if scale is None else ["x", "", f"c{i}"]
        nodes.append(
            helper.make_node(
                "Resize",
                inputs,
                [f"y{i}"],
                mode="nearest",
                coordinate_transformation_mode=form.coordinates,
                nearest_mode=form.rounding,
            )
        )
        outputs.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, length])
    graph = helper.make_graph(nodes, "resizes", [x], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ramp = np.arange(length, dtype=np.float32).reshape(1, 1, length)
    return [y[0, 0].astype(np.int64) for y in session.run(None, {"x": ramp})]


@pytest.mark.parametrize("length", [2, 3, 7, 12, 20, 26, 41, 64, 225])
def test_the_formula_is_onnx_runtimes_in_one_of_its_versions(length: int) -> None:
    sizes = [n for n in range(1, 3 * length, max(1, length // 12)) if n != length]
    requests = [(f, float32_at_least(n / length), n) for f in FORMS for n in sizes]
    agree = np.array(
        [
            [np.array_equal(got, resize_map(form, length, size, scale or 0.0, tie)) for tie in TIES]
            for got, (form, scale, size) in zip(
                run_resizes(length, requests), requests, strict=True
            )
        ]
    )
    assert agree.all(axis=0).any(), f"{agree.mean(axis=0)} of the maps agree per tie rule"


def random_axes(count: int) -> list[tuple[Axis, bool]]:
    rng = random.Random(7)
    factors = [2.0, 3.0, 1.5, 0.5, 1.1, 0.7, 2.3, 1 / 3, 0.33, 3.7, 1.05, 0.25, 1 / 6]
    axes = []
    while len(axes) < count:
        length = rng.choice([rng.randint(1, 64), 224, 513, 640])
        factor = rng.choice([None, *factors])
        size = rng.randint(1, 128) if factor is None else int(length * factor)
        if size:
            axes.append((Axis(length, size, factor), rng.random() < 0.5))
    return axes


def test_a_found_resize_has_pytorchs_map_in_onnx_runtime() -> None:
    by_length: dict[int, list[tuple[Request, Any, Axis]]] = {}
    missing = {True: 0, False: 0}
    for axis, exact in random_axes(900):
        length, size = axis.static
        wanted = torch_map(axis, exact, rank=1)
        found = find_resize([wanted], [length])
        if found is None:
            missing[axis.factor is None] += not np.array_equal(wanted, np.arange(length))
            continue
        form, scales = found
        scale = None if scales is None else float32_at_least(scales[0])
        by_length.setdefault(length, []).append(((form, scale, size), wanted, axis))
    for length, cases in by_length.items():
        for got, (request, wanted, axis) in zip(
            run_resizes(length, [c[0] for c in cases]), cases, strict=True
        ):
            assert np.array_equal(got, wanted), (axis, request)
    assert missing[True] <= 2  # by size, where PyTorch's ratio is Resize's own
    assert missing[False] < 900 // 6


def test_where_the_ratio_gives_other_pixels_a_scale_beside_it_is_found() -> None:
    wanted = torch_map(Axis(2, 82, None), exact=False, rank=1)
    assert wanted[41] == 0  # in exact arithmetic pixel 1
    naive = run_resizes(2, [(FORMS[0], None, 82)])[0]
    assert not np.array_equal(naive, wanted)
    found = find_resize([wanted], [2])
    assert found is not None
    assert found[1] is not None
    assert found[1][0] == pytest.approx(41.5, rel=0.02)


@pytest.mark.parametrize("factor", [2, 3, 5, 8])
@pytest.mark.parametrize("exact", [False, True])
def test_an_integer_repeat_is_the_form_that_every_accelerator_takes(
    factor: int, exact: bool
) -> None:
    wanted = torch_map(Axis(7, 7 * factor, None), exact, rank=2)
    found = find_resize([wanted], [7])
    assert found == (NearestForm("asymmetric", "floor"), (float(factor),))


def test_no_resize_is_found_where_onnx_runtime_would_copy_or_round_elsewhere() -> None:
    moved = torch_map(Axis(3, 3, 1.1), exact=False, rank=1)
    assert not np.array_equal(moved, np.arange(3)) or find_resize([moved], [3]) is None
    assert find_resize([np.array([0, 2, 1, 1])], [3]) is None
    assert find_resize([torch_map(Axis(41, 151, 3.7), exact=False, rank=1)], [41]) is None


@pytest.mark.parametrize(("length", "factor"), [(9, 1.1), (17, 2.02), (4, 2.2)])
def test_the_2d_operator_alone_copies_and_doubles(length: int, factor: float) -> None:
    axis = Axis(length, int(length * factor), factor)
    times = int(factor)
    repeated = np.arange(length * times) // times
    assert np.array_equal(torch_map(axis, exact=False, rank=2), repeated)
    for rank in (1, 3):
        assert not np.array_equal(torch_map(axis, exact=False, rank=rank), repeated)


def test_all_axes_share_one_form() -> None:
    maps = [
        torch_map(Axis(9, 3, None), exact=True, rank=1),
        torch_map(Axis(12, 2, None), exact=True, rank=1),
    ]
    found = find_resize(maps, [9, 12])
    assert found is not None
    form, scales = found
    assert scales is not None
    for wanted, length, scale in zip(maps, (9, 12), scales, strict=True):
        got = run_resizes(length, [(form, float32_at_least(scale), len(wanted))])[0]
        assert np.array_equal(got, wanted)

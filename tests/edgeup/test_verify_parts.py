"""The parts of `edgeup verify`: matching, memory, what is kept for a diagnosis."""

import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.pipeline.verify.inputs import closed
from edgeup.pipeline.verify.matching import fed_as, in_one_type, match_outputs
from edgeup.pipeline.verify.pair import VerifyRequest, verify
from edgeup.pipeline.verify.sides import FileSide
from edgeup.pipeline.verify.tolerance import ToleranceRequest, choose_tolerances
from edgeup.runtime.saved_outputs import Origin, OutputsWriter
from edgeup.runtime.tolerances import BF16_TOLERANCE, FP16_TOLERANCE, FP32_TOLERANCE
from edgeup.spec import Array, TensorSpec


def zeros(*shape: int, dtype: str = "float32") -> Array:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("reference", "candidate", "names"),
    [
        ({"a": (1, 2), "b": (3,)}, {"b": (3,), "a": (1, 2)}, {}),
        ({"a": (1, 2), "b": (3,)}, {"x": (1, 2), "b": (3,)}, {"x": "a"}),
        ({"a": (1, 2), "b": (3,)}, {"x": (1, 2), "y": (3,)}, {"x": "a", "y": "b"}),
        ({"a": (1, 2), "b": (3,)}, {"y": (3,), "x": (1, 2)}, {}),  # the order is another too
        ({"a": (1, 2)}, {"x": (1, 2), "y": (1, 2)}, {}),
        ({"a": (1, 2), "b": (3,)}, {"a": (1, 2)}, {}),
    ],
)
def test_outputs_by_name_then_by_order_where_shapes_agree(
    reference: dict[str, tuple[int, ...]],
    candidate: dict[str, tuple[int, ...]],
    names: dict[str, str],
) -> None:
    got = {name: zeros(*shape) for name, shape in candidate.items()}
    renaming = match_outputs({name: zeros(*shape) for name, shape in reference.items()}, got)
    assert renaming.names == names
    assert len(renaming.notes) == len(names)
    assert set(renaming.apply(got)) == {names.get(name, name) for name in candidate}


def test_types_are_widened_and_never_narrowed() -> None:
    reference = {"a": zeros(2, dtype="float16"), "b": zeros(2, dtype="int64"), "c": zeros(2)}
    candidate = {"a": zeros(2), "b": zeros(2, dtype="int32"), "c": zeros(2, dtype="int32")}
    wide_r, wide_c, notes = in_one_type(reference, candidate)
    assert wide_r["a"].dtype == wide_c["a"].dtype == np.float32
    assert wide_r["b"].dtype == wide_c["b"].dtype == np.int64
    assert (wide_r["c"].dtype, wide_c["c"].dtype) == (np.float32, np.int32)
    assert notes == [
        "a is float16 in the reference and float32 in the candidate",
        "b is int64 in the reference and int32 in the candidate",
    ]


def test_inputs_are_fed_under_the_candidates_own_names() -> None:
    given = [TensorSpec("image", (1, 3, 4, 4)), TensorSpec("scale", (1,))]
    own = [TensorSpec("scale", (1,)), TensorSpec("x", (1, 3, "h", "w"), "float16")]
    convert, notes = fed_as(own, given)
    fed = convert({"image": zeros(1, 3, 4, 4) + 0.1, "scale": zeros(1)})
    assert list(fed) == ["scale", "x"]
    assert fed["x"].dtype == np.float16
    assert len(notes) == 2
    with pytest.raises(EdgeupError, match="take other inputs"):
        fed_as([TensorSpec("x", (1, 3))], given)
    with pytest.raises(EdgeupError, match="take other inputs"):
        fed_as([TensorSpec("x", (3,)), own[0]], given)


def test_sizes_come_from_the_shape_then_from_the_other_side() -> None:
    specs = [TensorSpec("image", ("n", 3, "h", "w")), TensorSpec("scale", ("n",))]
    other = [TensorSpec("x", (1, 3, 8, 8)), TensorSpec("y", ("k",))]
    shapes = [TensorSpec("image", (2, 3, 16, 8))]
    assert [spec.shape for spec in closed(specs, (), other)] == [(1, 3, 8, 8), ("k",)]
    assert [spec.shape for spec in closed(specs, shapes, other)] == [(2, 3, 16, 8), ("k",)]
    unnamed = [TensorSpec("", (2, 3, 16, 8)), TensorSpec("", (2,))]
    assert [spec.shape for spec in closed(specs, unnamed, None)] == [(2, 3, 16, 8), (2,)]
    with pytest.raises(EdgeupError, match="which input is it for"):
        closed(specs, [TensorSpec("", (1, 3, 8, 8))], None)
    with pytest.raises(EdgeupError, match="does not fit"):
        closed(specs, [TensorSpec("image", (1, 4, 8, 8))], None)


def test_the_coarser_side_decides_the_tolerance() -> None:
    def chosen(*precisions: str, **said: dict[str, float]) -> object:
        return choose_tolerances(ToleranceRequest(**said), ["a"], precisions)["a"]

    assert chosen("fp32", "fp32") == FP32_TOLERANCE
    assert chosen("fp16", "fp32") == FP16_TOLERANCE
    assert chosen("fp16", "bf16") == BF16_TOLERANCE
    with pytest.raises(EdgeupError, match="how far int8 may be"):
        chosen("fp32", "int8")
    with pytest.raises(EdgeupError, match="how far int8 may be"):
        choose_tolerances(ToleranceRequest(rtol={"b": 1.0}), ["a", "b"], ["int8"])
    said = choose_tolerances(ToleranceRequest(rtol={"b": 0.5, "": 0.1}), ["a", "b"], ["int8"])
    assert {name: (one.rtol, one.atol) for name, one in said.items()} == {
        "a": (0.1, 0.0),
        "b": (0.5, 0.0),
    }


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    paths = tmp_path / "reference.npz", tmp_path / "candidate.npz"
    with ExitStack() as stack:
        writers = [
            stack.enter_context(OutputsWriter(stack.enter_context(path.open("wb")), Origin()))
            for path in paths
        ]
        for number in range(24):
            depth = rng.uniform(1, 2, (1, 1, 128, 256)).astype(np.float32)
            writers[0].add(f"{number:02}", {}, {"depth": depth})
            writers[1].add(f"{number:02}", {}, {"depth": depth + rng.normal(0, 1e-7, depth.shape)})
    return paths


def test_memory_does_not_grow_with_the_number_of_cases(
    saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeup.pipeline.verify.diagnosis.MOST_CASES", 1)
    sides = FileSide(saved[0]), FileSide(saved[1])
    request = VerifyRequest(*sides, "edgeup verify", save_outputs=tmp_path / "out")
    seen: list[int] = []

    def stage(words: str) -> None:
        if words.startswith("comparing"):
            seen.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        with ExitStack() as stack:
            done = verify(request, stage, stack)
    finally:
        tracemalloc.stop()
    assert done.report["passed"]
    assert len(done.report["parity"][0]["cases"]) == len(seen) == 24
    one_case = 128 * 256 * (4 + 8)
    # From the third case on nothing stays but the figures of each case.
    assert seen[-1] - seen[3] < one_case / 2

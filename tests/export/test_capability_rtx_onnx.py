"""ONNX's own operator tests: all that upsample or pool, and a sample of the others.

``tools/score_check.py`` asks all of them.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeup.runtime.nvidia_parser import nvidia_packages

SAMPLE = 200
MOST_MISTAKES = 2
"""Of 200: the aims are a recall and a precision of 0.98 among about as many refused as not."""


@pytest.fixture(scope="module")
def score() -> ModuleType:
    """The tool, imported from its file."""
    path = Path(__file__).parents[2] / "tools" / "score_check.py"
    spec = importlib.util.spec_from_file_location("score_check", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_check"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judged(score: ModuleType) -> list[Any]:
    """Both verdicts on the upsampling tests and on a sample of the others."""
    if "tensorrt_rtx" not in nvidia_packages():
        pytest.skip("tensorrt-rtx-cu12 is not installed")
    tests = list(score.frozen_tests())
    assert len(tests) >= 1450, "onnx 1.18 has 1,450"
    upsampling = [test for test in tests if score.is_upsampling(test.name)]
    others = [test for test in tests if not score.is_upsampling(test.name)]
    chosen = upsampling + random.Random(5).sample(others, SAMPLE)
    found: list[Any] = score.judge(chosen)
    return found


def test_upsampling_and_pooling_without_a_mistake(judged: list[Any], score: ModuleType) -> None:
    tests = [test for test in judged if score.is_upsampling(test.name)]
    assert len(tests) >= 96
    assert {test.nvidia.accepted for test in tests} == {True, False}
    assert [test.name for test in tests if test.foretold != test.nvidia.accepted] == []


def test_a_sample_of_all_operators(judged: list[Any], score: ModuleType) -> None:
    tests = [test for test in judged if not score.is_upsampling(test.name)]
    assert {test.nvidia.accepted for test in tests} == {True, False}
    wrong = [test.name for test in tests if test.foretold != test.nvidia.accepted]
    assert len(wrong) <= MOST_MISTAKES, wrong


def test_halves_are_halves_and_stay_so(score: ModuleType) -> None:
    names = [f"relu_{number}" for number in range(1000)]
    first = [name for name in names if score.half_of(name) == "a"]
    assert 400 < len(first) < 600
    stay = {"relu": "a", "add": "b", "conv": "a", "abs": "a"}
    assert {name: score.half_of(name) for name in stay} == stay


def test_recall_and_precision_of_known_counts(
    score: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = score.NvidiaVerdict
    yes, no = (verdict(accepted, "build", (), "tensorrt_rtx", "1") for accepted in (True, False))
    judged = [
        *(score.Judged(f"hit{i}", "Det", False, (), no) for i in range(6)),
        *(score.Judged(f"missed{i}", "Det", True, (), no) for i in range(2)),
        score.Judged("alarm", "Relu", False, (), yes),
        score.Judged("passed", "Relu", True, (), yes),
    ]
    score.print_matrix("all", judged)
    score.print_mistakes(judged, in_full=False)
    out = capsys.readouterr().out
    assert "recall of refused 0.7500, precision 0.8571" in out
    assert "missed   2  Det" in out
    assert "false alarm   1  Relu" in out

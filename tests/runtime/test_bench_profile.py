"""The statistics of tools/bench_profile.py, on made-up times."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "bench_profile.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_profile", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def loads(bench, ratio, *, noise=0.0, seed=0, disturbed=0):
    """Both sides drift alike in a turn; some loads come out three times too slow on one side."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(bench.LOADS):
        both = 5.0 * random.lognormal(0.0, 0.3, size=20)
        sides = [both * scale * random.lognormal(0.0, noise, size=20) for scale in (ratio, 1.0)]
        made.append((sides[0] * (3.0 if number < disturbed else 1.0), sides[1]))
    return made


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.25])
def test_a_ratio_without_noise_comes_out(bench, ratio):
    found = bench.paired_ratio(loads(bench, ratio))
    assert (found.middle, found.low, found.high) == pytest.approx((ratio,) * 3)


def test_the_interval_holds_the_ratio(bench):
    held = 0
    for seed in range(20):
        found = bench.paired_ratio(loads(bench, 1.01, noise=0.02, seed=seed))
        assert found.low < found.high
        held += found.low <= 1.01 <= found.high
    assert held >= 16


def test_disturbed_loads_do_not_move_the_ratio(bench):
    found = bench.paired_ratio(loads(bench, 1.0, noise=0.005, disturbed=3))
    assert found.middle == pytest.approx(1.0, abs=0.02)


def test_the_verdict(bench):
    ratio = bench.Ratio
    assert ratio(1.01, 0.99, 1.02).verdict(0.03) == "yes, surely"
    assert ratio(1.01, 0.95, 1.02).verdict(0.03) == "yes, its interval not"
    assert ratio(1.04, 0.99, 1.09).verdict(0.03) == "no"
    assert ratio(0.96, 0.95, 0.99).verdict(0.03) == "no"
    assert str(ratio(1.0, 0.5, 2.0)) == "1.000 (0.500 to 2.000)"


def test_the_sides_take_turns_and_change_who_begins(bench):
    calls = []

    def side(name, ms):
        def run():
            calls.append(name)
            return np.full(bench.TURN, ms)

        return run

    ours, theirs = bench.in_turns(side("a", 2.0), side("b", 1.0), seconds=0.0)
    assert len(ours) == len(theirs) == bench.LEAST_TURNS
    assert set(ours / theirs) == {2.0}
    assert "".join(calls[2:]) == "baab" * (bench.LEAST_TURNS // 2)


@pytest.mark.parametrize(("ratio", "status"), [(1.0, 0), (1.1, 1)])
def test_the_exit_status(bench, monkeypatch, capsys, ratio, status):
    given = loads(bench, ratio)
    monkeypatch.setattr(sys, "argv", ["bench_profile.py", "--seconds", "0"])
    monkeypatch.setattr(bench.subprocess, "run", lambda *command, **options: None)
    monkeypatch.setattr(bench, "compare", lambda path, seconds, edgeup_first: given[0])
    monkeypatch.setattr(bench, "against_itself", lambda path, seconds: given[1])
    assert bench.main() == status
    said = capsys.readouterr().out
    assert said.count("within 3 %: ") == 3
    assert ("within 3 %: no" in said) == bool(status)

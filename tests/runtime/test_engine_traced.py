"""Engines timed by parts, on the simulated TensorRT and CUDA: a copy takes 0.1 ms there."""

from __future__ import annotations

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.engine.session import TensorRTSession
from edgeup.runtime.engine.traced import TracedRuns
from edgeup.runtime.timer import Budget, measure_runs
from edgeup.runtime.traces import part_times

LIMITS = {"x": [[1, 2, 4, 4], [1, 2, 8, 8], [2, 2, 16, 16]]}


@pytest.fixture
def feeds():
    return {"x": np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)}


class Clock:
    """Every look is a microsecond later."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 1000
        return self.now


@pytest.mark.parametrize("release", ["8.0.1", "8.6.1", "10.3.0", "11.0"])
@pytest.mark.parametrize("cuda", ["pycuda", "cuda-bindings 13.5.0"])
def test_copies_and_network_are_told_apart(simulate, conv_model, feeds, release, cuda):
    sim = simulate(release, cuda=(cuda,))
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        traced = TracedRuns([session], feeds, transfers=True, clock=Clock())
        for _ in range(3):
            traced()
    assert len(traced.traces) == 3
    assert part_times(traced.traces, "h2d") == pytest.approx([0.1] * 3)
    assert part_times(traced.traces, "compute") == pytest.approx([1.0] * 3)
    assert part_times(traced.traces, "d2h") == pytest.approx([0.1] * 3)
    assert part_times(traced.traces, "enqueue") == pytest.approx([0.001] * 3)
    assert [trace.latency for trace in traced.traces] == pytest.approx([1.2] * 3)
    assert traced.traces[1].h2d[0] == pytest.approx(traced.traces[0].d2h[1])


def test_without_transfers_nothing_is_copied(simulate, conv_model, feeds):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        traced = TracedRuns([session], feeds, transfers=False)
        before = sim.gpu.calls.count("copy_in")
        traced()
        assert sim.gpu.calls.count("copy_in") == before == 1  # that of binding
        assert "copy_out" not in sim.gpu.calls
    (trace,) = traced.traces
    assert trace.latency == pytest.approx(1.0)
    assert trace.h2d[0] == trace.h2d[1]
    assert trace.d2h[0] == trace.d2h[1]


def test_streams_are_all_submitted_before_any_is_waited_for(simulate, conv_model, feeds):
    sim = simulate()
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine) as first, TensorRTSession(engine) as second:
        traced = TracedRuns([first, second], feeds, transfers=True)
        start = len(sim.gpu.calls)
        traced()
        order = [call for call in sim.gpu.calls[start:] if call in ("enqueue", "synchronize")]
        assert order == ["enqueue", "enqueue", "synchronize", "synchronize"]
    assert len(traced.traces) == 2


def test_a_cuda_graph_is_captured_before_and_launched_when_timed(simulate, conv_model, feeds):
    sim = simulate(cuda=("cuda-bindings 13.5.0",))
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine, options=RunOptions(cuda_graph=True)) as session:
        traced = TracedRuns([session], feeds, transfers=True)
        traced()
        traced.begin()
        calls = len(sim.gpu.calls)
        traced()
        assert sim.gpu.calls[calls:].count("launch") == 1
        assert "enqueue" not in sim.gpu.calls[calls:]
    assert traced.traces[0].latency == pytest.approx(1.2)


def test_times_count_from_begin_which_forgets_the_warm_up(simulate, conv_model, feeds):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        traced = TracedRuns([session], feeds, transfers=True)
        budget = Budget(
            *(0.0, 4, 0.0), duration_s=0, min_rounds=3, max_rounds=3
        )  # four runs of warm-up
        measured = measure_runs({"e": traced}, budget, begin=traced.begin)
    assert measured.warmup.rounds == 4
    assert measured.times["e"].size == len(traced.traces) == 3
    assert traced.traces[0].h2d[0] == pytest.approx(0.0)


def test_other_inputs_end_a_bound_run(simulate, conv_model, feeds):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        traced = TracedRuns([session], feeds, transfers=True)
        session.run({"x": feeds["x"] + 1})
        with pytest.raises(EdgeupError, match="bind again"):
            traced()


def test_an_error_of_cuda_ends_the_session_and_gives_all_back(simulate, conv_model, feeds):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        traced = TracedRuns([session], feeds, transfers=True)
        sim.gpu.refuse("synchronize", words="unspecified launch failure")
        with pytest.raises(EdgeupError, match="unspecified launch failure"):
            traced()
        with pytest.raises(EdgeupError, match="was closed"):
            traced()

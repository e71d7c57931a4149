"""What trtexec would write, held against what it wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgeup.runtime.engine.trtexec_exports import parse_profile, parse_times
from edgeup.runtime.engine.trtexec_write import profile_json, times_json
from edgeup.runtime.traces import PARTS, Trace, part_times, traces_of_runs

SAMPLES = Path(__file__).parent / "data" / "trtexec"


def recorded(name):
    """The traces that a file of trtexec holds."""
    return [
        Trace(
            *(
                (entry[f"start{word}Ms"], entry[f"end{word}Ms"])
                for word in ("Enq", "H2d", "Compute", "D2h")
            )
        )
        for entry in json.loads((SAMPLES / name).read_text())
    ]


def test_times_come_out_as_trtexec_writes_them():
    wanted = (SAMPLES / "times_8.4.json").read_text()
    written = times_json(recorded("times_8.4.json"))
    assert len(written.splitlines()) == len(wanted.splitlines())
    shape = re.compile(r"[\d.e+-]+")  # durations are differences of rounded numbers there
    assert shape.sub("#", written).split() == shape.sub("#", wanted).split()
    for ours, theirs in zip(json.loads(written), json.loads(wanted), strict=True):
        assert list(ours) == list(theirs)
        assert ours == pytest.approx(theirs, abs=2e-5)


def test_what_is_written_can_be_read_again():
    trace = Trace((0.5, 0.6), (0.25, 0.5), (0.5, 2.5), (2.5, 2.75))
    (query,) = parse_times(times_json([trace]))
    assert (query.h2d, query.compute, query.d2h) == (0.25, 2.0, 0.25)
    assert query.latency == trace.latency == 2.5
    assert query.enqueue == pytest.approx(0.1)


def test_a_profile_comes_out_as_trtexec_writes_it():
    wanted = (SAMPLES / "profile_8.4.json").read_text()
    layers = {'a "quoted" \\ name\x1f': np.array([1.0, 3.0]), "b": np.array([4.0, 8.0])}
    written = profile_json(layers)
    ours, theirs = json.loads(written), json.loads(wanted)
    assert ours[0] == {"count": 2}
    assert list(ours[0]) == list(theirs[0])
    assert list(ours[1]) == list(theirs[1])
    line = re.compile(r"^(\[|\]|  \{ .* \}|, \{ .* \}|)$")
    assert all(line.match(one) for text in (written, wanted) for one in text.splitlines())
    assert ours[1] == {
        "name": 'a "quoted" \\ name\x1f',
        "timeMs": 4,
        "averageMs": 2,
        "medianMs": 3,
        "percentage": 25,
    }
    found = parse_profile(written)
    assert found.iterations == 2
    assert [one.average for one in found.layers] == [2.0, 6.0]
    assert [entry["percentage"] for entry in ours[1:]] == [25, 75]


def test_no_layers_and_no_times_are_lists_too():
    assert json.loads(profile_json({})) == [{"count": 0}]
    assert json.loads(times_json([])) == []


def test_latency_is_the_sum_of_copies_and_network():
    trace = Trace((0, 0.1), (0, 1), (1.5, 4), (4, 4.25))
    assert trace.latency == 1 + 2.5 + 0.25
    assert {part: part_times([trace], part)[0] for part in PARTS} == {
        "h2d": 1,
        "compute": 2.5,
        "d2h": 0.25,
        "enqueue": pytest.approx(0.1),
    }


def test_a_run_on_the_host_is_all_network():
    first, second = traces_of_runs(np.array([0.0, 10.0]), np.array([5.0, 6.0]))
    assert (first.latency, second.latency) == (5.0, 6.0)
    assert second.compute == (10.0, 16.0)
    assert second.h2d == (10.0, 10.0)
    assert second.d2h == (16.0, 16.0)

"""edgeup's median against the method of ONNX Runtime's own perf test, on three models.

    python tools/bench_profile.py [--seconds 10]

The method is onnxruntime_perf_test's (onnxruntime/test/perftest/performance_runner.cc): one
session, inputs made once, ``Run`` called in sequence on one thread, each call timed. Each has a
session and a loop of its own; they take turns every five runs, so that other load meets both, and
are loaded anew six times, as ``profile --vs`` does. Beside it a model against itself, in the same
way. Last, what edgeup says of an empty model: its own overhead.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edgeup.pipeline.profile.request import ProfileRequest
from edgeup.pipeline.profile.subject import open_subject
from edgeup.runtime.latency import LOADS, Ratio, ratio_of_loads
from edgeup.runtime.overhead import empty_model_ms
from edgeup.runtime.timer import Budget, Times, measure
from edgeup.spec import Feeds

MODELS = {
    "fastdepth nnconv5": ("--decoder", "nnconv5", "--shape", "1x3x64x64"),
    "fastdepth deconv5dw": ("--decoder", "deconv5dw", "--shape", "1x3x128x128"),
    "dcgan": ("--model", "dcgan"),
}
TURN = 5
LEAST_TURNS = 5


def main() -> None:
    """Export the models, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each comparison")
    seconds = parser.parse_args().seconds
    print(f"onnxruntime {ort.__version__}, one thread, turns of {TURN} runs")
    print(f"{'model':20} {'edgeup':>10} {'perf test':>10}  {'ratio':24} itself, loaded twice")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in MODELS.items():
            path = Path(folder) / name.replace(" ", "-") / "model.onnx"
            command = ["edgeup", "export", *options, "-o", str(path.parent)]
            subprocess.run(command, check=True, capture_output=True)
            loads = [compare(path, seconds / LOADS) for _ in range(LOADS)]
            twice = [two_loads(path, seconds / LOADS) for _ in range(LOADS)]
            ours, theirs = (np.concatenate(side) for side in zip(*loads, strict=True))
            print(
                f"{name:20} {np.median(ours):7.3f} ms {np.median(theirs):7.3f} ms  "
                f"{text(ratio_of_loads(loads)):24} {text(ratio_of_loads(twice))}",
                flush=True,
            )
    print(f"an empty model: {empty_model_ms() * 1e3:.1f} us")


def text(found: Ratio) -> str:
    """With its interval."""
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


def compare(path: Path, seconds: float) -> tuple[Times, Times]:
    """Medians of each turn: edgeup's, and the perf test's."""
    request = ProfileRequest(path, threads=1)
    turn = Budget(warmup_s=0, warmup_limit_s=0, duration_s=0, min_rounds=TURN, max_rounds=TURN)
    with ExitStack() as stack:
        subject = open_subject(path, request, alone=True, stack=stack)
        perf_test = perf_tester(path, subject.feeds)
        ours: list[float] = []
        theirs: list[float] = []
        sides: list[tuple[list[float], Callable[[], Times]]] = [
            (ours, lambda: measure({"model": subject.work}, turn)["model"]),
            (theirs, perf_test),
        ]
        measure({"model": subject.work}, Budget(warmup_limit_s=0.5, duration_s=0))
        perf_test()
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(ours) < LEAST_TURNS:
            for medians, run in sides if len(ours) % 2 else reversed(sides):
                medians.append(float(np.median(run())))
    return np.array(ours), np.array(theirs)


def perf_tester(path: Path, feeds: Feeds) -> Callable[[], Times]:
    """A turn of the perf test's loop, in milliseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = dict(feeds)

    def run() -> Times:
        times = []
        for _ in range(TURN):
            start = time.perf_counter_ns()
            session.run(None, inputs)
            times.append(time.perf_counter_ns() - start)
        return np.array(times) * 1e-6

    return run


def two_loads(path: Path, seconds: float) -> tuple[Times, Times]:
    """A model against itself."""
    with ExitStack() as stack:
        request = ProfileRequest(path, threads=1)
        works = {name: open_subject(path, request, alone=False, stack=stack).work for name in "ab"}
        times = measure(works, Budget(warmup_s=0.05, warmup_limit_s=0.05, duration_s=seconds))
    return times["a"], times["b"]


if __name__ == "__main__":
    main()

"""edgeup's median against the method of ONNX Runtime's own perf test, on three models.

    python tools/bench_profile.py [--seconds 20] [--within 3]

The method is onnxruntime_perf_test's (onnxruntime/test/perftest/performance_runner.cc): one
session, inputs made once, ``Run`` called in sequence on one thread, each call timed. Each has a
session and a loop of its own; they take turns every five runs, so that other load meets both, and
both are loaded anew twelve times, now one first and now the other: where a session's memory lies
moves its times for as long as it is loaded.

The ratio is that of the medians over turns, and of it the median over loads; its 95 % interval is
a paired bootstrap, of loads and of turns within them. Beside it a model against itself, in the
same way: what noise there is. ``yes`` where the ratio is within 3 % of 1, and whether all of the
interval is. The exit status is 1 where one is not. Last, what edgeup says of an empty model: its
own overhead.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edgeup.pipeline.profile.request import ProfileRequest
from edgeup.pipeline.profile.subject import Subject, open_subject
from edgeup.runtime.overhead import empty_model_ms
from edgeup.runtime.timer import Budget, Times, measure
from edgeup.spec import Feeds

MODELS = {
    "fastdepth nnconv5": ("--decoder", "nnconv5", "--shape", "1x3x64x64"),
    "fastdepth deconv5dw": ("--decoder", "deconv5dw", "--shape", "1x3x128x128"),
    "dcgan": ("--model", "dcgan"),
}
LOADS = 12
TURN = 5
LEAST_TURNS = 6
RESAMPLES = 1000

Turn = Callable[[], Times]
Load = tuple[Times, Times]
"""The medians of each turn of two sides, in milliseconds."""


@dataclass(frozen=True)
class Ratio:
    """How long the first side takes in units of the second, and where that lies with 95 %."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        """With its interval."""
        return f"{self.middle:.3f} ({self.low:.3f} to {self.high:.3f})"

    def verdict(self, within: float) -> str:
        """Whether it is within a share of 1; "yes, surely" where all of the interval is."""
        least, most = 1 - within, 1 + within
        if not least <= self.middle <= most:
            return "no"
        surely = least <= self.low and self.high <= most
        return "yes, surely" if surely else "yes, its interval not"


def main() -> int:
    """Export the models, compare, print; 1 where one is too far off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each comparison")
    parser.add_argument("--within", type=float, default=3.0, metavar="PERCENT")
    arguments = parser.parse_args()
    seconds, within = arguments.seconds / LOADS, arguments.within / 100
    print(f"onnxruntime {ort.__version__}, one thread, {LOADS} loads, turns of {TURN} runs")
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in export_models(Path(folder)).items():
            loads = [compare(path, seconds, edgeup_first=bool(n % 2)) for n in range(LOADS)]
            twice = [against_itself(path, seconds) for _ in range(LOADS)]
            ours, theirs = (np.median(np.concatenate(side)) for side in zip(*loads, strict=True))
            ratio = paired_ratio(loads)
            verdicts.append(ratio.verdict(within))
            print(f"{name}: edgeup {ours:.3f} ms, perf test {theirs:.3f} ms")
            print(f"  ratio {ratio}; a model against itself {paired_ratio(twice)}")
            print(f"  within {arguments.within:g} %: {verdicts[-1]}", flush=True)
    print(f"an empty model: {empty_model_ms() * 1e3:.1f} us")
    return int("no" in verdicts)


def export_models(folder: Path) -> dict[str, Path]:
    """All of them first: what fails, fails before anything is timed."""
    paths = {}
    for name, options in MODELS.items():
        paths[name] = folder / name.replace(" ", "-") / "model.onnx"
        command = ["edgeup", "export", *options, "-o", str(paths[name].parent)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return paths


def paired_ratio(loads: Sequence[Load], *, seed: int = 0) -> Ratio:
    """The ratio of medians over turns, of it the median over loads, with its interval."""
    random = np.random.default_rng(seed)
    within = np.array([_drawn_again(load, random) for load in loads])
    size = (RESAMPLES, len(loads))
    chosen = within[random.integers(len(loads), size=size), random.integers(RESAMPLES, size=size)]
    again = np.median(chosen, axis=1)
    low, high = np.percentile(again, [2.5, 97.5])
    middle = np.median([_of_medians(load) for load in loads])
    return Ratio(float(middle), float(low), float(high))


def _drawn_again(load: Load, random: np.random.Generator) -> Times:
    """Ratios of medians over turns that are drawn anew, the same ones of both sides."""
    turns = random.integers(load[0].size, size=(RESAMPLES, load[0].size))
    ratios: Times = np.median(load[0][turns], axis=1) / np.median(load[1][turns], axis=1)
    return ratios


def _of_medians(load: Load) -> float:
    return float(np.median(load[0]) / np.median(load[1]))


def compare(path: Path, seconds: float, *, edgeup_first: bool) -> Load:
    """edgeup's turns and the perf test's, both loaded anew."""
    with ExitStack() as stack:
        if edgeup_first:
            subject = opened(path, stack)
            perf_test = perf_tester(path, subject.feeds)
        else:
            perf_test = perf_tester(path, feeds_of(path))
            subject = opened(path, stack)
        return in_turns(edgeup_timer(subject), perf_test, seconds)


def against_itself(path: Path, seconds: float) -> Load:
    """Two perf tests of one model."""
    feeds = feeds_of(path)
    return in_turns(perf_tester(path, feeds), perf_tester(path, feeds), seconds)


def opened(path: Path, stack: ExitStack) -> Subject:
    """As `edgeup profile` loads it."""
    return open_subject(path, ProfileRequest(path, threads=1), alone=True, stack=stack)


def feeds_of(path: Path) -> Feeds:
    """What edgeup feeds it."""
    with ExitStack() as stack:
        return opened(path, stack).feeds


def in_turns(one: Turn, other: Turn, seconds: float) -> Load:
    """Medians of turns; who begins changes with each pair."""
    gc.collect()
    gc.freeze()  # edgeup's timer collects before it begins: once in a profile, here at every turn
    one(), other()  # warm
    end = time.monotonic() + seconds
    medians: tuple[list[float], list[float]] = ([], [])
    while time.monotonic() < end or len(medians[0]) < LEAST_TURNS:
        sides = ((0, one), (1, other))
        for side, run in sides if len(medians[0]) % 2 else sides[::-1]:
            medians[side].append(float(np.median(run())))
    return np.array(medians[0]), np.array(medians[1])


def edgeup_timer(subject: Subject) -> Turn:
    """A turn of edgeup's timer."""
    turn = Budget(warmup_s=0, warmup_limit_s=0, duration_s=0, min_rounds=TURN, max_rounds=TURN)
    return lambda: measure({"model": subject.work}, turn)["model"]


def perf_tester(path: Path, feeds: Feeds) -> Turn:
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


if __name__ == "__main__":
    sys.exit(main())

"""When the parts of an inference began and ended, in trtexec's terms.

``h2d`` copies the inputs to the device, ``compute`` is the network, ``d2h`` copies the outputs
back; **latency is the three together**. ``enqueue`` is the host's time to hand the network over,
and lies outside them (TensorRT's samples/common/sampleReporting.cpp, the same from 8.0 to 11.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeup.runtime.statistics import Sample

Span = tuple[float, float]
"""Start and end, in milliseconds since the measurement began."""

PARTS = ("h2d", "compute", "d2h", "enqueue")


@dataclass(frozen=True)
class Trace:
    """One inference."""

    enqueue: Span
    h2d: Span
    compute: Span
    d2h: Span

    @property
    def end(self) -> float:
        """When all of it was over."""
        return max(end for _, end in (self.enqueue, self.h2d, self.compute, self.d2h))

    def later(self, ms: float) -> Trace:
        """The same, so many milliseconds later."""
        return Trace(
            *(
                (start + ms, end + ms)
                for start, end in (self.enqueue, self.h2d, self.compute, self.d2h)
            )
        )

    @property
    def latency(self) -> float:
        """Milliseconds of copies and network."""
        return sum(end - start for start, end in (self.h2d, self.compute, self.d2h))


def part_times(traces: Sequence[Trace], part: str) -> Sample:
    """Milliseconds of one of `PARTS`, by inference."""
    return np.array([end - start for start, end in (getattr(trace, part) for trace in traces)])


def traces_of_runs(starts: Sample, times: Sample) -> tuple[Trace, ...]:
    """Runs on a host: nothing is copied, and the caller waits for the network.

    As trtexec notes them with ``--noDataTransfers``: the copies take no time where the network
    begins and ends.
    """
    found = []
    for start, ms in zip(starts.tolist(), times.tolist(), strict=True):
        end = start + ms
        found.append(Trace((start, end), (start, start), (start, end), (end, end)))
    return tuple(found)

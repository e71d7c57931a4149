"""Engines timed as trtexec times them: events around each copy and around the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgeup.runtime.engine.device_memory import DeviceMemory, of_all
from edgeup.runtime.engine.session import BoundEngineRun, TensorRTSession
from edgeup.runtime.traces import Trace
from edgeup.spec import Feeds

Clock = Callable[[], int]


class TracedRuns:
    """Runs one engine on several streams at once, and notes when each part began and ended.

    A call is one inference on every stream, submitted before any is waited for.

    Args:
        sessions: of one engine; each has a stream and a context of its own.
        feeds: what all of them get.
        transfers: copy inputs and outputs too, as an application must.
        clock: of the host, in nanoseconds.

    Raises:
        EdgeupError: an input is missing, unknown, of another dtype or shape.
    """

    def __init__(
        self,
        sessions: Sequence[TensorRTSession],
        feeds: Feeds,
        *,
        transfers: bool,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._sessions = tuple(sessions)
        self._bound: list[BoundEngineRun] = [session.bind(feeds) for session in sessions]
        self._transfers = transfers
        self._clock = clock
        self.traces: list[Trace] = []
        self.begin()

    def begin(self) -> None:
        """Count times from here on, and forget what was noted."""
        for bound in self._bound:
            bound.begin_trace()
        self._origin = self._clock()
        self.traces = []

    def device_memory(self) -> DeviceMemory:
        """What the engine takes of the GPU's memory, on all streams; best asked after a run."""
        return of_all([session.device_memory() for session in self._sessions])

    def __call__(self) -> None:
        """Run once on every stream, to the end."""
        enqueued = []
        for bound in self._bound:
            start, end = bound.submit(self._clock, transfers=self._transfers)
            enqueued.append(((start - self._origin) * 1e-6, (end - self._origin) * 1e-6))
        for bound, enqueue in zip(self._bound, enqueued, strict=True):
            h2d, compute, d2h = bound.finish()
            self.traces.append(Trace(enqueue, h2d, compute, d2h))

"""A function that is called again and again beside the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Repeater:
    """Calls ``work`` every ``interval_s`` seconds from `start` to `stop`, in a thread.

    ``work`` must not raise. A call that takes longer than the interval delays the next, and none
    is made up for.
    """

    def __init__(self, name: str, interval_s: float, work: Callable[[], None]) -> None:
        self._interval_s = interval_s
        self._work = work
        self._ended = threading.Event()
        # A daemon: should the main thread die without `stop`, this one does not hold the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Make the first call soon."""
        self._thread.start()

    def stop(self) -> None:
        """Let the last call finish."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._ended.wait(max(0.0, due - time.perf_counter())):
            self._work()
            due = max(due + self._interval_s, time.perf_counter())

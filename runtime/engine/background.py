"""Work in native code that Ctrl-C ends at once."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.05
_PATIENCE_S = 10.0


@dataclass
class Cancel:
    """A wish to stop, and whether the work looks at it."""

    asked: threading.Event = field(default_factory=threading.Event)
    heeded: bool = False


def interruptible(work: Callable[[], T], cancel: Cancel) -> T:
    """Run ``work`` on another thread and return what it returns.

    Python answers Ctrl-C only between steps of its main thread, and TensorRT's builder is one
    step of minutes; here the main thread just waits. On Ctrl-C ``cancel`` is asked for. Work
    that heeds it is waited for; other work is left behind, and the process ends without it.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        BaseException: whatever ``work`` raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    # Not Thread.join: interrupted, it takes a running thread for ended (CPython 3.11).
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="edgeup-builder", daemon=True).start()
        while not done.wait(_POLL_S):
            pass
    except KeyboardInterrupt:
        cancel.asked.set()
        if not done.wait(_PATIENCE_S if cancel.heeded else 0):
            # Native code that calls back into an interpreter that ends aborts the process.
            atexit.register(_end_without, done)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _end_without(done: threading.Event) -> None:
    """End the process as an interrupted request ends (status 2) if the work still runs."""
    if not done.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)

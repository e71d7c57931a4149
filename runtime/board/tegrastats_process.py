"""tegrastats as a child process whose lines become samples of power."""

from __future__ import annotations

import subprocess
import threading
import time

from edgeup.errors import EdgeupError
from edgeup.runtime.board.power import PowerSample
from edgeup.runtime.board.tegrastats import parse_tegrastats

_LONGEST = 16_384
_PATIENCE_S = 2.0


class TegrastatsProcess:
    """Runs tegrastats from `start` to `stop`, and collects what it says in ``samples``.

    Only this child is ever ended: ``tegrastats --stop`` would end another user's too. Should this
    process die first, the child ends at its next line, since nobody reads it.
    """

    name = "tegrastats"
    stopped: str | None = None
    sensor_interval_ms: float | None = None

    def __init__(self, program: str, interval_ms: int) -> None:
        self.samples: list[PowerSample] = []
        self._command = [program, "--interval", str(interval_ms)]
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._read, name="tegrastats", daemon=True)

    def start(self) -> str | None:
        """Start it; or return why it does not."""
        try:
            self._child = subprocess.Popen(  # noqa: S603 - found on the PATH, no shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            return f"{self._command[0]} does not start: {error.strerror or error}"
        self._thread.start()
        return None

    def stop(self) -> None:
        """End the child and the thread that reads it; harmless when there is none."""
        child = self._child
        if child is None:
            return
        if (status := child.poll()) is not None:
            self.stopped = f"tegrastats ended by itself with status {status}"
        try:
            child.terminate()
            child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            pass  # it is killed below
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            self._child = None
        self._thread.join(_PATIENCE_S)
        if child.stdout is not None and not self._thread.is_alive():
            child.stdout.close()

    def _read(self) -> None:
        child = self._child
        if child is None or child.stdout is None:
            return
        while line := child.stdout.readline(_LONGEST):
            at_s = time.perf_counter()
            try:
                read = parse_tegrastats(line.decode("utf-8", errors="replace"))
            except EdgeupError:
                continue  # a half line at the end, or a message; what is missing is counted later
            if read.rails:
                self.samples.append(PowerSample(at_s, read.rails))

"""What the tuner measured, in a file: a second run on the same machine measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError
from edgeup.export.passes.tuned import Verdict
from edgeup.files import write_all

_FORMAT = 1


@dataclass(frozen=True)
class Machine:
    """Where a measurement was made; one from elsewhere says nothing here."""

    backend: str
    version: str
    device: str
    threads: int

    def __str__(self) -> str:
        return f"{self.backend} {self.version} | {self.device} | {self.threads} threads"


def this_machine(threads: int | None) -> Machine:
    """ONNX Runtime on this CPU."""
    import onnxruntime

    from edgeup.runtime.cpu import cpu_model, cpu_threads
    from edgeup.runtime.latency import ONNX_RUNTIME_CPU

    count = cpu_threads() if threads is None else threads
    return Machine(ONNX_RUNTIME_CPU, onnxruntime.__version__, f"CPU: {cpu_model()}", count)


class TuningCache:
    """Verdicts of one machine; a `Memory` of `tuned_choice`.

    Each verdict is written when it is there, so that Ctrl-C loses none. A file that cannot be
    read is left out of account and replaced; one that cannot be written costs a notice.

    Args:
        folder: where the file lies, made when there is something to write; None keeps nothing.
        machine: whose verdicts are wanted; those of others stay in the file.
        notice: called with one line when the file is of no use.
    """

    def __init__(
        self, folder: Path | None, machine: Machine, notice: Callable[[str], None]
    ) -> None:
        self.path = None if folder is None else folder / "tuning.json"
        self._machine = str(machine)
        self._notice = notice
        self._found = {} if self.path is None else _read(self.path, notice)
        self._mine = dict(self._found.get(self._machine, {}))
        self.hits: set[str] = set()
        self.measured: set[str] = set()

    def get(self, key: str) -> Verdict | None:
        """The verdict on a site, where there is one."""
        verdict = self._mine.get(key)
        if verdict is not None and key not in self.measured:
            self.hits.add(key)
        return verdict

    def put(self, key: str, verdict: Verdict) -> None:
        """Remember a verdict, here and in the file."""
        self._mine[key] = verdict
        self.measured.add(key)
        if self.path is None:
            return
        # Read again: another run may have written in the meantime.
        found = _read(self.path, lambda words: None)
        found.setdefault(self._machine, {})[key] = verdict
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_all({self.path: _to_bytes(found)})
        except (EdgeupError, OSError) as error:
            self._notice(f"what was tuned is not kept for the next run: {error}")
            self.path = None


_Verdicts = dict[str, dict[str, Verdict]]


def _to_bytes(found: _Verdicts) -> bytes:
    machines = {
        machine: {key: asdict(verdict) for key, verdict in verdicts.items()}
        for machine, verdicts in found.items()
    }
    return json.dumps({"format": _FORMAT, "machines": machines}, indent=1).encode() + b"\n"


def _read(path: Path, notice: Callable[[str], None]) -> _Verdicts:
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ValueError(f"its format is {document['format']}, wanted {_FORMAT}")
        return {
            machine: {key: _verdict(entry) for key, entry in entries.items()}
            for machine, entries in document["machines"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        notice(f"tuning cache {path} is not used, since it cannot be read: {reason}")
        return {}


def _verdict(entry: dict[str, Any]) -> Verdict:
    numbers = [float(entry[name]) for name in ("gain", "low", "high")]
    if not all(0 < number < float("inf") for number in numbers):
        raise ValueError(f"a ratio of times is {numbers}")
    if not isinstance(entry["form"], str):
        raise TypeError(f"a form is {entry['form']!r}")
    return Verdict(entry["form"], *numbers)

"""How much memory this process takes, as Linux counts it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Resident memory in bytes (shared libraries included), now and at most so far."""

    resident: int
    peak: int


def memory(root: Path = Path("/")) -> Memory | None:
    """Of this process; None where ``/proc`` does not tell."""
    try:
        text = (root / "proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = {
        key: int(kib) * 1024 for key, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.M)
    }
    if len(found) != 2:
        return None
    return Memory(found["VmRSS"], max(found["VmHWM"], found["VmRSS"]))


def forget_peak(root: Path = Path("/")) -> None:
    """Count the peak from here on, where the kernel lets us (proc(5), clear_refs)."""
    with suppress(OSError):
        (root / "proc/self/clear_refs").write_text("5", encoding="ascii")

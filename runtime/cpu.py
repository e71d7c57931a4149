"""The CPU: its name, and how many threads are worth starting on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cpu_model(root: Path = Path("/")) -> str:
    """The CPU's name as Linux gives it, or the architecture where it gives none.

    Arm kernels write no ``model name``; there the architecture ("aarch64") is all there is.
    """
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine()


def cpu_threads(root: Path = Path("/")) -> int:
    """Physical cores that this process may use.

    Two hardware threads of one core count once: they share the units that convolutions keep
    busy. Affinity (taskset, a container's cpuset) is respected; a container's CPU quota is not.
    """
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            cores.add(siblings.read_text(encoding="ascii").strip() or str(cpu))
        except (OSError, UnicodeDecodeError):
            cores.add(str(cpu))
    return len(cores)

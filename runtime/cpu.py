"""The CPU: its name, and how many threads are worth starting on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cpu_model(root: Path = Path("/")) -> str:
    """The CPU's name as Linux gives it.

    Arm kernels write no ``model name``; there it is the architecture, with the board's name in
    the device tree ("aarch64 of Raspberry Pi 4 Model B Rev 1.4") or else the cores' maker and
    part numbers ("aarch64 0x41:0xd0c"), so that times of different machines stay apart.
    """
    found: dict[str, dict[str, None]] = {}  # sets that keep their order
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), {})[" ".join(value.split())] = None
    for name in found.get("model name", ()):
        if name:
            return name
    architecture = platform.processor() or platform.machine()
    # Device-tree properties end with NUL.
    board = " ".join(_read(root / "proc/device-tree/model").split("\0")[0].split())
    if board:
        return f"{architecture} of {board}"
    maker, part = ("+".join(found.get(f"CPU {key}", ())) for key in ("implementer", "part"))
    return f"{architecture} {maker}:{part}" if maker and part else architecture


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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

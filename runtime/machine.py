"""How facts about a machine are looked up; all of it can be replaced, so tests simulate one."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


def run_command(command: Sequence[str]) -> str | None:
    """The standard output of a command, or None when it is missing, fails or takes 10 seconds."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands, no shell
            command, capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Machine:
    """Where to look: the root of the file system, the commands, this Python's folders."""

    root: Path = Path("/")
    which: Callable[[str], str | None] = shutil.which
    run: Callable[[Sequence[str]], str | None] = run_command
    sys_path: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    python: tuple[int, int] = field(
        default_factory=lambda: (sys.version_info[0], sys.version_info[1])
    )
    architecture: str = field(default_factory=platform.machine)
    system: str = field(default_factory=platform.system)
    in_venv: bool = field(default_factory=lambda: sys.prefix != sys.base_prefix)

    def read(self, path: str) -> str:
        """The text of a small system file below the root, or "" when it cannot be read."""
        try:
            with (self.root / path).open("rb") as stream:
                # Device-tree strings end with NUL; odd bytes must not stop a diagnosis.
                return stream.read(1 << 20).decode("utf-8", errors="replace").strip("\0\n ")
        except OSError:
            return ""

    def is_file(self, path: str) -> bool:
        """Whether there is such a file below the root."""
        try:
            return (self.root / path).is_file()
        except OSError:
            return False

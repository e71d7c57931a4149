"""Files are written whole or not at all: to a temporary name beside the goal, then renamed."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeup.errors import EdgeupError


def check_folder(folder: Path) -> None:
    """Refuse a folder that `write_all` could not fill, before any work is done; make nothing.

    Its last component may be missing, and is made when the files are there. A whole missing
    path is more likely a slip of the pen than a wish.

    Raises:
        EdgeupError: the parent does not exist, a file is in the way, or it is not writable.
    """
    if folder.exists() and not folder.is_dir():
        raise EdgeupError(f"output folder {folder} is a file; name a folder with -o")
    if not folder.exists() and not folder.parent.is_dir():
        raise EdgeupError(
            f"output folder {folder} cannot be made: {folder.parent} does not exist; "
            f"create it, or name another folder with -o"
        )
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
        raise EdgeupError(f"output folder {folder} is not writable; name another with -o")


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write several files so that all of them appear, or none.

    Every file is first written whole (and flushed to the disk) under a temporary name in its
    own folder; only when all are there are they renamed, in the mapping's order. An error or
    Ctrl-C before that leaves what was there untouched and removes the temporary files, and the
    folder if this call made it.

    Raises:
        EdgeupError: a file could not be written (disk full, folder gone, no permission).
    """
    staged: list[tuple[Path, Path]] = []
    made: list[Path] = []
    goal = Path()
    try:
        for goal, content in contents.items():
            if not goal.parent.exists():
                goal.parent.mkdir()
                made.append(goal.parent)
            staged.append((_stage(goal, content), goal))
        with _interrupts_ignored():
            while staged:
                temporary, goal = staged[0]
                temporary.replace(goal)
                staged.pop(0)
    except OSError as error:
        raise EdgeupError(f"could not write {goal}: {error.strerror or error}") from error
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink()
        for folder in made:
            with suppress(OSError):  # not empty: the files are there
                folder.rmdir()


def _stage(goal: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{goal.name}.", suffix=".part", dir=goal.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files that only their owner reads; a result is as readable as any other.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Between the first rename and the last, Ctrl-C would leave one new file beside an old one.

    The section takes microseconds; a Ctrl-C that falls into it comes too late and is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are delivered to the main thread alone
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

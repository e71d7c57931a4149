"""Files are written whole or not at all: to a temporary name beside the goal, then renamed."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeAlias

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
    try:
        # Tried, not asked with os.access: root may write everywhere, except where no file can be,
        # as in /proc and on what is mounted read-only.
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.parent):
            pass
    except OSError as error:
        raise EdgeupError(
            f"output folder {folder} is not writable; name another with -o"
        ) from error


Content: TypeAlias = "bytes | Callable[[IO[bytes]], object]"
"""What a file holds: its bytes, or a function that writes them to a stream."""


def check_goal(goal: Path) -> None:
    """Refuse a file that cannot be written, before any work is done; make nothing.

    Raises:
        EdgeupError: no name was given, a folder or a device has that name, or see `check_folder`.
    """
    if not goal.name:
        raise EdgeupError(f"{str(goal)!r} names no file to write")
    if goal.is_dir():
        raise EdgeupError(f"could not write {goal}: a folder has that name; name another file")
    if goal.exists() and not goal.is_file():  # renaming would put a file in /dev/null's place
        raise EdgeupError(f"could not write {goal}: it is no regular file; name another one")
    check_folder(goal.parent)


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal; models are large, so it is read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_goals(goals: Iterable[Path | None], read: Iterable[Path | None]) -> None:
    """Refuse files that cannot be written, that are read, or that are named twice.

    None stands for an option that was not given. ``read`` is gone through only where one of the
    goals is there already: to know the files of a model (`model_files`), it must be read.

    Raises:
        EdgeupError: see `check_goal`; or one of the goals is read, or another goal, too.
    """
    taken: dict[str, Path] = {}
    for goal in goals:
        if goal is None:
            continue
        check_goal(goal)
        # Not Path.resolve: before Python 3.13, a circle of links is a RuntimeError there.
        place = os.path.realpath(goal)
        if place in taken:
            raise EdgeupError(f"{goal} would be written twice; name another file")
        taken[place] = goal
    if not any(map(os.path.exists, taken)):
        return
    for path in read:
        if path is not None and (goal := taken.get(os.path.realpath(path))) is not None:
            raise EdgeupError(f"{goal} would be overwritten, and it is read; name another file")


def write_all(contents: Mapping[Path, Content]) -> None:
    """Write several files so that all of them appear, or none.

    Every file is first written whole (and flushed to the disk) under a temporary name in its
    own folder; only when all are there are they renamed, in the mapping's order. An error or
    Ctrl-C before that leaves what was there untouched and removes the temporary files, and the
    folder if this call made it; an error between two renames brings back what was there.

    Raises:
        EdgeupError: a file could not be written (disk full, folder gone, no permission).
    """
    staged: list[tuple[Path, Path]] = []
    made: list[Path] = []
    goal = Path()
    for goal in contents:
        if goal.is_dir():
            raise EdgeupError(f"could not write {goal}: a folder has that name; name another file")
    try:
        for goal, content in contents.items():
            if not goal.parent.exists():
                goal.parent.mkdir()
                made.append(goal.parent)
            staged.append((_stage(goal, content), goal))
        with _interrupts_ignored():
            _rename_all(staged)
    except OSError as error:
        raise EdgeupError(f"could not write {goal}: {error.strerror or error}") from error
    finally:
        for temporary, _ in staged:
            with suppress(OSError):  # renamed
                temporary.unlink()
        for folder in made:
            with suppress(OSError):  # not empty: the files are there
                folder.rmdir()


def _stage(goal: Path, content: Content) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{goal.name}.", suffix=".part", dir=goal.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                content(stream)
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


def _rename_all(staged: Sequence[tuple[Path, Path]]) -> None:
    """Put every file in its place, or, where one cannot be, every earlier file back in its own."""
    before: list[tuple[Path, Path | None]] = []
    try:
        for temporary, goal in staged:
            before.append((goal, _set_aside(goal, temporary.with_suffix(".old"))))
            temporary.replace(goal)
    except OSError:
        for goal, old in reversed(before):
            with suppress(OSError):  # the first error is the one to tell of
                if old is None:
                    goal.unlink(missing_ok=True)
                else:
                    old.replace(goal)
                    old.unlink(missing_ok=True)  # two names of one file: rename did nothing
        raise
    for _, old in before:
        if old is not None:
            with suppress(OSError):
                old.unlink()


def _set_aside(goal: Path, name: Path) -> Path | None:
    """A second name for what is there, so that it can come back; None where nothing is."""
    if not os.path.lexists(goal):
        return None
    try:
        os.link(goal, name, follow_symlinks=False)
    except OSError:  # a file system without links: for a moment, the goal is not there
        goal.rename(name)
    return name


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

"""A timing cache in a file that several builds share.

A build reads the file, builds, and puts what it learned back. Between the two another build may
have done the same, so the file's caches are merged under a lock. The file itself is only ever
replaced whole: a build that is killed leaves the old one, and a reader needs no lock.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeup.errors import EdgeupError
from edgeup.files import check_goal, write_all

Merge = Callable[[bytes, bytes], "bytes | None"]
"""Ours and theirs in one; None where they do not fit together."""


def read_timings(path: Path) -> bytes:
    """The cache; empty where there is none yet.

    Raises:
        EdgeupError: it cannot be read, or could not be written after the build.
    """
    check_goal(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise EdgeupError(f"timing cache {path}: {error.strerror or error}") from error


def store_timings(path: Path, before: bytes, ours: bytes, merge: Merge) -> str:
    """Put a build's cache into the file; safe against other builds and against being killed.

    Args:
        path: the file.
        before: what the build read from it.
        ours: the cache after the build, which holds ``before`` if TensorRT took it.
        merge: called where the file holds something else by now.

    Returns:
        What the user should know, or "".

    Raises:
        EdgeupError: the file could not be written.
    """
    if not ours or ours == before:
        return ""
    with _locked(path):
        now = read_timings(path)
        merged = ours if now in (b"", before) else merge(ours, now)
        write_all({path: ours if merged is None else merged})
    if merged is None:
        return f"{path} held timings of another TensorRT or GPU; they were replaced by this build's"
    return ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock beside the file: the file itself is replaced, and a lock on it would go too.

    The kernel drops the lock when its holder ends, however it ends.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        with lock.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise EdgeupError(f"timing cache {path}: {error.strerror or error}") from error

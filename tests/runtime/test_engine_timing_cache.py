"""A timing cache in a file: shared by builds at the same time, whole after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.timing_cache import read_timings, store_timings


def merge(ours, theirs):
    """Caches of words: a union, as TensorRT's combine makes it."""
    return b" ".join(sorted({*ours.split(), *theirs.split()}))


def test_a_new_cache_is_written_and_read(tmp_path):
    path = tmp_path / "t.cache"
    assert read_timings(path) == b""
    assert store_timings(path, b"", b"a b", merge) == ""
    assert read_timings(path) == b"a b"


def test_nothing_new_leaves_the_file_alone(tmp_path):
    path = tmp_path / "t.cache"
    path.write_bytes(b"a")
    before = path.stat().st_mtime_ns
    assert store_timings(path, b"a", b"a", merge) == ""
    assert store_timings(path, b"a", b"", merge) == ""
    assert path.stat().st_mtime_ns == before


def test_what_another_build_put_there_meanwhile_is_kept(tmp_path):
    path = tmp_path / "t.cache"
    path.write_bytes(b"a theirs")
    assert store_timings(path, b"a", b"a ours", merge) == ""
    assert read_timings(path) == b"a ours theirs"


def test_one_that_does_not_fit_is_replaced_and_said(tmp_path):
    path = tmp_path / "t.cache"
    path.write_bytes(b"of another GPU")
    note = store_timings(path, b"", b"ours", lambda ours, theirs: None)
    assert "another TensorRT or GPU; they were replaced" in note
    assert read_timings(path) == b"ours"


def test_a_folder_that_is_not_there_is_refused_before_the_build(tmp_path):
    with pytest.raises(EdgeupError, match="does not exist"):
        read_timings(tmp_path / "no" / "no" / "t.cache")
    with pytest.raises(EdgeupError, match="a folder has that name"):
        read_timings(tmp_path)


WRITER = """
import sys
from pathlib import Path
from edgeup.runtime.engine.timing_cache import read_timings, store_timings

def merge(ours, theirs):
    return b" ".join(sorted({*ours.split(), *theirs.split()}))

path, who, rounds, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
for number in range(rounds):
    before = read_timings(path)
    entry = f"{who}{number}".encode() + b"=" + b"x" * size
    store_timings(path, before, merge(before, entry), merge)
"""


def writer(path, who, rounds, size):
    command = [sys.executable, "-c", WRITER, str(path), who, str(rounds), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_builds_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "t.cache"
    writers = [writer(path, who, 25, 10) for who in ("a", "b", "c")]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    entries = {entry.split(b"=")[0].decode() for entry in read_timings(path).split()}
    assert entries == {f"{who}{number}" for who in "abc" for number in range(25)}


def test_a_kill_leaves_a_whole_cache_and_no_lock(tmp_path):
    path = tmp_path / "t.cache"
    size = 200_000  # so that writing takes most of the time
    whole = 0
    for attempt in range(8):
        process = writer(path, f"w{attempt}_", 1000, size)
        process.stdout.readline()
        time.sleep(0.02 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        for entry in read_timings(path).split():
            name, _, content = entry.partition(b"=")
            assert (name.startswith(b"w"), content) == (True, b"x" * size)
            whole += 1
    assert whole > 0
    # A lock of the killed would keep this one waiting.
    last = writer(path, "last", 1, 10)
    assert last.wait(30) == 0
    assert b"last0=" in read_timings(path)

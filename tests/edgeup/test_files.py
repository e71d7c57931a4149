"""Files appear whole, all of them, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from edgeup.errors import EdgeupError
from edgeup.files import check_folder, check_goal, write_all


def test_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_all({tmp_path / "a": b"one", tmp_path / "b": b"two"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"one", "b": b"two"}


def test_results_are_as_readable_as_any_other_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_all({tmp_path / "a": b"one"})
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failing_write", [0, 1])
def test_a_full_disk_leaves_the_earlier_result_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_write: int
) -> None:
    write_all({tmp_path / "a": b"old a", tmp_path / "b": b"old b"})
    calls = iter(range(10))
    real = os.fsync

    def full(descriptor: int) -> None:
        if next(calls) == failing_write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgeupError, match="No space left on device"):
        write_all({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old a", "b": b"old b"}


def test_an_interrupt_while_writing_leaves_the_earlier_result_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all({tmp_path / "a": b"old"})

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_all({tmp_path / "a": b"new"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old"}


def test_a_folder_is_made_with_its_files_but_a_missing_path_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_all({tmp_path / "out" / "a": b"one"})
    assert (tmp_path / "out" / "a").read_bytes() == b"one"
    with pytest.raises(EdgeupError, match="does not exist; create it"):
        check_folder(tmp_path / "no" / "such")


def test_a_folder_that_was_made_for_nothing_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgeupError, match="No space left"):
        write_all({tmp_path / "out" / "a": b"one"})
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(EdgeupError, match="is a file"):
        check_folder(tmp_path / "out")


def test_an_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the operating system's answer is put in its place.
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgeup.files.tempfile.TemporaryFile", refused)
    with pytest.raises(EdgeupError, match="not writable"):
        check_folder(tmp_path)


def test_a_folder_of_that_name_is_refused_before_anything_is_staged(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_all({tmp_path / "a": b"old"})
    with pytest.raises(EdgeupError, match="b: a folder has that name"):
        write_all({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    with pytest.raises(EdgeupError, match="b: a folder has that name"):
        check_goal(tmp_path / "b")
    with pytest.raises(EdgeupError, match="names no file"):
        check_goal(Path())
    with pytest.raises(EdgeupError, match="it is no regular file"):
        check_goal(Path("/dev/null"))
    check_goal(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_rename_that_fails_brings_back_what_was_renamed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    write_all({tmp_path / "b": b"old b", tmp_path / "c": b"old c"})
    real = Path.replace

    def failing(self: Path, goal: Path) -> Path:
        if goal.name == "c" and self.suffix == ".part":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return real(self, goal)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "replace", failing)
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(EdgeupError, match=r"could not write .*: Operation not permitted"):
        write_all({tmp_path / "a": b"1", tmp_path / "b": b"2", tmp_path / "c": b"3"})
    held = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert held == {"b": b"old b", "c": b"old c"}


def test_a_file_may_be_written_piece_by_piece(tmp_path: Path) -> None:
    write_all({tmp_path / "a": lambda stream: [stream.write(b"x" * n) for n in (2, 3)]})
    assert (tmp_path / "a").read_bytes() == b"xxxxx"

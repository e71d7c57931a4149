"""What every verb shares: one answer on stdout, one line on stderr, whatever happens."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from rich.table import Table
from rich.text import Text

from edgeup.cli.verb import (
    CHECK_FAILED,
    PASSED,
    READER_LEFT,
    WRONG_REQUEST,
    Answer,
    Format,
    complain,
    printable,
    run_verb,
)
from edgeup.errors import EdgeupError

NASTY = "a\x1b]0;owned\x07\x1b[31mb\x08\x9b2J\u202ec"


def raising(error: BaseException) -> Callable[[Answer], bool]:
    def body(answer: Answer) -> NoReturn:
        raise error

    return body


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 1), (Terminal(), 2)])
def test_a_complaint_is_one_line_and_broken_between_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", stream)
    complain("failed: latency is 9.4 ms, +900.0% against the baseline's 0.94 ms; 5.0% is allowed")
    said = stream.getvalue().splitlines()
    assert len(said) == lines
    assert " ".join(said).endswith("ms; 5.0% is allowed")


@pytest.mark.parametrize(("passed", "status"), [(True, PASSED), (False, CHECK_FAILED)])
def test_the_status_tells_whether_the_checks_passed(
    capfd: pytest.CaptureFixture[str], passed: bool, status: int
) -> None:
    def body(answer: Answer) -> bool:
        print("a library's chatter")  # noqa: T201 (what libraries do)
        answer.show(Text("done"))
        return passed

    assert run_verb(Format.TEXT, body) == status
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("done\n", "a library's chatter\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (EdgeupError("no\nsuch thing"), "no such thing"),
        (KeyboardInterrupt(), "interrupted: nothing was written"),
        (PermissionError(13, "Permission denied", "secret"), "secret: Permission denied"),
        (MemoryError(), "out of memory: try a smaller --shape"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate "
                         "memory: you tried to allocate 4096000000000 bytes."),
            "out of memory: try a smaller --shape",
        ),
    ],
)  # fmt: skip
def test_what_can_go_wrong_is_one_line(
    capfd: pytest.CaptureFixture[str], error: BaseException, line: str
) -> None:
    assert run_verb(Format.TEXT, raising(error)) == WRONG_REQUEST
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", f"edgeup: {line}\n")


@pytest.mark.parametrize("error", [EdgeupError("refused"), RuntimeError("boom"), MemoryError()])
def test_with_json_every_failure_is_one_document(
    capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert run_verb(Format.JSON, raising(error)) == WRONG_REQUEST
    captured = capfd.readouterr()
    document = json.loads(captured.out)
    assert document["exit_status"] == WRONG_REQUEST
    is_bug = str(error) == "boom"
    assert ("internal error" in document["error"]) == ("Traceback" in captured.err) == is_bug
    assert captured.err.splitlines()[-1] == f"edgeup: {document['error']}"


def test_names_cannot_command_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def body(answer: Answer) -> bool:
        table = Table("name")
        table.add_row(NASTY)
        answer.show(table, Text(f"two\nlines of {NASTY}"), f"plain {NASTY}")
        raise EdgeupError(f"node {NASTY} is bad")

    assert run_verb(Format.TEXT, body) == WRONG_REQUEST
    captured = capfd.readouterr()
    for text in (captured.out, captured.err):
        assert "\\x1b" in text
        assert all(c.isprintable() or c == "\n" for c in text), text
    assert "two\nlines of " in captured.out
    assert len(captured.err.splitlines()) == 1


def test_a_long_line_goes_on_further_in_and_a_path_stays_whole(
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = f"/{'folder/' * 12}model.onnx"
    line = f"  wrote the model and all that belongs to it, once more, to {path} and nowhere else"

    def body(answer: Answer) -> bool:
        answer.show(Text(f"{line}\nshort"))
        return True

    assert run_verb(Format.TEXT, body) == PASSED
    first, *more, last = capfd.readouterr().out.splitlines()
    assert first.startswith("  wrote")
    assert [word.strip() for word in more] == [path, "and nowhere else"]
    assert all(word.startswith("    ") and word[4] != " " for word in more)
    assert last == "short"


def test_printable_leaves_all_that_a_reader_reads() -> None:
    assert printable("größe 3×4, ½ → 深度") == "größe 3×4, ½ → 深度"
    assert printable("a\tb\x7f") == "a\\tb\\x7f"


def test_complaints_keep_to_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("a\n  b\r\nc")
    assert capsys.readouterr().err == "edgeup: a b c\n"


LIST = [sys.executable, "-m", "edgeup.cli.main", "list", "decoders"]


def test_a_reader_that_leaves_is_no_failed_check() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(LIST, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (READER_LEFT, "")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(LIST, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == WRONG_REQUEST
    assert done.stderr == "edgeup: could not write to stdout: No space left on device\n"

"""What every verb shares: stdout kept clean, errors as one line, exit statuses.

0: done and passed. 1: done, and a check failed. 2: the request was wrong. A traceback is a bug.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

PASSED, CHECK_FAILED, WRONG_REQUEST = 0, 1, 2

READER_LEFT = 128 + 13
"""What a shell says of a program that SIGPIPE ended, as it ends others that write to `head`."""

OUT_OF_MEMORY = "out of memory: try a smaller --shape"


class Format(str, Enum):
    """How a verb answers on stdout."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="text for people; json: one document on stdout.")
]


class Answer:
    """What goes to stdout; it is kept until the verb is done. What a library prints meanwhile
    goes to stderr instead.
    """

    def __init__(self, style: Format, *, terminal: bool) -> None:
        self.style = style
        self.text = io.StringIO()
        self._terminal = terminal

    def json(self, document: Mapping[str, Any]) -> None:
        """Write the one JSON document."""
        # allow_nan=False: NaN and Infinity are not JSON, and strict readers refuse them.
        self.text.write(json.dumps(document, indent=2, allow_nan=False) + "\n")

    def show(self, *renderables: RenderableType) -> None:
        """Write rich text, plain where stdout is not a terminal; see `_hanging`, `_wide`."""
        from rich.text import Text

        console = self._console()
        for renderable in renderables:
            if not isinstance(renderable, Text):
                self._console(_wide(renderable, console)).print(_Printable(renderable))
                continue
            for line in _hanging(renderable, console):
                console.print(_Printable(line), soft_wrap=True)  # wrapped already

    def _console(self, width: int | None = None) -> Console:
        from rich.console import Console

        # Piped output keeps 80 columns, so that tables read the same in a file or a CI log.
        width = width if self._terminal else _LAID_OUT
        # No markup: 'edgeup[torch]' and a path with [brackets] are text, not a style.
        return Console(
            file=self.text,
            width=width,
            force_terminal=self._terminal,
            highlight=False,
            markup=False,
        )


_LAID_OUT = 80
"""Columns for which tables are made."""


def _wide(renderable: RenderableType, console: Console) -> int:
    """The columns to lay it out in: a table of figures gets what it needs on a narrow terminal.

    The terminal then breaks its lines; in less room, figures would lose their digits.
    """
    from rich.padding import Padding
    from rich.table import Table

    inside = renderable.renderable if isinstance(renderable, Padding) else renderable
    if not isinstance(inside, Table) or not all(column.no_wrap for column in inside.columns):
        return console.width
    options = console.options.update(width=_LAID_OUT)
    return max(console.width, console.measure(renderable, options=options).maximum)


class _Printable:
    """A renderable whose own text reaches a terminal as characters, never as commands."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self._renderable, options):
            lines = text if control else "\n".join(map(printable, text.split("\n")))
            yield Segment(lines, style, control)


def _hanging(text: Text, console: Console) -> Iterator[Text]:
    """Its lines, in the console's width: what does not fit a line goes on below, further in.

    A word that is longer than that, as a path, stays whole, so that it can be copied.
    """
    for line in text.split("\n", allow_blank=True):
        hang = len(line.plain) - len(line.plain.lstrip()) + 2
        for number, part in enumerate(line.divide(_breaks(line.plain, console.width, hang))):
            part.rstrip()
            if number:
                part.pad_left(hang)
            yield part


def _breaks(line: str, width: int, hang: int) -> Iterator[int]:
    """Where words begin that no longer fit; all lines but the first are narrower by the hang."""
    from rich.cells import cell_len

    start = 0
    for word in re.finditer(r"\S+", line):
        room = width - hang if start else width
        if line[start : word.start()].strip() and cell_len(line[start : word.end()]) > room:
            start = word.start()
            yield start


def printable(text: str) -> str:
    """With escapes for what a terminal would obey (ESC in a node's name) instead of showing."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def run_verb(style: Format, body: Callable[[Answer], bool]) -> int:
    """Run a verb's body and return the exit status.

    ``body`` returns whether every check passed.
    """
    # It logs with tracebacks what `export` refuses in one line.
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
    with _reserved_stdout() as stdout:
        answer = Answer(style, terminal=os.isatty(stdout))
        status, message = _outcome(answer, body)
        if message and style is Format.JSON:
            answer.text = io.StringIO()
            answer.json({"error": message, "exit_status": status})
        try:
            _write(stdout, answer.text.getvalue())
        except BrokenPipeError:  # `edgeup list decoders | head`: not worth a word
            return READER_LEFT
        except OSError as error:
            status, message = WRONG_REQUEST, f"could not write to stdout: {error.strerror or error}"
    if message:
        complain(message)
    return status


def _outcome(answer: Answer, body: Callable[[Answer], bool]) -> tuple[int, str]:
    """The exit status, and the one line that says why it is 2."""
    try:
        return (PASSED if body(answer) else CHECK_FAILED), ""
    except EdgeupError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted: nothing was written"
    except OSError as error:  # a name that is too long, a folder without permission
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    except MemoryError:
        message = OUT_OF_MEMORY
    except Exception as error:
        message = OUT_OF_MEMORY if _out_of_memory(error) else tell_bug()
    return WRONG_REQUEST, message


def _out_of_memory(error: Exception) -> bool:
    """Torch says it with a RuntimeError (c10/core/impl/alloc_cpu.cpp)."""
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def tell_bug() -> str:
    """Print the traceback of a bug: it helps whoever mends it. Return the line to end with."""
    traceback.print_exc()
    return "internal error: this is a bug in edgeup; please report the lines above"


def complain(message: str) -> None:
    """One line on stderr; on a terminal, broken between words where it is too long."""
    line = f"edgeup: {printable(' '.join(message.split()))}"
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    sys.stderr.write(f"{line}\n")


def complain_of_gates(report: Mapping[str, Any]) -> None:
    """A line on stderr for each condition of ``--fail-on`` that failed."""
    for line in report.get("gates", {}).get("failures", ()):
        complain(f"failed: {line}")


@contextmanager
def _reserved_stdout() -> Iterator[int]:
    """A descriptor of stdout: file descriptor 1 leads to stderr in the meantime.

    Exporters and native libraries print to descriptor 1, where a redirected ``sys.stdout``
    would not catch them.
    """
    sys.stdout.flush()
    reserved = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield reserved
    finally:
        os.dup2(reserved, 1)
        os.close(reserved)


def _write(descriptor: int, text: str) -> None:
    with os.fdopen(os.dup(descriptor), "wb", buffering=0) as stream:
        left = memoryview(text.encode())
        while left:
            left = left[stream.write(left) :]

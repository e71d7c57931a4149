"""What every verb shares: stdout kept clean, errors as one line, exit statuses.

0: done and passed. 1: done, and a check failed. 2: the request was wrong. A traceback is a bug.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PASSED, CHECK_FAILED, WRONG_REQUEST = 0, 1, 2


class Format(str, Enum):
    """How a verb answers on stdout."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="text for people; json: one document on stdout.")
]


class Answer:
    """The one way to stdout. Whatever else a library prints there goes to stderr instead."""

    def __init__(self, stream: TextIO, style: Format) -> None:
        self._stream = stream
        self.style = style

    def json(self, document: Mapping[str, Any]) -> None:
        """Write the one JSON document."""
        # allow_nan=False: NaN and Infinity are not JSON, and strict readers refuse them.
        self._stream.write(json.dumps(document, indent=2, allow_nan=False) + "\n")

    def show(self, *renderables: RenderableType) -> None:
        """Write rich text, plain where stdout is not a terminal."""
        console = self._console()
        for renderable in renderables:
            console.print(renderable)

    def _console(self) -> Console:
        from rich.console import Console

        # Piped output keeps 80 columns, so that tables read the same in a file or a CI log.
        width = None if self._stream.isatty() else 80
        # No markup: 'edgeup[torch]' and a path with [brackets] are text, not a style.
        return Console(file=self._stream, width=width, highlight=False, markup=False)


def run_verb(style: Format, body: Callable[[Answer], bool]) -> int:
    """Run a verb's body and return the exit status.

    ``body`` returns whether every check passed.
    """
    with _answer(style) as answer:
        try:
            return PASSED if body(answer) else CHECK_FAILED
        except EdgeupError as error:
            message = str(error)
        except KeyboardInterrupt:
            message = "interrupted: nothing was written"
        except BrokenPipeError:
            raise
        except OSError as error:  # a name that is too long, a folder without permission
            message = f"{error.filename or 'a file'}: {error.strerror or error}"
        except MemoryError:
            message = "out of memory: try a smaller --shape"
        if style is Format.JSON:
            answer.json({"error": message, "exit_status": WRONG_REQUEST})
        complain(message)
        return WRONG_REQUEST


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"edgeup: {' '.join(message.split())}\n")


@contextmanager
def _answer(style: Format) -> Iterator[Answer]:
    """Reserve stdout for the answer: file descriptor 1 leads to stderr in the meantime.

    Exporters and native libraries print to descriptor 1, where a redirected ``sys.stdout``
    would not catch them.
    """
    sys.stdout.flush()
    reserved = os.dup(1)
    try:
        os.dup2(2, 1)
        with os.fdopen(os.dup(reserved), "w", encoding="utf-8") as stream:
            with redirect_stdout(sys.stderr):
                yield Answer(stream, style)
            stream.flush()
    finally:
        os.dup2(reserved, 1)
        os.close(reserved)

"""What is going on, on stderr, while something takes longer than a moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgeup.cli.verb import printable


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that names the stage that begins.

    A spinner where stderr is a terminal; nothing otherwise, so that logs stay clean.
    """
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("starting") as status:
        yield lambda stage: status.update(Text(printable(stage)))

"""The entry point. It imports the rest inside, so that Ctrl-C at any time is one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        from edgeup.cli.app import run_command

        return run_command(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        sys.stderr.write("edgeup: interrupted: nothing was written\n")
        return 2
    finally:
        # CPython notes an interrupt that left an exec of text, as dataclasses use it, and ends a
        # `python -m` with SIGINT instead of the status, even where it was caught since
        # (pythonrun.c, run_eval_code_obj). The next exec of text forgets the note.
        exec("")  # noqa: S102 - empty


if __name__ == "__main__":
    sys.exit(main())

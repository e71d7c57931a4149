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


if __name__ == "__main__":
    sys.exit(main())

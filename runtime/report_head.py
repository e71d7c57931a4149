"""What every report begins with: its schema, when it was made, by which command and where."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from edgeup.runtime.environment import environment

SCHEMA_VERSION = 1


def head(command: str) -> dict[str, Any]:
    """The first entries of a report.

    Args:
        command: as a shell takes it.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "environment": environment(),
    }

"""A user's own code, called: what it raises becomes one line."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgeup.errors import EdgeupError

T = TypeVar("T")


def from_user_code(reference: str, call: Callable[[], T]) -> T:
    """Call the user's code; what it raises becomes one line that names file and line."""
    try:
        return call()
    except EdgeupError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((each for each in reversed(frames) if _is_users(each.filename)), frames[-1])
        raise EdgeupError(
            f"{reference} raised {type(error).__name__}: {str(error) or '(no message)'} "
            f"({frame.filename}:{frame.lineno})"
        ) from error


def _is_users(file: str) -> bool:
    """Neither installed, nor Python's, nor edgeup's."""
    parts, folders = Path(file).parts, sysconfig.get_paths()
    others = (folders["stdlib"], folders["platstdlib"], str(Path(__file__).parents[1]), "<")
    return not {"site-packages", "dist-packages"} & {*parts} and not file.startswith(others)

"""The files that a model lies in: its own, and those that hold its weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from edgeup.errors import EdgeupError


def model_files(*models: Path | None, others: Iterable[Path | None] = ()) -> Iterator[Path | None]:
    """What a verb reads, for `check_goals`: files, and the files of weights that models name.

    Args:
        models: ONNX files, engines or saved outputs. One that cannot be read stands for itself:
            it is refused where it is used.
        others: read as they are.
    """
    from edgeup.runtime.sessions import is_engine

    yield from others
    for path in models:
        yield path
        if path is not None and path.suffix.lower() != ".npz" and not is_engine(path):
            yield from _weights_beside(path)


def _weights_beside(path: Path) -> frozenset[Path]:
    from edgeup.export.load import external_files, load_model

    with suppress(EdgeupError):
        return external_files(load_model(path))
    return frozenset()


def model_bytes(path: Path) -> int:
    """Of a model that can be read, with its files of weights."""
    files = {os.path.realpath(file) for file in model_files(path) if file is not None}
    return sum(map(os.path.getsize, files))

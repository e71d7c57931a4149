"""Outputs of both sides written case by case, to be put in place with everything else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from edgeup.files import Content
from edgeup.pipeline.verify.inputs import Cases
from edgeup.pipeline.verify.sides import Side
from edgeup.runtime.saved_outputs import Origin, OutputsWriter

NAMES = ("reference", "candidate")


@contextmanager
def saving(
    folder: Path | None, sides: Sequence[Side], plan: Cases, stack: ExitStack
) -> Iterator[tuple[tuple[OutputsWriter, ...], dict[Path, Content]]]:
    """Writers for both sides, none without a folder; and what to write when the block is over.

    Args:
        folder: where reference.npz and candidate.npz will go.
        sides: reference and candidate.
        plan: the inputs, which the files name.
        stack: holds the temporary files until they are copied to their goals.
    """
    if folder is None:
        yield (), {}
        return
    files: dict[Path, Content] = {}
    writers = []
    # Beside the goal, since a temporary folder in memory may be too small.
    beside = folder if folder.is_dir() else folder.parent
    with ExitStack() as opened:
        for name, side in zip(NAMES, sides, strict=True):
            stream = stack.enter_context(tempfile.TemporaryFile(dir=beside))
            origin = Origin(
                side.precision,
                side.facts.get("backend"),
                plan.specs or None,
                plan.facts.get("seed"),
            )
            writers.append(opened.enter_context(OutputsWriter(stream, origin)))
            files[folder / f"{name}.npz"] = partial(_copy, stream)
        yield tuple(writers), files


def _copy(source: IO[bytes], goal: IO[bytes]) -> None:
    source.seek(0)
    shutil.copyfileobj(source, goal)

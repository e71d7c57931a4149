"""An engine for a target: built, read back, compared with what was asked, described."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.build.commands import board_commands
from edgeup.pipeline.build.model import asked_of
from edgeup.pipeline.build.place import CannotBuildError, Place, find_place, finders
from edgeup.pipeline.build.report import BuildFacts, BuildResult, build_result
from edgeup.pipeline.build.wish import (
    BuildWish,
    Prepared,
    Stage,
    check_wish,
    load_named,
    prepare,
    with_dla_typing,
    with_workspace,
)
from edgeup.runtime.engine.request import Built
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.runtime.engine.downgrade import ReadBack


class NotHereError(CannotBuildError):
    """This machine cannot build; ``commands`` do it on one that can."""

    def __init__(self, reason: str, path: Path, commands: tuple[str, ...]) -> None:
        on_board = "; then ".join(commands)
        super().__init__(f"{reason}. Where the model will run, {beside(path)}: {on_board}")
        self.commands = commands


def beside(path: Path) -> str:
    """Where the commands for a board expect the files."""
    return f"in the folder that holds {path.name}"


def build_file(path: Path, output: Path, wish: BuildWish, stage: Stage) -> BuildResult:
    """Build an engine from an ONNX file.

    Raises:
        NotHereError: this machine cannot build for the target; it holds the commands that do.
        EdgeupError: the file cannot be read, or an option makes no sense for the target.
    """
    from edgeup.export.serialize import to_bytes

    check_wish(wish)
    wish = with_dla_typing(wish)
    stage(f"reading {path.name}")
    read: list[str] = []
    model = load_named(path, read.append)
    try:
        place = find_place(wish.target, wish.using, finders())
    except CannotBuildError as error:
        commands = board_commands(path, model, output, wish)
        raise NotHereError(str(error), path, commands) from error
    prepared = prepare(model, wish, stage)
    options, said = with_workspace(prepared.options, place.device)
    notices = [*read, *said]
    prepared = replace(prepared, options=options)
    content = to_bytes(prepared.model.model)
    stage(f"building for {wish.target.name}")
    start = time.monotonic()
    built = _build(place, content, prepared, wish.timing_cache, stage)
    seconds = time.monotonic() - start
    read_back = _read_back(built, prepared, wish.target)
    facts = BuildFacts(path, output, content, place, prepared, built, seconds, read_back, notices)
    return build_result(facts, wish)


def dry_run(path: Path, output: Path, wish: BuildWish) -> tuple[str, ...]:
    """The commands that build with trtexec where the model will run; nothing is built here.

    Raises:
        EdgeupError: as `build_file`; TensorRT for RTX has no trtexec.
    """
    check_wish(wish)
    return board_commands(path, load_named(path), output, with_dla_typing(wish))


def _build(
    place: Place, content: bytes, prepared: Prepared, cache: Path | None, stage: Stage
) -> Built:
    """Build, and put what was timed into the cache, even where no engine came out."""
    from edgeup.runtime.engine.build import build_engine, merge_timings
    from edgeup.runtime.engine.timing_cache import read_timings, store_timings
    from edgeup.runtime.engine.trtexec_run import build_with_trtexec

    before = None if cache is None else read_timings(cache)

    def progress(phase: str, done: int, of: int) -> None:
        stage(f"{phase}: {done} of {of}")

    if place.library is not None:
        library = place.library
        built = build_engine(library, content, prepared.options, timings=before, progress=progress)

        def merge(ours: bytes, theirs: bytes) -> bytes | None:
            return merge_timings(library, ours, theirs)
    else:
        assert place.trtexec is not None  # noqa: S101 - a place has one of the two
        built = build_with_trtexec(place.trtexec, content, prepared.options, timings=before)

        def merge(ours: bytes, theirs: bytes) -> bytes | None:
            return max(ours, theirs, key=len)  # trtexec cannot merge; the larger knows more

    if cache is None or before is None:
        return built
    try:
        note = store_timings(cache, before, built.timings, merge)
    except EdgeupError as error:  # minutes of work are no less worth for it
        note = f"the timing cache was not kept: {error}"
    return replace(built, notes=(*built.notes, note)) if note else built


def _read_back(built: Built, prepared: Prepared, target: Target) -> ReadBack:
    from edgeup.runtime.engine.downgrade import ReadBack, compare
    from edgeup.runtime.engine.layer_info import parse_layers

    if built.engine is None:
        return ReadBack(verified=False, why="no engine came out")
    if built.layers is None:
        return ReadBack(verified=False, why=built.unread)
    options = prepared.options
    asked = asked_of(
        prepared.model,
        target,
        dla=options.dla_core is not None,
        gpu_fallback=options.gpu_fallback,
    )
    try:
        return compare(parse_layers(built.layers), asked)
    except EdgeupError as error:
        return ReadBack(verified=False, why=str(error))

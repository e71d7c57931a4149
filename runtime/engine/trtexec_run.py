"""Find trtexec and build an engine with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.request import BuildError, BuildOptions, Built
from edgeup.runtime.engine.trtexec import USUAL_PATH, Files, build_arguments
from edgeup.runtime.engine.trtexec_log import build_errors, parse_log

_GRACE_S = 10.0
_LOOK_S = 0.5


@dataclass(frozen=True)
class Trtexec:
    """The program and the version of TensorRT that it was made with."""

    path: str
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        """As TensorRT writes it: "10.3.0"."""
        return ".".join(map(str, self.version))


def find_trtexec(
    which: Callable[[str], str | None] = shutil.which, usual: Path = Path(USUAL_PATH)
) -> Trtexec | None:
    """trtexec from the PATH, or from TensorRT's usual folder; None where there is none.

    Raises:
        EdgeupError: it is there, but does not run.
    """
    path = which("trtexec") or (str(usual) if usual.is_file() else None)
    if path is None:
        return None
    status, output = _run([path, "--help"])
    log = parse_log(output)
    if log.version is None:
        said = " ".join(output.split())[:200] or "nothing"
        raise EdgeupError(f"{path} does not run: status {status}, it said: {said}")
    return Trtexec(path, log.version)


def build_with_trtexec(
    trtexec: Trtexec, content: bytes, options: BuildOptions, *, timings: bytes | None = None
) -> Built:
    """Build an engine with trtexec, in a folder of its own.

    Args:
        trtexec: the program.
        content: a self-contained ONNX model.
        options: how to build.
        timings: a timing cache to start from (empty for a new one); None builds without.

    Raises:
        EdgeupError: this version's trtexec cannot do what an option asks.
        KeyboardInterrupt: Ctrl-C; trtexec was ended before.
    """
    version = trtexec.version[:2]
    with tempfile.TemporaryDirectory(prefix="edgeup-trtexec-") as name:
        folder = Path(name)
        files = Files(
            folder / "model.onnx",
            folder / "model.engine",
            folder / "layers.json" if version >= (8, 2) else None,
            None if timings is None else folder / "timing.cache",
        )
        arguments = build_arguments(options, version, files)
        (folder / "model.onnx").write_bytes(content)
        if timings:
            (folder / "timing.cache").write_bytes(timings)
        status, output = _run([trtexec.path, *arguments])
        return _read(trtexec, status, output, folder)


def _read(trtexec: Trtexec, status: int, output: str, folder: Path) -> Built:
    log = parse_log(output)
    engine = _bytes(folder / "model.engine")
    # trtexec has ended with status 0 and no engine, and with an engine and status 1: both count.
    if status != 0 or log.passed is not True or not engine:
        errors = build_errors(output) or (
            BuildError("builder", f"trtexec ended with status {status} and gave no reason"),
        )
        return Built(trtexec.version_text, None, errors=errors, warnings=log.warnings)
    layers = _bytes(folder / "layers.json")
    return Built(
        trtexec.version_text,
        engine,
        layers=layers.decode("utf-8", errors="replace") if layers else None,
        unread="" if layers else _no_layers(trtexec),
        warnings=log.warnings,
        timings=_bytes(folder / "timing.cache"),
    )


def _no_layers(trtexec: Trtexec) -> str:
    if trtexec.version[:2] < (8, 2):
        return f"not verifiable: TensorRT {trtexec.version_text} does not tell of its layers"
    return "not verifiable: trtexec wrote no layer information"


def _bytes(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Status and output (both streams, as they came) of a program; it ends with this process.

    It gets a process group of its own, so that Ctrl-C reaches it through here alone and nothing
    that it started is left behind.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and the program was looked up
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise EdgeupError(f"{command[0]} does not start: {error.strerror or error}") from error
    try:
        output = _output_of(process)
    except BaseException:
        _end(process)
        raise
    return process.returncode, output.decode("utf-8", errors="replace")


def _output_of(process: subprocess.Popen[bytes]) -> bytes:
    """All that it writes until it ends.

    Waited for in turns: a Ctrl-C that arrives right before a read begins is noted by Python and
    does not end the read, which may last for the minutes of a build.
    """
    while True:
        with suppress(subprocess.TimeoutExpired):
            output: bytes = process.communicate(timeout=_LOOK_S)[0]
            return output


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return

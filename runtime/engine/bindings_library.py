"""The TensorRT package of this process: imported, with its version and its one logger.

TensorRT keeps the logger that the process's first builder or runtime was given and ignores later
ones with a warning while that lives: so building and running share this one.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

from edgeup.errors import EdgeupError, MissingPackageError

Package: TypeAlias = Literal["tensorrt", "tensorrt_rtx"]
Heard: TypeAlias = list[tuple[str, str]]
"""Severity (``INTERNAL_ERROR``, ``ERROR``, ``WARNING``) and text, oldest first."""

_EXTRAS: dict[Package, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}


class Log:
    """Passes TensorRT's errors and warnings on to whoever listens."""

    def __init__(self) -> None:
        self._listeners: dict[int, Heard] = {}

    @contextmanager
    def listen(self) -> Iterator[Heard]:
        """Collect what is said inside the block."""
        heard: Heard = []
        self._listeners[id(heard)] = heard
        try:
            yield heard
        finally:
            del self._listeners[id(heard)]

    def hear(self, severity: str, text: str) -> None:
        """Take one message."""
        for heard in tuple(self._listeners.values()):
            heard.append((severity, text))


@dataclass(frozen=True)
class Library:
    """An importable TensorRT. ``logger`` is what its builders and runtimes take."""

    package: Package
    module: Any
    version: tuple[int, int]
    logger: Any
    log: Log

    @property
    def title(self) -> str:
        """As a message names it: ``TensorRT 10.3``."""
        name = "TensorRT" if self.package == "tensorrt" else "TensorRT for RTX"
        return f"{name} {self.version[0]}.{self.version[1]}"


@cache
def find_library(package: Package = "tensorrt") -> Library:
    """Import TensorRT, once per process.

    Raises:
        MissingPackageError: it is not installed.
        EdgeupError: it is installed and does not load.
    """
    missing = MissingPackageError(package, _EXTRAS[package], "a TensorRT engine")
    try:
        trt: Any = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise missing from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        words = " ".join(str(error).split())[:200]
        raise EdgeupError(f"{package} is installed, but does not load: {words}") from error
    # Type stubs bring a folder `tensorrt` without code, which imports as an empty package.
    version = re.match(r"(\d+)\.(\d+)", trt.__version__ if hasattr(trt, "__version__") else "")
    if version is None:
        raise missing
    log = Log()
    return Library(package, trt, (int(version[1]), int(version[2])), make_logger(trt, log), log)


def make_logger(trt: Any, log: Log) -> Any:
    """A logger of TensorRT's that hands errors and warnings on."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base comes from an optional package
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants the explicit call

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
                log.hear(str(severity).rpartition(".")[2], msg)

    return Logger()

"""Which TensorRT of this machine builds for a target, if any does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgeup.errors import EdgeupError
from edgeup.targets import Target

if TYPE_CHECKING:
    from edgeup.runtime.engine.bindings_library import Library
    from edgeup.runtime.engine.device import Device
    from edgeup.runtime.engine.trtexec_run import Trtexec

Using = Literal["tensorrt", "trtexec"]
"""TensorRT's Python bindings in this process, or its own program."""


class CannotBuildError(EdgeupError):
    """This machine cannot build for the target; the line says why."""


@dataclass(frozen=True)
class Place:
    """What builds: the bindings or trtexec, and the GPU that the engine will be for.

    TensorRT for RTX needs no GPU, and then builds for none that is known.
    """

    library: Library | None
    trtexec: Trtexec | None
    device: Device | None

    @property
    def using(self) -> Using:
        """As `--using` names it."""
        return "trtexec" if self.library is None else "tensorrt"

    @property
    def package(self) -> str:
        """What loads the engine: "tensorrt" or "tensorrt_rtx"."""
        return "tensorrt" if self.library is None else self.library.package


@dataclass(frozen=True)
class Finders:
    """How the parts of a `Place` are looked for; where there is none: None, or an EdgeupError."""

    library: Callable[[Literal["tensorrt", "tensorrt_rtx"]], Library]
    trtexec: Callable[[], Trtexec | None]
    device: Callable[[], Device | None]


def find_place(target: Target, using: Using | None, find: Finders) -> Place:
    """What on this machine builds for the target.

    Args:
        target: TensorRT's version, and the board where one was named.
        using: None takes the bindings where they fit, else trtexec.
        find: how to look.

    Raises:
        CannotBuildError: nothing here does, and why.
        EdgeupError: there is nothing to build for the target, or ``using`` makes no sense.
    """
    if target.backend == "tensorrt-rtx":
        if using == "trtexec":
            raise EdgeupError("TensorRT for RTX has no trtexec; leave --using out")
        return Place(find.library("tensorrt_rtx"), None, find.device())
    if target.version is None:
        raise EdgeupError(
            f"there is no engine to build for {target.name}: it runs ONNX Runtime; name a Jetson, "
            f"a JetPack, a TensorRT or rtx with --target"
        )
    device = find.device()
    _check_device(target, device)
    if using != "trtexec":
        try:
            library = find.library("tensorrt")
            _check_version(target, library.version, "TensorRT's Python bindings")
            return Place(library, None, device)
        except EdgeupError as error:
            if using == "tensorrt":
                raise CannotBuildError(str(error)) from error
            missing = str(error)
    else:
        missing = ""
    trtexec = find.trtexec()
    if trtexec is None:
        raise CannotBuildError(
            f"{missing}{'; ' if missing else ''}there is no trtexec on the PATH or in "
            f"TensorRT's usual folder either"
        )
    _check_version(target, trtexec.version[:2], f"{trtexec.path}, which")
    return Place(None, trtexec, device)


def _check_device(target: Target, device: Device | None) -> None:
    if device is None:
        raise CannotBuildError(f"this machine has no NVIDIA GPU to build for {target.name} on")
    on_jetson = target.board is not None or target.jetpack is not None
    if on_jetson and not device.shares_memory:
        raise CannotBuildError(
            f"{target.name} is a Jetson, this machine has a {device.name}, and an engine is for "
            f"the GPU that built it"
        )
    if target.board is None:
        return
    wanted = ".".join(map(str, target.board.compute_capability))
    if wanted != device.compute_capability:
        raise CannotBuildError(
            f"{target.board.title} has compute capability {wanted}, this machine "
            f"({device.name}) has {device.compute_capability}, and an engine is for the GPU that "
            f"built it"
        )


def _check_version(target: Target, version: tuple[int, int], what: str) -> None:
    if version == target.version:
        return
    here = f"{version[0]}.{version[1]}"
    raise CannotBuildError(
        f"{target.name} has TensorRT {target.tensorrt}, and {what} is {here} here; "
        f"build with --target trt-{here} for this machine"
    )


def finders() -> Finders:
    """The parts of this machine, looked for where they usually are."""
    from edgeup.runtime.engine.bindings_library import find_library
    from edgeup.runtime.engine.device import find_device
    from edgeup.runtime.engine.trtexec_run import find_trtexec
    from edgeup.runtime.machine import Machine

    return Finders(find_library, find_trtexec, lambda: find_device(Machine()))

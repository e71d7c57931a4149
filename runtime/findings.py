"""What is missing or in the way on a machine, and what to do about it: `edgeup doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from edgeup.runtime.environment import Environment, TensorRTModule

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis; ``remedy`` is a command or a sentence, empty when all is well."""

    level: Level
    what: str
    remedy: str = ""


def findings(facts: Environment) -> list[Finding]:
    """Judge the facts, in the order in which a user would set the machine up."""
    return [finding for rule in _RULES for finding in rule(facts)]


def _jetson(facts: Environment) -> Iterator[Finding]:
    jetson = facts.jetson
    if jetson is None:
        return
    if jetson.l4t is None:
        yield Finding("note", f"{jetson.board}: its L4T release cannot be read (a container?)")
    elif jetson.jetpack is None:
        yield Finding("note", f"{jetson.board}: L4T {jetson.l4t} is of no JetPack known here")
    else:
        mode = f", power mode {jetson.power_mode}" if jetson.power_mode else ""
        yield Finding("ok", f"{jetson.board}: JetPack {jetson.jetpack}, L4T {jetson.l4t}{mode}")


def _gpu(facts: Environment) -> Iterator[Finding]:
    for gpu in facts.gpus:
        yield Finding("ok", f"GPU {gpu.name}, driver {gpu.driver}")


def _torch(facts: Environment) -> Iterator[Finding]:
    if "torch" in facts.versions:
        yield Finding("ok", f"torch {facts.versions['torch']}")
    else:
        yield Finding(
            "note",
            "torch is not installed: ONNX files can be used, but no PyTorch model exported",
            "pip install 'edgeup[torch]'",
        )


def _tensorrt(facts: Environment) -> Iterator[Finding]:
    usable = [module for module in facts.tensorrt if module.importable]
    system = [module for module in facts.tensorrt if module.system]
    if usable:
        first = usable[0]
        yield Finding("ok", f"TensorRT {first.version or 'of unknown version'}: {first.folder}")
        yield from (_shadow(first, other) for other in system if _shadows(first, other))
    elif facts.jetson is not None:
        yield from _unreachable(facts, system)


def _shadows(first: TensorRTModule, other: TensorRTModule) -> bool:
    if first.system or first.version is None or other.version is None:
        return False
    # JetPack says 10.3.0 where pip says 10.3.0.30: the first three parts decide.
    return first.version.split(".")[:3] != other.version.split(".")[:3]


def _shadow(first: TensorRTModule, other: TensorRTModule) -> Finding:
    return Finding(
        "problem",
        f"TensorRT {first.version} from pip ({first.folder}) hides the system's "
        f"{other.version} ({other.folder}): engines of one do not load in the other",
        "pip uninstall tensorrt tensorrt-cu12 tensorrt-cu13, so that the system's is used",
    )


def _unreachable(facts: Environment, system: list[TensorRTModule]) -> Iterator[Finding]:
    """A Jetson where ``import tensorrt`` fails."""
    here = ".".join(str(part) for part in facts.python)
    same = [module for module in system if module.python in (None, facts.python)]
    if not system:
        yield Finding(
            "problem",
            "TensorRT's Python module is not installed",
            "sudo apt-get install nvidia-jetpack",
        )
    elif not same:
        python = ".".join(str(part) for part in system[0].python or ())
        yield Finding(
            "problem",
            f"JetPack's TensorRT ({system[0].folder}) is for Python {python}, this is {here}",
            f"build engines with {facts.trtexec.path}" if facts.trtexec else f"use Python {python}",
        )
    elif facts.in_venv:
        yield Finding(
            "problem",
            f"this virtual environment does not see JetPack's TensorRT ({same[0].folder})",
            "python3 -m venv --system-site-packages: make the environment anew with it",
        )
    else:
        yield Finding(
            "problem",
            f"this Python does not see JetPack's TensorRT ({same[0].folder})",
            "use the system's /usr/bin/python3",
        )


def _tensorrt_rtx(facts: Environment) -> Iterator[Finding]:
    for name in ("tensorrt-rtx-cu12", "tensorrt-rtx-cu13"):
        if name in facts.versions:
            yield Finding("ok", f"TensorRT for RTX {facts.versions[name]}")
            return
    if facts.architecture == "x86_64" and facts.system == "Linux":
        yield Finding(
            "note",
            "TensorRT for RTX is not installed: NVIDIA's parser cannot be asked without a GPU",
            "pip install 'edgeup[rtx]'",
        )


def _cuda(facts: Environment) -> Iterator[Finding]:
    if facts.nvcc is None:
        return
    version = f"CUDA {facts.nvcc.version}" if facts.nvcc.version else "CUDA"
    if facts.nvcc.on_path:
        yield Finding("ok", f"{version}: {facts.nvcc.path}")
    else:
        yield Finding(
            # Only compiling pycuda needs it.
            "note" if "pycuda" in facts.versions else "problem",
            f"{version} is there, but {facts.nvcc.path} is not on the PATH",
            f"export PATH={facts.nvcc.path.removesuffix('/nvcc')}:$PATH",
        )


def _pycuda(facts: Environment) -> Iterator[Finding]:
    if "pycuda" in facts.versions:
        yield Finding("ok", f"pycuda {facts.versions['pycuda']}")
    elif facts.jetson is not None:
        yield Finding(
            "problem",
            "pycuda is not installed: engines cannot be run from Python",
            "pip install 'edgeup[jetson]'",
        )


def _trtexec(facts: Environment) -> Iterator[Finding]:
    if facts.trtexec is None:
        return
    where = "" if facts.trtexec.on_path else " (not on the PATH)"
    yield Finding("ok", f"trtexec: {facts.trtexec.path}{where}")


_RULES: tuple[Callable[[Environment], Iterator[Finding]], ...] = (
    _jetson,
    _gpu,
    _torch,
    _tensorrt,
    _tensorrt_rtx,
    _cuda,  # before pycuda, which is compiled with it
    _pycuda,
    _trtexec,
)

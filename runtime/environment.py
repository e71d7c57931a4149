"""What this machine is: versions, CPU, memory, CUDA, GPU, Jetson, where TensorRT lies.

Nothing heavy is imported: versions come from the packages' metadata.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from edgeup.runtime.cpu import cpu_model, cpu_threads
from edgeup.runtime.jetson import Jetson, find_jetson
from edgeup.runtime.machine import Machine

PACKAGES = (
    *("edgeup", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "onnx-ir", "onnxscript"),
    *("onnxsim", "torch", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    *("tensorrt-rtx-cu12", "tensorrt-rtx-cu13", "pycuda", "cuda-python", "cuda-bindings"),
)
"""The distributions whose versions belong in a report."""


@dataclass(frozen=True)
class Tool:
    """A program: where it is, its version if it tells, and whether the shell would find it."""

    path: str
    version: str | None
    on_path: bool


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as nvidia-smi names it."""

    name: str
    driver: str


@dataclass(frozen=True)
class TensorRTModule:
    """A folder from which ``import tensorrt`` could come.

    ``python`` is the version that a Jetson's or Debian's own folder is for; None elsewhere.
    ``importable``: whether its parent is on ``sys.path``. ``system``: not from pip.
    """

    folder: str
    version: str | None
    python: tuple[int, int] | None
    importable: bool
    system: bool


@dataclass(frozen=True)
class Environment:
    """The facts; absent things are None, empty or missing from ``versions``."""

    versions: Mapping[str, str]
    python: tuple[int, int]
    in_venv: bool
    system: str
    architecture: str
    cpu: str
    threads: int
    memory_bytes: int | None
    nvcc: Tool | None
    trtexec: Tool | None
    gpus: tuple[Gpu, ...]
    jetson: Jetson | None
    tensorrt: tuple[TensorRTModule, ...]

    @property
    def device(self) -> str:
        """The machine in a few words."""
        if self.jetson is not None:
            release = self.jetson.jetpack or "of unknown version"
            return f"{self.jetson.board}, JetPack {release}"
        return self.gpus[0].name if self.gpus else f"CPU: {self.cpu}"

    def to_json(self) -> dict[str, Any]:
        """A report's ``environment``; paths of the user's own folders are left out."""
        return {
            **self.versions,
            "device": self.device,
            "system": self.system,
            "architecture": self.architecture,
            "cpu": self.cpu,
            "cpu_threads": self.threads,
            "memory_bytes": self.memory_bytes,
            "cuda": None if self.nvcc is None else self.nvcc.version,
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "jetson": None if self.jetson is None else asdict(self.jetson),
        }


def environment() -> dict[str, Any]:
    """The ``environment`` of a report made by this process."""
    return examine(Machine()).to_json()


def examine(machine: Machine) -> Environment:
    """Gather the facts; a file or command that is missing or odd leaves its fact out."""
    found = installed(machine.sys_path)
    return Environment(
        versions={
            "python": platform.python_version(),
            **{name: found[name] for name in PACKAGES if name in found},
        },
        python=machine.python,
        in_venv=machine.in_venv,
        system=machine.system,
        architecture=machine.architecture,
        cpu=cpu_model(machine.root),
        threads=cpu_threads(machine.root),
        memory_bytes=_memory(machine),
        nvcc=_tool(machine, "nvcc", "usr/local/cuda/bin/nvcc", r"release [\d.]+, V([\d.]+)"),
        trtexec=_tool(machine, "trtexec", "usr/src/tensorrt/bin/trtexec", None),
        gpus=_gpus(machine),
        jetson=find_jetson(machine),
        tensorrt=_tensorrt_modules(machine),
    )


def installed(folders: Sequence[str]) -> dict[str, str]:
    """Versions by normalized distribution name; of two, the one that comes first on the path."""
    versions: dict[str, str] = {}
    for distribution in distributions(path=list(folders)):
        name, version = _identity(distribution)
        if name and version:
            versions.setdefault(name, version)
    return versions


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Normalized name and version, empty where the metadata is damaged."""
    try:
        metadata = distribution.metadata
        name, version = metadata["Name"], metadata["Version"]
    except Exception:  # a broken dist-info folder raises whatever its reader happens to raise
        return "", ""
    return re.sub(r"[-_.]+", "-", name or "").lower(), version or ""


def _memory(machine: Machine) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", machine.read("proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _tool(machine: Machine, name: str, usual: str, version: str | None) -> Tool | None:
    """A program on the PATH, or else where NVIDIA's packages put it."""
    on_path = machine.which(name)
    path = on_path or (f"/{usual}" if machine.is_file(usual) else None)
    if path is None:
        return None
    match = re.search(version, machine.run([path, "--version"]) or "") if version else None
    return Tool(path, match[1] if match else None, on_path is not None)


def _gpus(machine: Machine) -> tuple[Gpu, ...]:
    if machine.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    rows = [line.rpartition(",") for line in (machine.run(query) or "").splitlines()]
    return tuple(Gpu(name.strip(), driver.strip()) for name, comma, driver in rows if comma)


def _tensorrt_modules(machine: Machine) -> tuple[TensorRTModule, ...]:
    """Every ``tensorrt`` module: those on ``sys.path`` in its order, then the system's others."""
    system = sorted((machine.root / "usr/lib").glob("python3*/dist-packages"))
    on_path = [Path(entry) for entry in machine.sys_path if entry]
    modules = []
    for folder in dict.fromkeys([*on_path, *system]):
        if not (folder / "tensorrt" / "__init__.py").is_file():
            continue
        versions = [
            version
            for name, version in installed([str(folder)]).items()
            if re.fullmatch(r"tensorrt(-cu\d+)?(-bindings)?", name)
        ]
        python = re.fullmatch(r"python(\d+)\.(\d+)", folder.parent.name)
        modules.append(
            TensorRTModule(
                folder=str(folder / "tensorrt"),
                version=versions[0] if versions else None,
                python=(int(python[1]), int(python[2])) if python else None,
                importable=folder in on_path,
                system=folder in system,
            )
        )
    return tuple(modules)

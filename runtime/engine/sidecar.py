"""The file beside an engine that says what it is, and the check before an engine is loaded.

An engine is code: loading one runs it. The sidecar's hash shows that the engine is the file that
was built, not who built it; so an engine without a sidecar, or with another hash, is loaded only
where the user vouches for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError

SCHEMA_VERSION = 1

_LONGEST_TEXT = 256
"""Of a version, a hash or a GPU's name; Python refuses to read numbers of 4,300 digits."""


@dataclass(frozen=True)
class Sidecar:
    """What an engine is.

    Attributes:
        engine_sha256: of the engine's bytes.
        onnx_sha256: of the model that it was built from.
        package: "tensorrt" or "tensorrt_rtx".
        version: of that package, as it tells it.
        device: name of the GPU that built; None where none did.
        compute_capability: of that GPU ("8.7"); None where none built.
        precision: as asked: "fp32", "fp16".
        options: how it was built (`BuildOptions.to_json`).
        more: facts that loading does not need: times, the read-back, edgeup's version.
    """

    engine_sha256: str
    onnx_sha256: str
    package: str
    version: str
    device: str | None
    compute_capability: str | None
    precision: str
    options: Mapping[str, Any]
    more: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {
            "schema_version": SCHEMA_VERSION,
            "engine": {"sha256": self.engine_sha256},
            "onnx": {"sha256": self.onnx_sha256},
            "tensorrt": {"package": self.package, "version": self.version},
            "device": {"name": self.device, "compute_capability": self.compute_capability},
            "precision": self.precision,
            "options": dict(self.options),
            **self.more,
        }

    def to_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n").encode()


@dataclass(frozen=True)
class Here:
    """Where an engine is to be loaded: the TensorRT and the GPU of this machine.

    A GPU that is not known (None) is not compared.
    """

    package: str
    version: str
    device: str | None = None
    compute_capability: str | None = None


@dataclass(frozen=True)
class StoredEngine:
    """An engine that may be loaded here; ``sidecar`` is None where it was trusted without one."""

    content: bytes
    sidecar: Sidecar | None
    notices: tuple[str, ...] = ()


def sidecar_path(engine: Path) -> Path:
    """``model.engine`` has ``model.engine.json`` beside it."""
    return engine.with_name(engine.name + ".json")


def sha256(content: bytes) -> str:
    """The hash, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def load_engine(path: Path, here: Here, *, trust: bool = False) -> StoredEngine:
    """Read an engine after its sidecar said that it may be loaded here.

    Args:
        path: the engine's file.
        here: what would load it.
        trust: the user vouches for an engine without a sidecar, or with another hash.

    Raises:
        EdgeupError: no such file; an engine that is not vouched for; one of another package,
            version or GPU. The line says which, and what to do.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EdgeupError(f"engine {path}: {error.strerror or error}") from error
    if not content:
        raise EdgeupError(f"engine {path} is empty (0 bytes); build it again")
    sidecar = read_sidecar(path)
    if sidecar is None:
        if not trust:
            raise EdgeupError(
                f"engine {path} has no sidecar {sidecar_path(path).name}, and an engine is code; "
                f"build it with 'edgeup build', or vouch for it with --trust"
            )
        return StoredEngine(content, None, (f"{path.name} was loaded on trust: it has no sidecar",))
    notices: list[str] = []
    if sha256(content) != sidecar.engine_sha256:
        if not trust:
            raise EdgeupError(
                f"engine {path} is not the file that its sidecar describes (its SHA-256 differs): "
                f"it was changed or replaced; build it again, or vouch for it with --trust"
            )
        notices.append(f"{path.name} was loaded on trust: it is not what its sidecar describes")
    reason = why_not_here(sidecar, here)
    if reason is not None:
        raise EdgeupError(f"engine {path} will not load here: {reason}")
    if None not in (sidecar.device, here.device) and sidecar.device != here.device:
        notices.append(
            f"{path.name} was built on {sidecar.device}, and this is {here.device}: kernels were "
            f"chosen for the other one; build it again for the best times"
        )
    return StoredEngine(content, sidecar, tuple(notices))


def why_not_here(sidecar: Sidecar, here: Here) -> str | None:
    """One line on why an engine cannot be loaded here, or None."""
    names = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
    if sidecar.package != here.package:
        built, asked = (names.get(p, p) for p in (sidecar.package, here.package))
        return f"it was built with {built}, and this is {asked}; build it again"
    name = names.get(here.package, here.package)
    built_version, this_version = _numbers(sidecar.version), _numbers(here.version)
    compatible = bool(sidecar.options.get("version_compatible"))
    # Version-compatible engines load in the same major release, from their version on.
    same = built_version == this_version or (
        compatible and built_version[:1] == this_version[:1] and built_version <= this_version
    )
    if not same:
        return (
            f"it was built with {name} {sidecar.version}, and this is {here.version}; "
            f"build it again, or with --version-compatible"
        )
    return _why_not_this_gpu(sidecar, here)


def _why_not_this_gpu(sidecar: Sidecar, here: Here) -> str | None:
    this = here.compute_capability
    if this is None:
        return None
    targets = [c for c in sidecar.options.get("compute_capabilities", ()) if c != "current"]
    built = targets or ([sidecar.compute_capability] if sidecar.compute_capability else [])
    if not built or this in built:
        return None
    if sidecar.options.get("hardware_compatibility") == "ampere+" and _numbers(this) >= (8, 0):
        return None
    return (
        f"it was built for compute capability {' and '.join(built)}, and this GPU "
        f"{f'({here.device}) ' if here.device else ''}has {this}; build it here"
    )


def read_sidecar(engine: Path) -> Sidecar | None:
    """The sidecar of an engine, None where there is none.

    Raises:
        EdgeupError: it is there, and is not a sidecar.
    """
    path = sidecar_path(engine)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeupError(f"sidecar {path} cannot be read: {error}") from error
    try:
        document = json.loads(text)
        return _parsed(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EdgeupError(
            f"{path} is not a sidecar of edgeup's, or was cut short ({error}); build the engine "
            f"again, or remove that file and vouch for the engine with --trust"
        ) from error


def _parsed(document: Any) -> Sidecar:
    if document["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {document['schema_version']!r}, not 1")
    tensorrt, device = document["tensorrt"], document["device"]
    known = ("schema_version", "engine", "onnx", "tensorrt", "device", "precision", "options")
    sidecar = Sidecar(
        engine_sha256=document["engine"]["sha256"],
        onnx_sha256=document["onnx"]["sha256"],
        package=tensorrt["package"],
        version=tensorrt["version"],
        device=device["name"],
        compute_capability=device["compute_capability"],
        precision=document["precision"],
        options=dict(document["options"]),
        more={key: value for key, value in document.items() if key not in known},
    )
    texts = [sidecar.engine_sha256, sidecar.onnx_sha256, sidecar.package, sidecar.version]
    texts += [sidecar.precision, sidecar.device or "", sidecar.compute_capability or ""]
    texts += sidecar.options.get("compute_capabilities", [])
    if not all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in texts):
        raise ValueError("a hash, version, device or precision is no text, or too long a one")
    return sidecar


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers: "10.3.0.30" and "10.3.0" are one release."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])

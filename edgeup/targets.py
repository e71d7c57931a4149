"""What a deployment target reads: a JetPack with its TensorRT, TensorRT for RTX, or the CPU here.

The facts are in ``data/targets.json``, each with its sources; ``unverified`` names the fields
for which no source was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgeup.errors import EdgeupError, unknown

OLDEST_OPSET = 13
"""What TensorRT 8.0 to 8.2 read (onnx-tensorrt docs/operators.md): no target reads less."""


@dataclass(frozen=True)
class Target:
    """A place where a model will run.

    ``opset`` is what edgeup writes for it, ``opset_max`` the newest it reads; ``ir_version`` is
    the one that onnx published with ``opset``. Version fields are None where there is none.
    """

    name: str
    backend: str
    jetpack: str | None
    l4t: str | None
    tensorrt: str | None
    cuda: str | None
    python: str | None
    opset: int
    opset_max: int
    ir_version: int
    boards: tuple[str, ...]
    sources: tuple[str, ...]
    unverified: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields, as a report holds them."""
        return asdict(self)

    def choose_opset(self, wanted: int | None) -> tuple[int, int]:
        """The opset and IR version to write: this target's own, or a user's wish within reach.

        Raises:
            EdgeupError: the target does not read the wanted opset, or edgeup does not write it.
        """
        if wanted is None or wanted == self.opset:
            return self.opset, self.ir_version
        if not OLDEST_OPSET <= wanted <= self.opset_max:
            raise EdgeupError(
                f"opset {wanted} is out of reach: {self.name} reads up to {self.opset_max}, and "
                f"edgeup writes {OLDEST_OPSET} or newer; leave --opset out for {self.opset}"
            )
        return wanted, ir_version_of(wanted)


def ir_version_of(opset: int) -> int:
    """The IR version that onnx published with an opset (onnx.helper.VERSION_TABLE).

    Raises:
        EdgeupError: the opset is not in the table.
    """
    for newest, ir_version in ((14, 7), (18, 8), (20, 9), (22, 10), (23, 11), (24, 12)):
        if opset <= newest:
            return ir_version
    raise EdgeupError(f"opset {opset} is newer than any that a target reads (24)")


@cache
def _document() -> Mapping[str, Any]:
    text = (files("edgeup") / "data" / "targets.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


@cache
def all_targets() -> tuple[Target, ...]:
    """Every target, in the order in which `edgeup list targets` shows them."""
    return tuple(_target(entry) for entry in _document()["targets"])


def _target(entry: Mapping[str, Any]) -> Target:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return Target(**fields)


def sources() -> Mapping[str, str]:
    """The sources that the targets' facts cite, by their short names."""
    cited: Mapping[str, str] = _document()["_sources"]
    return cited


def default_target() -> str:
    """The target of `edgeup export` when the user names none."""
    name: str = _document()["default"]
    return name


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        EdgeupError: there is none; the message holds the nearest names.
    """
    for target in all_targets():
        if target.name == name.lower():
            return target
    raise unknown("target", name, [target.name for target in all_targets()])

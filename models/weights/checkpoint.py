"""A checkpoint file, whoever wrote it, to arrays by state-dict name. Nothing in it is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.models.weights.inert import Instance, Tensor, first, shown
from edgeup.models.weights.legacy import read_legacy
from edgeup.models.weights.module_tree import Tree, is_module, tree_from_module
from edgeup.models.weights.safetensors_file import read_safetensors
from edgeup.models.weights.sniff import Container, sniff
from edgeup.models.weights.tensors import TensorReader
from edgeup.models.weights.zipped import read_zip
from edgeup.spec import Array

_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_NOTED = ("arch", "epoch", "best_prec1", "best_result")
_METRICS = ("rmse", "absrel", "delta1")
_PREFIX = "module."  # what nn.DataParallel puts before every name


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        state: read-only arrays by state-dict name, without ``module.``.
        kind: "state dict", "state dict in a checkpoint", "whole module" or
            "whole module in a checkpoint".
        classes: of a whole module, the class names that the file gives, by submodule path.
        notes: what else the file says of itself: epoch, metrics.
    """

    state: Mapping[str, Array]
    kind: str
    classes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read weights from ``path``: .pth, .pt or .safetensors, a state dict or a whole module.

    Raises:
        EdgeupError: no such file, or it is something else, truncated, damaged, or asks for
            anything but tensors and plain attributes; the line names it.
    """
    try:
        return _checkpoint(_content(path))
    except MissingPackageError:
        raise
    except EdgeupError as error:
        raise EdgeupError(f"weights {path}: {error}") from error


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise EdgeupError("is a folder; give the checkpoint file inside")
    if not path.exists():
        raise EdgeupError("there is no such file")
    if not path.is_file():  # a pipe or a device has no end
        raise EdgeupError("is not a regular file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise EdgeupError(f"cannot be read: {error.strerror or error}") from error


def _checkpoint(data: bytes) -> Checkpoint:
    container = sniff(data)
    if container is Container.SAFETENSORS:
        return Checkpoint(_unprefixed(read_safetensors(data)), "state dict")
    archive = read_zip(data) if container is Container.ZIP else read_legacy(data)
    tree, kind = _tree_and_kind(archive.root)
    reader = TensorReader(archive.buffer, archive.big_endian)
    state = {name: reader.read(tensor) for name, tensor in tree.tensors.items()}
    if not state:
        raise EdgeupError("holds no tensors")
    return Checkpoint(_unprefixed(state), kind, tree.classes, _notes(archive.root))


def _tree_and_kind(root: object) -> tuple[Tree, str]:
    if is_module(root):
        return tree_from_module(root), "whole module"
    if not isinstance(root, dict):
        name = root.cls if isinstance(root, Instance) else type(root).__name__
        raise EdgeupError(f"holds an object of type {name}; a state dict or a module is needed")
    for key in _STATE_KEYS:
        inner = root.get(key)
        if is_module(inner):
            return tree_from_module(inner), "whole module in a checkpoint"
        if isinstance(inner, dict):
            return _tree_from_dict(inner), "state dict in a checkpoint"
    if any(isinstance(value, Tensor) for value in root.values()):
        return _tree_from_dict(root), "state dict"
    raise EdgeupError(
        f"holds neither a state dict nor a module: its keys are "
        f"{first(key for key in root if isinstance(key, str))}, and "
        f"weights are looked for under {', '.join(_STATE_KEYS)}"
    )


def _tree_from_dict(state: dict[object, object]) -> Tree:
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise EdgeupError(f"its state dict has a key that is a {type(name).__name__}")
        if not isinstance(value, Tensor):
            raise EdgeupError(
                f"{shown(name)} in its state dict is no tensor but a {type(value).__name__}"
            )
        tensors[name] = value
    return Tree(tensors, {})


def _unprefixed(state: dict[str, Array]) -> dict[str, Array]:
    if state and all(name.startswith(_PREFIX) for name in state):
        return {name.removeprefix(_PREFIX): array for name, array in state.items()}
    return state


def _notes(root: object) -> tuple[str, ...]:
    if not isinstance(root, dict):
        return ()
    notes = []
    for key in _NOTED:
        match root.get(key):
            case Instance(attributes=attributes):
                metrics = [f"{m} {_plain(v)}" for m in _METRICS if _plain(v := attributes.get(m))]
                notes += [f"{key}: {', '.join(metrics)}"] if metrics else []
            case value if text := _plain(value):
                notes.append(f"{key} {text}")
    return tuple(notes)


def _plain(value: object) -> str:
    match value:
        case bool():
            return ""
        case str():
            return shown(value)
        case int() if abs(value) < 2**63:
            return str(value)
        case float() if math.isfinite(value):
            return f"{value:.4g}"
    return ""

"""A pickled module, as inert attributes, to the state dict that it would have given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from edgeup.errors import EdgeupError
from edgeup.models.weights.inert import Instance, Tensor, shown

MAX_DEPTH = 64
MAX_ENTRIES = 50_000
"""A small file can share its children so that the tree of paths is exponentially large."""
MAX_NAME = 200
"""Of one module or parameter; paths repeat it."""

_WRAPPERS = ("DataParallel", "DistributedDataParallel")


@dataclass(frozen=True)
class Tree:
    """A module's tensors by their state-dict names, and its submodules' classes by path.

    The root's path is the empty string. Classes are names alone: ``models.MobileNetSkipAdd``.
    """

    tensors: dict[str, Tensor]
    classes: dict[str, str]


def is_module(value: object) -> TypeGuard[Instance]:
    """Whether an inert value was an ``nn.Module``: it has the three tables of one."""
    return isinstance(value, Instance) and all(
        isinstance(value.attributes.get(table), dict)
        for table in ("_parameters", "_buffers", "_modules")
    )


def tree_from_module(root: Instance) -> Tree:
    """Walk a pickled module as ``nn.Module.state_dict`` would.

    Raises:
        EdgeupError: something in the tree is neither a module nor a tensor, or it does not end.
    """
    if root.cls.name in _WRAPPERS and is_module(inner := _table(root, "_modules").get("module")):
        root = inner
    tree = Tree({}, {})
    entries = 0
    for path, module in _modules(root, "", 0):
        tree.classes[path.removesuffix(".")] = str(module.cls)
        tables = _table(module, "_parameters"), _table(module, "_buffers")
        entries += 1 + sum(map(len, tables))
        if entries > MAX_ENTRIES:
            raise EdgeupError(f"its module tree has more than {MAX_ENTRIES:,} modules and tensors")
        hidden = module.attributes.get("_non_persistent_buffers_set")
        for table, skipped in zip(tables, (None, hidden), strict=True):
            tree.tensors.update(_tensors(path, table, skipped))
    return tree


def _modules(module: Instance, path: str, depth: int) -> Iterator[tuple[str, Instance]]:
    if depth > MAX_DEPTH:
        raise EdgeupError(f"its module tree is deeper than {MAX_DEPTH}; does it hold itself?")
    yield path, module
    for key, child in _table(module, "_modules").items():
        name = _name(key)
        if child is None:
            continue
        if not is_module(child):
            raise EdgeupError(f"{shown(f'{path}{name}')} in its module tree is no module")
        yield from _modules(child, f"{path}{name}.", depth + 1)


def _tensors(
    path: str, table: dict[object, object], skipped: object
) -> Iterator[tuple[str, Tensor]]:
    for key, value in table.items():
        name = _name(key)
        if value is None or (isinstance(skipped, set) and name in skipped):
            continue
        if not isinstance(value, Tensor):
            raise EdgeupError(f"{shown(f'{path}{name}')} in its module tree is no tensor")
        yield path + name, value


def _name(key: object) -> str:
    if not isinstance(key, str) or len(key) > MAX_NAME:
        raise EdgeupError("a name in its module tree is damaged")
    return key


def _table(module: Instance, name: str) -> dict[object, object]:
    table = module.attributes[name]
    return table if isinstance(table, dict) else {}

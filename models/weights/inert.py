"""What a pickle may become here: plain Python values, and these records. None of them acts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgeup.errors import EdgeupError


@dataclass(frozen=True)
class Global:
    """A name that the file mentions. It is never imported, looked up or called."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


@dataclass(eq=False, repr=False)
class Instance:
    """An object of a class that the file names: its attributes, without its class.

    No repr: objects that share and nest could make it endless.
    """

    cls: Global
    attributes: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Storage:
    """A run of ``length`` elements, ``start`` elements into the root storage ``key``."""

    key: str
    dtype: str
    start: int
    length: int


@dataclass(frozen=True, eq=False, repr=False)
class Tensor:
    """A view of a storage, in elements; it was checked to lie inside."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def shown(text: str, limit: int = 80) -> str:
    """A file's own text, made fit for one line: no control characters, no great length."""
    safe = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[:limit]}..."


def first(names: Iterable[str], count: int = 4) -> str:
    """The first few names, fit for one line, and how many there are in all."""
    every = list(names)
    some = ", ".join(shown(name) for name in every[:count])
    if not every:
        return "none"
    return some if len(every) <= count else f"{some}, ... ({len(every)} in all)"


def refused_call(name: object) -> EdgeupError:
    """The error for a file that asks to call something outside the list of rebuilders."""
    return EdgeupError(
        f"refused: the pickle asks to call {name}; only tensors and plain attributes are read, and "
        f"nothing in a checkpoint is run. If you trust the file, load it where its code lives and "
        f"save model.state_dict()"
    )

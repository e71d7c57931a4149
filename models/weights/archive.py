"""What a container gives: an object of inert values, and the bytes that its tensors view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeup.models.weights.tensors import Buffer


@dataclass(frozen=True)
class Archive:
    """A checkpoint taken apart.

    Attributes:
        root: the pickled object.
        buffer: a storage's bytes by key, of exactly the declared size.
        big_endian: whether these bytes are big-endian.
    """

    root: object
    buffer: Callable[[str], Buffer]
    big_endian: bool

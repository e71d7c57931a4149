"""Tensors out of storages: every declared size is checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.models.weights.dtypes import STORAGE_DTYPES, itemsize, numpy_dtype
from edgeup.models.weights.inert import Global, Storage, Tensor, shown
from edgeup.spec import Array

MAX_DIMS = 32  # what NumPy 1.x can hold; no weight has more than five

Buffer: TypeAlias = "bytes | memoryview"
SizeCheck: TypeAlias = Callable[[str, int], None]
"""Refuses a storage key whose bytes the container does not hold; called before any is read."""


class StorageTable:
    """Root storages as a pickle declares them, by key; each is declared alike every time."""

    def __init__(self, check_size: SizeCheck) -> None:
        self.declared: dict[str, tuple[str, int]] = {}
        self._check_size = check_size

    def resolve(self, persistent_id: object) -> Global | Storage:
        """The stand-in for a persistent id, as torch.save writes them.

        ``('storage', class, key, location, numel[, view])``, where ``view`` is None or
        ``(key, offset, numel)``; and, in the legacy container,
        ``('module', class, source file, source)``, of which the source is ignored.
        """
        match persistent_id:
            case ("module", Global() as cls, _, _):
                return cls
            case ("storage", Global() as cls, str(key), _, int(numel)):
                return self._root(cls, key, numel)
            case ("storage", Global() as cls, str(key), _, int(numel), None):
                return self._root(cls, key, numel)
            case (
                "storage",
                Global() as cls,
                str(key),
                _,
                int(numel),
                (_, int(start), int(length)),
            ):
                root = self._root(cls, key, numel)
                if start < 0 or length < 0 or start + length > numel:
                    raise EdgeupError(
                        f"storage {shown(key)}: a view of {length:,} elements from {start:,} "
                        f"does not fit its {numel:,}"
                    )
                return Storage(key, root.dtype, start, length)
        raise EdgeupError("the pickle holds a persistent id that torch.save does not write")

    def _root(self, cls: Global, key: str, numel: int) -> Storage:
        if cls.module not in ("torch", "torch.cuda", "torch.storage"):
            raise EdgeupError(f"{cls} is not a storage of PyTorch")
        if cls.name not in STORAGE_DTYPES:
            raise EdgeupError(
                f"storages of {cls} are not read; there is {', '.join(STORAGE_DTYPES)}. Save the "
                f"model's state dict in float32"
            )
        dtype = STORAGE_DTYPES[cls.name]
        if numel < 0:
            raise EdgeupError(f"storage {shown(key)} declares {numel} elements")
        if self.declared.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise EdgeupError(f"storage {shown(key)} is declared twice, in two ways")
        self._check_size(key, numel * itemsize(dtype))
        return Storage(key, dtype, 0, numel)


def tensor_from_parts(storage: object, offset: object, size: object, stride: object) -> Tensor:
    """A tensor that was checked to lie inside its storage.

    Raises:
        EdgeupError: it reaches outside, repeats elements (an expanded tensor would cost more
            memory than the file has), or its parts are not numbers.
    """
    if not isinstance(storage, Storage) or not isinstance(offset, int) or offset < 0:
        raise EdgeupError("a tensor's storage or offset is damaged")
    sizes, strides = _naturals(size), _naturals(stride)
    if len(sizes) != len(strides) or len(sizes) > MAX_DIMS:
        raise EdgeupError(f"a tensor has {len(sizes)} sizes and {len(strides)} strides")
    numel = math.prod(sizes)
    last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    if numel and (last >= storage.length or numel > storage.length):
        raise EdgeupError(
            f"a tensor of {'x'.join(map(str, sizes))} at offset {offset} with strides {strides} "
            f"does not fit storage {shown(storage.key)} of {storage.length:,} elements"
        )
    return Tensor(storage, offset, sizes, strides)


def _naturals(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple):
        raise EdgeupError("a tensor's shape is not a tuple of numbers")
    numbers = tuple(v for v in values if isinstance(v, int) and 0 <= v < 2**48)
    if len(numbers) != len(values):
        raise EdgeupError("a tensor's shape is not a tuple of natural numbers")
    return numbers


class TensorReader:
    """Arrays as read-only views of their storages, so that sharing costs no memory.

    Args:
        buffer: gives a root storage's bytes by key.
        big_endian: whether those bytes are big-endian.
    """

    def __init__(self, buffer: Callable[[str], Buffer], big_endian: bool) -> None:
        self._buffer = buffer
        self._big_endian = big_endian
        self._roots: dict[str, Array] = {}

    def read(self, tensor: Tensor) -> Array:
        """The tensor as an array of its own shape and strides."""
        storage = tensor.storage
        if math.prod(tensor.size) == 0:
            return _read_only(np.zeros(_empty_shape(tensor.size), numpy_dtype(storage.dtype)))
        root = self._root(storage)
        width = root.dtype.itemsize
        return _read_only(
            np.ndarray(
                tensor.size,
                numpy_dtype(storage.dtype),
                buffer=root,
                offset=(storage.start + tensor.offset) * width,
                strides=tuple(s * width for s in tensor.stride),
            )
        )

    def _root(self, storage: Storage) -> Array:
        # As unsigned integers of the same width: bytes swap alike, and NumPy cannot export
        # bfloat16 as a buffer.
        if storage.key not in self._roots:
            width = itemsize(storage.dtype)
            raw = np.frombuffer(self._buffer(storage.key), np.dtype(f"u{width}"))
            self._roots[storage.key] = raw.byteswap() if self._big_endian else raw
        return self._roots[storage.key]


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _empty_shape(size: tuple[int, ...]) -> tuple[int, ...]:
    # NumPy refuses 0 x 2**47 x 2**47 for its strides, although it holds nothing.
    if math.prod(n for n in size if n) >= 2**48:
        raise EdgeupError(f"an empty tensor of {'x'.join(map(str, size))} is damaged")
    return size

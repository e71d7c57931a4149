"""The container of PyTorch before 1.6: five pickles in a row, then the raw storages.

magic number | protocol version | system info | the object | storage keys | per key: the number of
elements (8 bytes), then the elements. All of it is little-endian (torch/serialization.py).
"""

from __future__ import annotations

import io

from edgeup.errors import EdgeupError
from edgeup.models.weights.archive import Archive
from edgeup.models.weights.dtypes import itemsize
from edgeup.models.weights.inert import shown
from edgeup.models.weights.sniff import LEGACY_MAGIC
from edgeup.models.weights.tensors import StorageTable
from edgeup.models.weights.unpickler import unpickle

LEGACY_PROTOCOL = 1001


def read_legacy(data: bytes) -> Archive:
    """The object and the storages of a legacy checkpoint.

    Raises:
        EdgeupError: it is truncated, damaged, or asks for more than tensors.
    """
    stream = io.BytesIO(data)
    magic, protocol, _ = unpickle(stream), unpickle(stream), unpickle(stream)
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
        raise EdgeupError("its header is not one of torch.save; save the model again")

    def check_size(key: str, declared: int) -> None:
        if declared > len(data):
            raise EdgeupError(
                f"storage {shown(key)} declares {declared:,} bytes, and the whole file has "
                f"{len(data):,}: it is truncated or damaged; download it again"
            )

    table = StorageTable(check_size)
    root = unpickle(stream, table.resolve)
    keys = unpickle(stream)
    return Archive(root, _spans(data, stream.tell(), keys, table).__getitem__, big_endian=False)


def _spans(data: bytes, position: int, keys: object, table: StorageTable) -> dict[str, memoryview]:
    if not isinstance(keys, list) or set(map(_text, keys)) != set(table.declared):
        raise EdgeupError("its storages are not those that its tensors use: it is damaged")
    view = memoryview(data)
    spans: dict[str, memoryview] = {}
    for key in map(_text, keys):
        dtype, numel = table.declared[key]
        start, stop = position + 8, position + 8 + numel * itemsize(dtype)
        if stop > len(data):
            raise EdgeupError(
                f"it is truncated: storage {shown(key)} ends at byte {stop:,} of {len(data):,}; "
                f"download it again"
            )
        stored = int.from_bytes(view[position:start], "little", signed=True)
        if stored != numel:
            raise EdgeupError(
                f"storage {shown(key)} holds {stored:,} elements and was declared with {numel:,}: "
                f"the file is damaged"
            )
        spans[key] = view[start:stop]
        position = stop
    return spans


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise EdgeupError("its list of storages is damaged")
    return key

"""The container of PyTorch since 1.6: a zip with ``data.pkl`` and one member per storage.

``NAME/data.pkl``, ``NAME/data/0`` .., ``NAME/byteorder`` (since 2.0), ``NAME/version``. Nothing is
extracted to a folder, so a member's name never becomes a path.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from edgeup.errors import EdgeupError
from edgeup.models.weights.archive import Archive
from edgeup.models.weights.inert import shown
from edgeup.models.weights.tensors import StorageTable
from edgeup.models.weights.unpickler import unpickle

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises on damaged files; it has no common base for them."""


def read_zip(data: bytes) -> Archive:
    """The object and the storages of a zip checkpoint.

    Raises:
        EdgeupError: it is truncated, damaged, compressed, or asks for more than tensors.
    """
    members = _Members(data)
    names = [name for name in members.sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        raise EdgeupError(
            "is a zip archive, but not a checkpoint: it has no data.pkl; give the file that "
            "torch.save wrote"
        )
    folder = names[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members.sizes:
        raise EdgeupError(
            "is a TorchScript archive, which holds code; save model.state_dict() instead"
        )

    def check_size(key: str, declared: int) -> None:
        stored = members.sizes.get(f"{folder}data/{key}")
        if stored != declared:
            raise EdgeupError(
                f"storage {shown(key)} declares {declared:,} bytes, and the file has "
                f"{'none' if stored is None else f'{stored:,}'}: it is damaged; download it again"
            )

    root = unpickle(io.BytesIO(members.read(f"{folder}data.pkl")), StorageTable(check_size).resolve)
    order = members.read(f"{folder}byteorder") if f"{folder}byteorder" in members.sizes else b""
    return Archive(root, lambda key: members.read(f"{folder}data/{key}"), order == b"big")


class _Members:
    """The members of a zip, after their declared sizes were found to fit the file."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            infos = self._zip.infolist()
        except _ZIP_ERRORS as error:
            raise EdgeupError(
                f"is truncated: a zip archive of {len(data):,} bytes without a readable table of "
                f"contents; download it again"
            ) from error
        self.sizes = {info.filename: info.file_size for info in infos}
        if len(self.sizes) != len(infos):
            raise EdgeupError("refused: its zip archive holds two members of one name")
        for info in infos:
            # torch.save stores; a compressed member could unpack to any size.
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise EdgeupError(
                    f"refused: member {shown(info.filename)} of its zip archive is compressed, "
                    f"which torch.save never does; save it again with torch.save"
                )
        if sum(self.sizes.values()) > len(data):
            raise EdgeupError(
                f"refused: its zip members declare {sum(self.sizes.values()):,} bytes, and the "
                f"whole file has {len(data):,}"
            )

    def read(self, name: str) -> bytes:
        """A member's bytes, of exactly the size in the table of contents."""
        try:
            content = self._zip.read(name)
        except _ZIP_ERRORS as error:
            raise EdgeupError(
                f"is damaged: member {shown(name)} cannot be read ({shown(str(error))}); download "
                f"it again"
            ) from error
        if len(content) != self.sizes[name]:
            raise EdgeupError(f"is truncated: member {shown(name)} is short; download it again")
        return content

"""What kind of file it is, from its bytes: the name is no evidence (`.pth.tar` is no tar)."""

from __future__ import annotations

import pickle
from enum import Enum

from edgeup.errors import EdgeupError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a checkpoint of PyTorch before 1.6 (torch/serialization.py)."""

_LEGACY_START = pickle.dumps(LEGACY_MAGIC, protocol=2)
_ASK = "the file should come from torch.save or safetensors"

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (257, b"ustar", "is a tar archive: unpack it, and give the checkpoint inside"),
    (0, b"\x1f\x8b", "is compressed with gzip: unpack it, and give the checkpoint inside"),
    (0, b"BZh", "is compressed with bzip2: unpack it, and give the checkpoint inside"),
    (0, b"\xfd7zXZ", "is compressed with xz: unpack it, and give the checkpoint inside"),
    (0, b"\x89HDF", "is an HDF5 file (Keras?), not weights of PyTorch"),
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the weights: run git lfs pull"),
)
"""Offset, bytes found there, and what that says."""


class Container(Enum):
    """The three kinds of file that are read."""

    ZIP = "zip"
    LEGACY = "legacy"
    SAFETENSORS = "safetensors"


def sniff(data: bytes) -> Container:
    """The container of a checkpoint's bytes.

    Raises:
        EdgeupError: it is none; the line says what it is instead.
    """
    if not data:
        raise EdgeupError("is empty (0 bytes); download it again")
    for offset, magic, what in _OTHERS:
        if data[offset : offset + len(magic)] == magic:
            raise EdgeupError(what)
    if data.startswith(b"PK\x03\x04"):
        return Container.ZIP
    # By its content and not its first bytes: protocols 2 to 5 frame the number differently.
    if data.startswith(b"\x80") and _LEGACY_START[2:-1] in data[:32]:
        return Container.LEGACY
    # Eight bytes of header length, of which the highest is never used, then JSON.
    if data[7:9] == b"\x00{":
        return Container.SAFETENSORS
    raise EdgeupError(_what_else(data))


def _what_else(data: bytes) -> str:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        return "is a web page, probably a server's error message; download the weights again"
    if len(data) < 4 or _LEGACY_START.startswith(data[: len(_LEGACY_START)]):
        return f"is truncated ({len(data)} bytes); download it again"
    if data[0] == 0x80 and data[1] <= pickle.HIGHEST_PROTOCOL:
        return f"is a Python pickle, but not one of torch.save; {_ASK}"
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return f"is a text file; {_ASK}"
    return f"is neither a PyTorch checkpoint nor safetensors; {_ASK}"

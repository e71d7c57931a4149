"""PNG files from NumPy arrays, without any package: small pictures inside a report."""

from __future__ import annotations

import struct
import zlib

from edgeup.spec import Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE = 2, 3  # colour types of the PNG specification, section 11.2.2


def rgb_png(pixels: Array) -> bytes:
    """``h w 3`` in uint8 as a PNG."""
    height, width, _ = pixels.shape
    return _file(width, height, _RGB, b"", _rows(pixels.reshape(height, width * 3)))


def palette_png(indices: Array, colours: Array) -> bytes:
    """``h w`` in uint8, each a row of ``colours`` (``256 3``, uint8), as a PNG."""
    height, width = indices.shape
    palette = _chunk(b"PLTE", colours.tobytes())
    return _file(width, height, _PALETTE, palette, _rows(indices))


def _rows(lines: Array) -> bytes:
    """Every line after a 0: no filter, which is best for palettes and fits small maps."""
    return b"".join(b"\0" + line.tobytes() for line in lines)


def _file(width: int, height: int, colour_type: int, palette: bytes, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    data = _chunk(b"IDAT", zlib.compress(rows, 9))
    return _SIGNATURE + _chunk(b"IHDR", header) + palette + data + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

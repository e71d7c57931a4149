"""safetensors files: a JSON table of types, shapes and spans, then the elements."""

from __future__ import annotations

import sys

import numpy as np

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.models.weights.dtypes import SAFETENSORS_DTYPES, numpy_dtype
from edgeup.models.weights.inert import shown
from edgeup.spec import Array


def read_safetensors(data: bytes) -> dict[str, Array]:
    """Every tensor by name.

    Raises:
        EdgeupError: it is truncated or damaged, or has elements that NumPy cannot hold.
        MissingPackageError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError as error:
        raise MissingPackageError("safetensors", "torch", "reading .safetensors") from error
    header = int.from_bytes(data[:8], "little")
    if 8 + header > len(data):
        raise EdgeupError(
            f"is truncated: its header declares {header:,} bytes, and the whole file has "
            f"{len(data):,}; download it again"
        )
    try:
        # safetensors ships types for its Python half alone
        table = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise EdgeupError(
            f"is truncated or damaged ({shown(str(error))}); download it again"
        ) from error
    return {
        name: _array(name, entry["dtype"], entry["shape"], entry["data"]) for name, entry in table
    }


def _array(name: str, code: str, shape: list[int], content: bytes) -> Array:
    if code not in SAFETENSORS_DTYPES:
        raise EdgeupError(
            f"tensor {shown(name)} has elements of type {shown(code)}; there is "
            f"{', '.join(SAFETENSORS_DTYPES)}"
        )
    dtype = np.dtype(numpy_dtype(SAFETENSORS_DTYPES[code]))
    raw = np.frombuffer(content, np.dtype(f"u{dtype.itemsize}"))
    native = raw if sys.byteorder == "little" else raw.byteswap()
    array: Array = native.view(dtype).reshape(shape)
    array.flags.writeable = False
    return array

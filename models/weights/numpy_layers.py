"""TensorFlow weights in a NumPy file: a pickled dictionary of layers, read without running it.

``numpy.save`` of ``{layer: {parameter: array}}``, as caffe-tensorflow writes it and FCRN was
published: an array without axes that holds one Python object, which `numpy.load` gives only to
those who let the file run code.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from pathlib import Path

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.models.weights.inert import Global, Instance, shown
from edgeup.models.weights.unpickler import MAX_OPCODES, _Machine
from edgeup.spec import Array

Layers = dict[str, dict[str, Array]]

_MAGIC = b"\x93NUMPY"
_ARRAY, _DTYPE = Global("numpy", "ndarray"), Global("numpy", "dtype")
_FLOATS = ("f2", "f4", "f8")
_STATE = "state"
_MAX_HEADER = 1000


def read_numpy_layers(path: Path) -> Layers:
    """The arrays of ``path`` by layer and parameter name, read-only.

    Raises:
        EdgeupError: no such file, or it is something else, truncated, damaged, or holds anything
            but a dictionary of layers; the line names it.
    """
    try:
        if not path.is_file():
            raise EdgeupError("there is no such file")
        return _layers(path.read_bytes())
    except OSError as error:
        raise EdgeupError(f"weights {path}: cannot be read: {error.strerror or error}") from error
    except EdgeupError as error:
        raise EdgeupError(f"weights {path}: {error}") from error


def _layers(data: bytes) -> Layers:
    if not data.startswith(_MAGIC):
        raise EdgeupError("is no NumPy file (.npy); give the one that holds the layers' weights")
    # Magic, major and minor version, the length of a header (2 bytes, since version 2 four), and
    # the header: a Python literal, of which only whether it says "objects" matters.
    width = 2 if data[6:7] == b"\x01" else 4
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    header = data[start : min(end, start + _MAX_HEADER)].decode("latin-1")
    if not re.search(r"'descr': *'\|?O'", header):
        raise EdgeupError(
            f"holds plain numbers, or its header is damaged ({shown(header.strip())}); a "
            f"dictionary of layers is needed, as numpy.save writes it"
        )
    stream = io.BytesIO(data)
    stream.seek(end)
    return _by_layer(_contents(stream))


def _contents(stream: io.BytesIO) -> object:
    """What the pickled array without axes holds."""
    match _unpickled(stream):
        case Instance(cls=cls, attributes={"state": (_, _, _, _, [content])}) if cls == _ARRAY:
            return content
    raise EdgeupError("its pickle is no array that holds one object")


def _unpickled(stream: io.BytesIO) -> object:
    machine = _ArrayMachine(None)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise EdgeupError(f"refused: its pickle has more than {MAX_OPCODES:,} instructions")
            machine.step(opcode.name, argument)
        return machine.pop()
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise EdgeupError(
            f"it is truncated or damaged (in its pickle: {shown(str(error))}); download it again"
        ) from error


class _ArrayMachine(_Machine):
    """Keeps the states of arrays and dtypes, which checkpoints of PyTorch have no need of."""

    def step(self, name: str, argument: object) -> None:
        """Carry out one opcode."""
        match name, self._stack[-2:]:
            case "BUILD", [Instance(cls=cls) as target, tuple() as state] if cls in (
                _ARRAY,
                _DTYPE,
            ):
                target.attributes[_STATE] = state
                self.pop()
            case _:
                super().step(name, argument)


def _by_layer(content: object) -> Layers:
    if not isinstance(content, dict):
        raise EdgeupError(f"holds a {type(content).__name__}; a dictionary of layers is needed")
    layers: Layers = {}
    for layer, parameters in content.items():
        if not isinstance(layer, str) or not isinstance(parameters, dict):
            raise EdgeupError(f"{shown(str(layer))} in it is no layer, a dictionary of arrays")
        arrays: dict[str, Array] = {}
        for name, value in parameters.items():
            if not isinstance(name, str):
                raise EdgeupError(f"a parameter of layer {shown(layer)} has no name")
            arrays[name] = _array(value, shown(f"{layer}/{name}"))
        layers[layer] = arrays
    return layers


def _array(value: object, what: str) -> Array:
    # ndarray's state: version, shape, dtype, whether column-major, bytes (Python 2: a string).
    match value:
        case Instance(cls=cls, attributes={"state": (_, tuple(shape), dtype, bool(flip), raw)}) if (
            cls == _ARRAY
        ):
            data = raw.encode("latin-1") if isinstance(raw, str) else raw
            return _from_bytes(data, _dtype(dtype, what), shape, flip, what)
    raise EdgeupError(f"{what} is no array")


def _dtype(value: object, what: str) -> np.dtype[np.floating]:
    match value:
        # dtype's state: version, byte order, and what plain numbers have no need of.
        case Instance(
            cls=cls, attributes={"code": str(code), "state": (_, "<" | ">" as order, *_)}
        ) if cls == _DTYPE and code in _FLOATS:
            return np.dtype(f"{order}{code}")
    raise EdgeupError(f"{what} holds something else than floating-point numbers")


def _from_bytes(
    data: object, dtype: np.dtype[np.floating], shape: tuple[object, ...], flip: bool, what: str
) -> Array:
    sizes = tuple(size for size in shape if isinstance(size, int) and 0 <= size < 2**31)
    if len(sizes) != len(shape) or len(sizes) > 8:
        raise EdgeupError(f"{what} has a damaged shape")
    wanted = math.prod(sizes) * dtype.itemsize
    if not isinstance(data, bytes) or len(data) != wanted:
        raise EdgeupError(f"{what} of {'x'.join(map(str, sizes))} needs {wanted:,} bytes; damaged")
    array: Array = np.frombuffer(data, dtype).reshape(sizes, order="F" if flip else "C")
    return array

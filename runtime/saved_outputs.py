"""Outputs in a file: what a model gave for each case, to be compared later or elsewhere.

The file is .npz, one array per case and output under the name ``CASE/OUTPUT``, and a member
`INDEX` that says which cases there are and what inputs they had (their SHA-256, so that outputs of
other inputs are never compared). An .npz of somebody else's holds one case, an array per output.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.spec import Array, Dim, Feeds, Outputs, TensorSpec

INDEX = "edgeup.json"
VERSION = 1
LARGEST_ARRAY = 4 << 30
"""Bytes. A few bytes of a zip can claim to be any number."""


def feeds_sha256(feeds: Feeds) -> str:
    """A hash of the arrays, their shapes and types, in order: names differ between formats."""
    digest = hashlib.sha256()
    for array in feeds.values():
        digest.update(f"{array.dtype.name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()


@dataclass(frozen=True)
class Origin:
    """What gave the outputs: its precision and backend, its inputs and what they were drawn from.

    None where it is not known, and ``seed`` also where inputs came from files.
    """

    precision: str = "fp32"
    backend: str | None = None
    inputs: tuple[TensorSpec, ...] | None = None
    seed: int | None = None


class OutputsWriter:
    """Writes outputs case by case to a stream; a context manager.

    Args:
        stream: where to.
        origin: what gives them.
    """

    def __init__(self, stream: IO[bytes], origin: Origin) -> None:
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._origin = origin
        self._cases: list[dict[str, Any]] = []

    def __enter__(self) -> OutputsWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        index = {"version": VERSION, **asdict(self._origin), "cases": self._cases}
        self._zip.writestr(INDEX, json.dumps(index))
        self._zip.close()

    def add(self, case: str, feeds: Feeds, outputs: Mapping[str, Array]) -> None:
        """Write one case's outputs.

        Raises:
            EdgeupError: an output holds no numbers.
        """
        for name, array in outputs.items():
            if array.dtype.kind not in "fiub":
                raise EdgeupError(f"output {name} is {array.dtype.name}: only numbers are saved")
            with self._zip.open(f"{case}/{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        inputs = feeds_sha256(feeds) if feeds else None
        self._cases.append({"name": case, "inputs_sha256": inputs, "outputs": list(outputs)})


@dataclass(frozen=True)
class _SavedCase:
    """``members`` by output; ``inputs_sha256`` is None where it is not known."""

    members: Mapping[str, str]
    inputs_sha256: str | None


class SavedOutputs:
    """Reads outputs, one case at a time.

    Attributes:
        cases: their names; None for the one case of a file that has no index.
        origin: what gave them.

    Raises:
        EdgeupError: no such file, not an .npz, or an index that does not fit it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist() if name != INDEX]
            indexed = INDEX in archive.namelist()
            index = archive.read(INDEX) if indexed else b""
        if not members:
            raise EdgeupError(f"{path} holds no arrays")
        self.origin = Origin()
        self._cases: dict[str | None, _SavedCase] = (
            self._indexed(index, set(members))
            if indexed
            else {None: _SavedCase({name: name for name in members}, None)}
        )
        self.cases = tuple(self._cases)

    def outputs(self, case: str | None) -> Outputs:
        """The arrays of one case by output.

        Raises:
            EdgeupError: the file has no such case, or an array in it cannot be read.
        """
        if case not in self._cases:
            known = ", ".join(str(name) for name in self._cases)
            raise EdgeupError(f"{self._path} holds no outputs for {case}; it has {known}")
        return load_arrays(self._path, self._cases[case].members)

    def inputs_sha256(self, case: str | None) -> str | None:
        """The hash of the inputs that gave them; None where it is not known."""
        return self._cases[case].inputs_sha256

    def _indexed(self, text: bytes, members: set[str]) -> dict[str | None, _SavedCase]:
        try:
            index = json.loads(text)
            if index["version"] != VERSION:
                raise ValueError(f"version {index['version']!r}, not {VERSION}")
            cases: dict[str | None, _SavedCase] = {}
            for entry in index["cases"]:
                found = {str(name): f"{entry['name']}/{name}" for name in entry["outputs"]}
                if missing := [member for member in found.values() if member not in members]:
                    raise ValueError(f"{missing[0]} is not there")
                cases[str(entry["name"])] = _SavedCase(found, entry["inputs_sha256"])
            self.origin = _origin(index)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EdgeupError(f"{self._path}: its {INDEX} does not fit: {error}") from error
        if not cases:
            raise EdgeupError(f"{self._path} holds no case")
        return cases


def _origin(index: Mapping[str, Any]) -> Origin:
    """What the index says; a value of a wrong type is an error."""
    specs = [
        TensorSpec(str(entry["name"]), tuple(map(_dim, entry["shape"])), str(entry["dtype"]))
        for entry in index["inputs"] or ()
    ]
    seed = index["seed"]
    if not (seed is None or type(seed) is int):
        raise ValueError(f"seed {seed!r}")
    backend = None if index["backend"] is None else str(index["backend"])
    return Origin(str(index["precision"]), backend, tuple(specs) or None, seed)


def _dim(value: Any) -> Dim:
    if type(value) not in (int, str):
        raise ValueError(f"dimension {value!r}")
    dim: Dim = value
    return dim


def array_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz.

    Raises:
        EdgeupError: no such file, or not an .npz.
    """
    with _opened(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist() if name != INDEX)


def load_arrays(path: Path, members: Mapping[str, str]) -> Outputs:
    """Some arrays of an .npz: by the name wanted, the name there. No pickle is ever loaded.

    Raises:
        EdgeupError: the file or an array in it cannot be read.
    """
    with _opened(path) as archive:
        return {name: _array(path, archive, member) for name, member in members.items()}


def _opened(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise EdgeupError(f"{path} {'is no file' if path.exists() else 'does not exist'}")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise EdgeupError(
            f"{path} is not an .npz file, or was cut short: {' '.join(str(error).split())}"
        ) from error


def _array(path: Path, archive: zipfile.ZipFile, member: str) -> Array:
    try:
        name = f"{member}.npy" if f"{member}.npy" in archive.namelist() else member
        if archive.getinfo(name).file_size > LARGEST_ARRAY:
            raise ValueError(f"it claims more than {LARGEST_ARRAY >> 30} GiB")
        with archive.open(name) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except EdgeupError:
        raise
    except Exception as error:  # a damaged header reaches numpy's tokenizer, the zip its codecs
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise EdgeupError(f"{path}: the array {member!r} cannot be read: {reason}") from error
    if array.dtype.kind not in "fiub":
        raise EdgeupError(f"{path}: the array {member!r} is {array.dtype}; wanted numbers")
    return array

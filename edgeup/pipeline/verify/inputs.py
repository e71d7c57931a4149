"""What both sides are shown: seeded inputs, arrays from files, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.files import sha256_of
from edgeup.pipeline.picture_input import as_input
from edgeup.preprocess import Preprocess
from edgeup.presets import PRESETS, PreprocessChoice
from edgeup.runtime.inputs import KINDS, Case, test_inputs
from edgeup.runtime.saved_outputs import array_names, load_arrays
from edgeup.spec import Array, Dim, TensorSpec

PICTURES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp"),
    *(".ppm", ".pgm", ".jp2", ".avif"),
)


@dataclass(frozen=True)
class InputRequest:
    """What a user said of the inputs.

    Attributes:
        kinds: of seeded inputs; None for all.
        seed: of those; None for 0, or what a side was saved with.
        files: .npz, .npy, pictures and folders of them, in place of seeded inputs.
        shapes: for open dimensions.
        preprocess: for pictures; None takes what is stored in a model.
    """

    kinds: tuple[str, ...] | None = None
    seed: int | None = None
    files: tuple[Path, ...] = ()
    shapes: tuple[TensorSpec, ...] = ()
    preprocess: PreprocessChoice | None = None


@dataclass(frozen=True)
class Cases:
    """Inputs, made one case at a time, and the report's section about them."""

    specs: tuple[TensorSpec, ...]
    cases: Iterator[Case]
    facts: dict[str, Any]


def make_cases(
    request: InputRequest,
    specs: Sequence[TensorSpec],
    stored: str | None,
    saved: Sequence[str] | None = None,
) -> Cases:
    """The cases that a request asks for.

    Args:
        request: what was asked for.
        specs: the inputs; open dimensions closed as far as they can be.
        stored: a model's preprocessing, as it stands in its metadata.
        saved: the cases that one side was saved for: those, where nothing else was asked for.

    Raises:
        EdgeupError: a file that cannot be read or is of no use, an open dimension, an unknown
            kind, or pictures without preprocessing. What lies in a file is read, and refused,
            when its case comes.
    """
    if request.files:
        if request.kinds is not None:
            raise EdgeupError("--kinds are seeded inputs, --load-inputs others: give one of them")
        files = _files(request.files)
        preprocess = _preprocess(request, stored, files)
        cases: Iterator[Case] = (
            Case(name, _load(path, specs, preprocess)) for name, path in files.items()
        )
        facts: dict[str, Any] = {
            "source": "files",
            "files": [str(path) for path in files.values()],
            "sha256": [sha256_of(path) for path in files.values()],
            "preprocess": None if preprocess is None else str(preprocess),
        }
    else:
        kinds, seed = request.kinds or _kinds(saved), request.seed or 0
        cases = test_inputs(specs, seed, kinds)
        facts = {"source": "seeded", "kinds": list(kinds), "seed": seed}
    facts["inputs"] = [
        {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in specs
    ]
    return Cases(tuple(specs), cases, facts)


def _kinds(saved: Sequence[str] | None) -> tuple[str, ...]:
    """Those that a side was saved for, else all."""
    if saved is None:
        return tuple(KINDS)
    if strange := [name for name in saved if name not in KINDS]:
        raise EdgeupError(
            f"outputs were saved for {strange[0]}, which is no kind of seeded input: give the "
            f"same files with --load-inputs"
        )
    return tuple(saved)


def closed(
    specs: Sequence[TensorSpec], shapes: Sequence[TensorSpec], other: Sequence[TensorSpec] | None
) -> tuple[TensorSpec, ...]:
    """The inputs with sizes for open dimensions: those given, else the other side's.

    Shapes without names are taken in order, where there is one for each input.

    Raises:
        EdgeupError: a shape that names no input, or does not fit.
    """
    given: dict[str, TensorSpec] = {}
    in_order = len(shapes) == len(specs) and not any(shape.name for shape in shapes)
    for index, shape in enumerate(shapes):
        name = specs[index].name if in_order else shape.name
        if not name:
            raise EdgeupError(
                f"--shape {shape}: which input is it for? {', '.join(map(str, specs))}"
            )
        if name not in {spec.name for spec in specs}:
            raise unknown("input", name, [spec.name for spec in specs])
        given[name] = shape
    others = {spec.name: spec for spec in other or ()}
    if other is not None and len(other) == len(specs):
        others = {
            spec.name: others.get(spec.name, at) for spec, at in zip(specs, other, strict=True)
        }
    return tuple(
        _filled(_filled(spec, given.get(spec.name), strict=True), others.get(spec.name))
        for spec in specs
    )


def _filled(spec: TensorSpec, sizes: TensorSpec | None, *, strict: bool = False) -> TensorSpec:
    if sizes is None:
        return spec
    fits = len(sizes.shape) == len(spec.shape) and all(
        isinstance(a, str) or isinstance(b, str) or a == b
        for a, b in zip(spec.shape, sizes.shape, strict=True)
    )
    if not fits:
        if strict:
            raise EdgeupError(
                f"--shape {'x'.join(map(str, sizes.shape))} does not fit the input {spec}"
            )
        return spec  # running the other side says what is wrong
    dims: list[Dim] = [
        b if isinstance(a, str) else a for a, b in zip(spec.shape, sizes.shape, strict=True)
    ]
    return replace(spec, shape=tuple(dims))


def _files(given: Sequence[Path]) -> dict[str, Path]:
    """Files by the name of their case; folders are gone through, not what lies deeper."""
    files: dict[str, Path] = {}
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and _is_readable(p))
            if not inside:
                raise EdgeupError(f"--load-inputs {path}: no .npz, .npy or picture lies in it")
        elif not path.is_file():
            raise EdgeupError(f"--load-inputs {path} does not exist")
        elif not _is_readable(path):
            raise EdgeupError(
                f"--load-inputs {path}: wanted .npz, .npy, a picture ({', '.join(PICTURES)}) or a "
                f"folder of them"
            )
        else:
            inside = [path]
        for file in inside:
            if file.name in files:
                raise EdgeupError(f"--load-inputs: {file.name} is there twice; which is which?")
            files[file.name] = file
    return files


def _is_readable(path: Path) -> bool:
    return path.suffix.lower() in (".npz", ".npy", *PICTURES)


def _preprocess(
    request: InputRequest, stored: str | None, files: dict[str, Path]
) -> Preprocess | None:
    pictures = [path for path in files.values() if path.suffix.lower() in PICTURES]
    if not pictures:
        if request.preprocess is not None:
            raise EdgeupError("--preprocess is for pictures, and none was given; leave it out")
        return None
    if request.preprocess is not None:
        return request.preprocess.resolve(stored)
    if stored is None:
        raise EdgeupError(
            f"no model says how a picture such as {pictures[0].name} is prepared: say it with "
            f"--preprocess, one of {', '.join(PRESETS)}, or key=value,..."
        )
    return Preprocess.from_json(stored)


def _load(
    path: Path, specs: Sequence[TensorSpec], preprocess: Preprocess | None
) -> dict[str, Array]:
    if path.suffix.lower() == ".npz":
        arrays = load_arrays(path, {name: name for name in array_names(path)})
        return _renamed(path, arrays, specs)
    if len(specs) != 1:
        raise EdgeupError(
            f"{path} is one array, and the models take {len(specs)} "
            f"({', '.join(map(str, specs))}): give an .npz with an array for each"
        )
    if path.suffix.lower() == ".npy":
        return {specs[0].name: _npy(path)}
    from edgeup.runtime.images import load_picture

    assert preprocess is not None  # noqa: S101 - _preprocess gives one where there are pictures
    return {specs[0].name: as_input(load_picture(path).pixels, preprocess, specs[0])}


def _renamed(path: Path, arrays: dict[str, Array], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """By the inputs' names; np.savez's own arr_0, arr_1 are taken in order."""
    names = [spec.name for spec in specs]
    if list(arrays) == [f"arr_{index}" for index in range(len(names))]:
        return dict(zip(names, arrays.values(), strict=True))
    if missing := [name for name in names if name not in arrays]:
        raise EdgeupError(
            f"{path} has no array for the input {missing[0]}; it has "
            f"{', '.join(arrays) or 'no array at all'}"
        )
    return {name: arrays[name] for name in names}


def _npy(path: Path) -> Array:
    try:
        loaded: Array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header reaches numpy's tokenizer
        raise EdgeupError(f"{path} is not read as .npy: {' '.join(str(error).split())}") from error
    return np.array(loaded)

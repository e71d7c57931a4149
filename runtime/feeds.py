"""Whether arrays are what a model's inputs want."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.spec import Array, Feeds, TensorSpec


def checked_feeds(label: str, inputs: Sequence[TensorSpec], feeds: Feeds) -> dict[str, Array]:
    """The feeds as contiguous arrays, one for each input.

    Args:
        label: what a message calls the model.
        inputs: what it takes.
        feeds: the arrays by name.

    Raises:
        EdgeupError: an input is missing, unknown, of another dtype or shape.
    """
    wanted = {spec.name: spec for spec in inputs}
    if missing := [str(spec) for name, spec in wanted.items() if name not in feeds]:
        raise EdgeupError(f"{label} needs the input {', '.join(missing)}")
    if strange := [name for name in feeds if name not in wanted]:
        raise EdgeupError(f"{label} has no input {strange[0]!r}; it has {', '.join(wanted)}")
    for name, array in feeds.items():
        _check_feed(label, wanted[name], array)
    return {name: np.asarray(array, order="C") for name, array in feeds.items()}


def _check_feed(label: str, spec: TensorSpec, array: Array) -> None:
    if array.dtype.name != spec.dtype and spec.dtype != "string":
        raise EdgeupError(
            f"{label}: input {spec.name} got dtype {array.dtype.name}, wanted {spec.dtype}"
        )
    same = len(array.shape) == len(spec.shape) and all(
        isinstance(want, str) or got == want
        for got, want in zip(array.shape, spec.shape, strict=True)
    )
    if not same:
        got = "x".join(str(size) for size in array.shape) or "a scalar"
        want = "x".join(str(dim) for dim in spec.shape) or "a scalar"
        raise EdgeupError(f"{label}: input {spec.name} got shape {got}, wanted {want}")

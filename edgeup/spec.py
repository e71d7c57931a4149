"""Value types and protocols that all wings share.

`Run` and `Measure` are how a wing executes a model without importing another wing: the
pipeline hands it a function (wings never import each other).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Feeds: TypeAlias = Mapping[str, Array]
Outputs: TypeAlias = dict[str, Array]
ModelSource: TypeAlias = "bytes | os.PathLike[str]"
"""An ONNX model: its serialized bytes, or the path of its file."""

Dim: TypeAlias = "int | str"
"""A dimension: a number, or the name of a dynamic one."""


@dataclass(frozen=True)
class TensorSpec:
    """A graph input or output: name, shape (``n c h w`` for images) and NumPy dtype name.

    A dimension that is a string is dynamic and carries that name.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str = "float32"

    @property
    def is_static(self) -> bool:
        """Whether every dimension is a number."""
        return all(isinstance(d, int) for d in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as numbers.

        Raises:
            ValueError: a dimension is dynamic.
        """
        numbers = tuple(d for d in self.shape if isinstance(d, int))
        if len(numbers) != len(self.shape):
            raise ValueError(f"{self} has dynamic dimensions")
        return numbers

    def __str__(self) -> str:
        return f"{self.name}:{'x'.join(str(d) for d in self.shape)}"


@dataclass(frozen=True)
class Tolerance:
    """How far a candidate may be from a reference: ``|c - r| <= atol + rtol * |r|``.

    ``atol_of_peak`` scales with the output, so that one tolerance serves outputs of any
    magnitude: ``atol_of_peak * max|r|`` is added to ``atol``. ``reason`` says why it is as loose
    as it is. ``statistic`` names what is judged: "elemwise", every element by the formula above,
    or a statistic of the errors (`edgeup.runtime.error_statistics`). ``strict``: it holds whatever
    rounding alone does, since it was asked for.
    """

    rtol: float
    atol_of_peak: float
    reason: str
    atol: float = 0.0
    statistic: str = "elemwise"
    strict: bool = False


class Run(Protocol):
    """Runs a model once."""

    def __call__(self, model: ModelSource, feeds: Feeds) -> Outputs:
        """Return every graph output by name."""
        ...


class Measure(Protocol):
    """Times models against each other, interleaved in one process."""

    def __call__(
        self, models: Mapping[str, ModelSource], feeds: Feeds
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Return milliseconds per run by model; row ``i`` of each is from the same round."""
        ...

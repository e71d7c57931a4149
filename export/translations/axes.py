"""What an aten resampling operator asks for along each spatial axis, and Resize's inputs for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from edgeup.export.translations.emit import constant, dims, op

Size: TypeAlias = "int | ir.Value"
"""An output size: a number, or the graph's own scalar for a dynamic one."""


@dataclass(frozen=True)
class Axis:
    """One spatial axis: lengths in pixels (None where dynamic) and the scale factor as given.

    PyTorch samples with the scale factor where one was given, and with the ratio of the
    lengths otherwise (`recompute_scale_factor` arrives here as a size without a factor).
    """

    length: int | None
    size: int | None
    factor: float | None

    @property
    def ratio(self) -> float:
        """Output length by input length; both are static."""
        length, size = self.static
        return size / length

    @property
    def static(self) -> tuple[int, int]:
        """Input and output length.

        Raises:
            ValueError: one of them is dynamic.
        """
        if self.length is None or self.size is None:
            raise ValueError(f"{self} is dynamic")
        return self.length, self.size

    @property
    def is_static(self) -> bool:
        """Whether both lengths are numbers."""
        return self.length is not None and self.size is not None


def axes_from_aten(
    x: ir.Value, sizes: Sequence[Size] | None, factors: Sequence[float | None] | None
) -> tuple[Axis, ...]:
    """The spatial axes of an operator on ``x`` (n c d...), from its aten arguments."""
    axes = []
    for i, dim in enumerate(dims(x)[2:]):
        length = dim if isinstance(dim, int) else None
        factor = factors[i] if factors else None
        if sizes is not None:
            size = sizes[i]
            static = size if isinstance(size, int) else None
        else:
            # aten's compute_output_size: the product is taken in double and truncated.
            static = None if length is None or factor is None else int(length * factor)
        axes.append(Axis(length, static, factor))
    return tuple(axes)


def float32_at_least(scale: float) -> float:
    """The smallest float32 that is not below ``scale``.

    Resize's output length is floor(length * scale). A scale rounded down could lose a pixel
    in a runtime that multiplies in double.
    """
    rounded = np.float32(scale)
    if float(rounded) < scale:
        rounded = np.nextafter(rounded, np.float32(math.inf))
    return float(rounded)


def scales_input(scales: Sequence[float]) -> ir.Value:
    """Resize's ``scales`` for an n c d... tensor, from those of the spatial axes."""
    values = np.array([1.0, 1.0, *map(float32_at_least, scales)], np.float32)
    return constant(values)


def has_static_batch(x: ir.Value) -> bool:
    """Whether n and c of ``x`` (n c d...) are numbers."""
    return all(isinstance(d, int) for d in dims(x)[:2])


def shape_input(x: ir.Value, sizes: Sequence[Size]) -> ir.Value:
    """The shape (n, c, *sizes) as a vector, n and c being those of ``x``; constant if it can be."""
    parts: list[ir.Value] = []
    leading = dims(x)[:2]
    numbers: list[int] = [d for d in leading if isinstance(d, int)]
    if len(numbers) < len(leading):
        numbers = []
        parts.append(op.Shape(x, start=0, end=2))
    for size in sizes:
        if isinstance(size, int):
            numbers.append(size)
            continue
        if numbers:
            parts.append(constant(np.array(numbers, np.int64)))
            numbers = []
        parts.append(_vector(size))
    if numbers:
        parts.append(constant(np.array(numbers, np.int64)))
    if len(parts) == 1:
        return parts[0]
    shape: ir.Value = op.Concat(*parts, axis=0)
    return shape


def _vector(scalar: ir.Value) -> ir.Value:
    """``scalar`` as a tensor of one element; the exporter squeezes sizes out of a Shape."""
    producer = scalar.producer()
    if producer is not None and producer.op_type == "Squeeze":
        source = producer.inputs[0]
        maker = None if source is None else source.producer()
        if source is not None and maker is not None and maker.op_type == "Shape":
            return source
    vector: ir.Value = op.Unsqueeze(scalar, constant(np.array([0], np.int64)))
    return vector

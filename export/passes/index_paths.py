"""Where the indices of a MaxPool go, through the arithmetic that exporters put between.

ONNX's indices are ``plane·(h·w) + index within the plane``. The steps from there to a scatter
only change what a plane counts for, its pitch, and the tensor's shape, not its order:

1. Mod by h·w: pitch 0, PyTorch's indices.
2. Sub or Add of ``plane·k``, a constant: the pitch falls or rises by k (PyTorch's exporters).
3. Cast, Identity, Reshape, Flatten, Squeeze, Unsqueeze: nothing.

A scatter is a MaxUnpool, or a ScatterND or ScatterElements into zeros, flat or plane by plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.facts import (
    attribute,
    constant,
    dtype_of,
    input_of,
    is_onnx,
    rank,
    static_shape,
)
from edgeup.export.passes.shape_vectors import dims_of_vector, same_dims

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.pool_windows import Windows

SHAPERS = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
ARITHMETIC = ("Mod", "Sub", "Add")


@dataclass(frozen=True, eq=False)
class Scatter:
    """A node that puts values where the indices say.

    Attributes:
        values: what it puts there, in the order of the windows.
        pitch: what a plane counts for in an index through the whole output.
        shape: of the output; None where it is that of the pooling's input.
    """

    node: ir.Node
    values: ir.Value
    dtype: np.dtype[Any]
    pitch: int
    shape: tuple[int, ...] | None


@dataclass
class Paths:
    """What is reached from the indices: scatters, and the arithmetic that leads to them."""

    scatters: list[Scatter] = field(default_factory=list)
    arithmetic: list[ir.Node] = field(default_factory=list)
    reason: str | None = None


def follow(pool: ir.Node, windows: Windows) -> Paths:
    """All scatters by the indices of ``pool``; ``reason`` where one of them cannot be equal."""
    paths = Paths()
    if len(pool.outputs) > 1:
        _follow(pool.outputs[1], windows.plane, pool, windows, paths)
    return paths


def _follow(value: ir.Value, pitch: int, pool: ir.Node, windows: Windows, paths: Paths) -> bool:
    """Whether a scatter was found behind ``value``."""
    found = False
    for node in dict.fromkeys(usage.node for usage in value.uses()):
        if node.graph is not pool.graph or node in paths.arithmetic:
            continue
        scatter = _scatter(node, value, pitch, pool, windows)
        if isinstance(scatter, str):
            paths.reason = f"{node.name}: {scatter}"
        elif scatter is not None:
            paths.scatters.append(scatter)
            found = True
        else:
            after = _step(node, value, pitch, pool, windows)
            if after is not None and _follow(node.outputs[0], after, pool, windows, paths):
                paths.arithmetic.append(node)
                found = True
    return found


def _step(
    node: ir.Node, value: ir.Value, pitch: int, pool: ir.Node, windows: Windows
) -> int | None:
    """The pitch behind a step of the arithmetic; None where it is none."""
    if is_onnx(node, *SHAPERS):
        whole = not is_onnx(node, "Cast") or attribute(node, "to", 0) in (6, 7)  # int32, int64
        return pitch if node.inputs[0] is value and whole else None
    if not is_onnx(node, *ARITHMETIC):
        return None
    first = node.inputs[0] is value
    numbers = constant(node.inputs[1] if first else node.inputs[0])
    if numbers is None or not (first or is_onnx(node, "Add")):
        return None
    if is_onnx(node, "Mod"):
        fits = numbers.size == 1 and numbers.item() == windows.plane
        return 0 if fits and pitch % windows.plane == 0 else None
    step = _pitch_of(numbers, static_shape(value), static_shape(pool.inputs[0]))
    if step is None:
        return None
    return pitch + step if is_onnx(node, "Add") else pitch - step


def _pitch_of(
    numbers: np.ndarray[Any, Any], shape: tuple[int, ...] | None, pooled: tuple[int, ...] | None
) -> int | None:
    """k, where the numbers are ``plane·k`` at every place of an index tensor."""
    if shape is None or pooled is None:
        return None
    planes = pooled[0] * pooled[1]
    try:
        rows = np.broadcast_to(numbers, shape).reshape(planes, -1)
    except ValueError:
        return None  # it makes the tensor larger
    if planes == 1:
        return 0 if not rows.any() else None
    step = int(rows[1, 0])
    return step if (rows == step * np.arange(planes)[:, None]).all() else None


def _scatter(
    node: ir.Node, value: ir.Value, pitch: int, pool: ir.Node, windows: Windows
) -> Scatter | str | None:
    if input_of(node, 1) is not value:
        return None
    if is_onnx(node, "MaxUnpool"):
        return _unpool(node, pitch, pool, windows)
    if not is_onnx(node, "ScatterND", "ScatterElements") or not is_zero(node.inputs[0]):
        return None
    if attribute(node, "reduction", "none") != "none" or node.inputs[2] is None:
        return None
    into, by = static_shape(node.inputs[0]), static_shape(value)
    pooled = static_shape(pool.inputs[0])
    if into is None or by is None or pooled is None:
        return "its shapes are not fixed: fix them with --shape"
    planes = math.prod(pooled[:2])
    if math.prod(by) != planes * math.prod(windows.counts):
        return None
    rows = math.prod(into[:-1])
    if is_onnx(node, "ScatterND"):
        if len(into) != 1 or by[-1] != 1:
            return None
    elif attribute(node, "axis", 0) % len(into) != len(into) - 1 or by[:-1] != into[:-1]:
        return None
    if rows == planes and pitch == 0 and windows.last_index < into[-1]:
        pitch = into[-1]
    elif rows != 1:
        return None
    return _checked(node, node.inputs[2], pitch, into, planes, windows)


def _unpool(node: ir.Node, pitch: int, pool: ir.Node, windows: Windows) -> Scatter | str:
    wanted = output_dims(node)
    pooled, dtype = pool.inputs[0], dtype_of(node.inputs[0])
    if wanted is None or pooled is None or pooled.shape is None:
        return "its output's shape is not known: fix the model's shapes with --shape"
    values = node.inputs[0]
    single = pooled.shape[0] == 1 and pooled.shape[1] == 1
    if values is not None and dtype is not None and not windows.column_major:
        same = same_dims(wanted, list(pooled.shape))
        if same and (single or pitch == windows.plane):
            return Scatter(node, values, dtype, windows.plane, None)
    before, after = static_shape(pooled), tuple(dim for dim in wanted if isinstance(dim, int))
    if before is None or len(after) != len(wanted):
        return "its output is not of the pooled shape, and one is not fixed: fix it with --shape"
    return _checked(node, values, pitch, after, before[0] * before[1], windows)


def _checked(
    node: ir.Node,
    values: ir.Value | None,
    pitch: int,
    shape: tuple[int, ...],
    planes: int,
    windows: Windows,
) -> Scatter | str:
    """The scatter, if every index has a place of its own in the output."""
    dtype = dtype_of(values)
    if values is None or dtype is None:
        return "the type of its values is not known"
    if planes == 1:
        pitch = windows.plane
    elif pitch <= windows.last_index:
        return (
            f"{planes} planes lie {pitch} apart in the output, and each has indices to "
            f"{windows.last_index}: ONNX counts them through the whole tensor"
        )
    last, total = (planes - 1) * pitch + windows.last_index, math.prod(shape)
    if last >= total:
        return f"its indices reach {last}, and its output has {total} elements"
    return Scatter(node, values, dtype, pitch, shape)


def output_dims(node: ir.Node) -> Sequence[Any] | None:
    """MaxUnpool's output: as it says, or from its attributes."""
    given = input_of(node, 2)
    if given is not None:
        return dims_of_vector(given)
    x = node.inputs[0]
    n = (rank(x) or 2) - 2
    if x is None or x.shape is None or not all(isinstance(dim, int) for dim in x.shape[2:]):
        return None
    kernel = attribute(node, "kernel_shape", ())
    stride, pads = attribute(node, "strides", (1,) * n), attribute(node, "pads", (0,) * 2 * n)
    spatial = (
        (dim - 1) * stride[i] + kernel[i] - pads[i] - pads[n + i]
        for i, dim in enumerate(d for d in x.shape[2:] if isinstance(d, int))
    )
    return [*x.shape[:2], *spatial]


def is_zero(value: ir.Value | None) -> bool:
    """Whether a tensor is all zeros, whatever runs."""
    numbers = constant(value)
    if numbers is not None:
        return not numbers.any()
    node = None if value is None else value.producer()
    if is_onnx(node, "ConstantOfShape"):
        fill = node.attributes.get("value") if node is not None else None
        return fill is None or not fill.as_tensor().numpy().any()
    carries = is_onnx(node, *SHAPERS, "Expand")
    return carries and node is not None and is_zero(node.inputs[0])

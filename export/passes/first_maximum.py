r"""The maximum of each window and which tap has it first, by comparing strided slices.

::

    x -> Slice (tap 0) -------------> Max ------...-> maximum
      -> Slice (tap 1) -> Greater -^   |
                            \-> Where (1 or 0) -...-> code

One axis after the other, the last axis first: among equal numbers a strict Greater keeps the
first tap of a row, and then the first row, which is the first in row-major order. Taps per axis
add up instead of multiplying (3x3: 6 slices and not 9). Nothing here is compared with what a
pooling gave, so it holds too where an engine computes the two in different precisions.

A tap's code is what it adds to an index: ``sum of t·dilation·pitch``. Padding is -infinity and
never greater than a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder
    from edgeup.export.passes.pool_windows import Axis, Windows


def maximum(build: Builder, x: ir.Value, windows: Windows, dtype: np.dtype[Any]) -> ir.Value:
    """Max pooling ``n c d...`` of any dilation."""
    value = _padded(build, x, windows, dtype)
    for i, axis in enumerate(windows.axes):
        taps = [_tap(build, value, i, axis, tap) for tap in range(axis.kernel)]
        value = taps[0] if len(taps) == 1 else build.op("Max", taps)
    return value


def first_maximum(build: Builder, x: ir.Value, windows: Windows, dtype: np.dtype[Any]) -> ir.Value:
    """The code of the first maximum, int32 ``n c d...`` (``1 1 d...`` where kernels are 1)."""
    value = _padded(build, x, windows, dtype)
    code: ir.Value | None = None
    last = next((i for i, axis in enumerate(windows.axes) if axis.kernel > 1), None)
    for i in reversed(range(len(windows.axes))):
        axis = windows.axes[i]
        unit = axis.dilation * windows.pitches[i]
        best, best_code = _tap(build, value, i, axis, 0), _code(build, code, i, axis, 0, unit)
        for tap in range(1, axis.kernel):
            other = _tap(build, value, i, axis, tap)
            greater = build.op("Greater", [other, best])
            tap_code = _code(build, code, i, axis, tap, unit)
            best_code = build.op("Where", [greater, tap_code, best_code])
            if (i, tap) != (last, axis.kernel - 1):
                best = build.op("Max", [best, other])
        value = best
        code = None if code is None and axis.kernel == 1 else best_code
    return build.constant(np.zeros((1, 1, *windows.counts), np.int32)) if code is None else code


def _padded(build: Builder, x: ir.Value, windows: Windows, dtype: np.dtype[Any]) -> ir.Value:
    """The input with every tap of every window in it."""
    pads = [0, 0, *(a.begin for a in windows.axes), 0, 0, *(a.end for a in windows.axes)]
    if not any(pads):
        return x
    lowest = build.constant(np.array(-np.inf), dtype)
    return build.op("Pad", [x, build.constant(pads, np.int64), lowest])


def slice_axes(
    build: Builder,
    x: ir.Value,
    axes: list[int],
    starts: list[int],
    ends: list[int],
    step: int = 1,
) -> ir.Value:
    """A Slice with constant bounds."""
    steps = [step] * len(axes)
    bounds = (build.constant(numbers, np.int64) for numbers in (starts, ends, axes, steps))
    return build.op("Slice", [x, *bounds])


def _tap(build: Builder, x: ir.Value, i: int, axis: Axis, tap: int) -> ir.Value:
    if axis.kernel == 1 and axis.stride == 1:
        return x
    start = tap * axis.dilation
    end = start + (axis.count - 1) * axis.stride + 1
    return slice_axes(build, x, [i + 2], [start], [end], axis.stride)


def _code(
    build: Builder, code: ir.Value | None, i: int, axis: Axis, tap: int, unit: int
) -> ir.Value:
    """The code of a tap: its own part, and that of the axes before."""
    own = build.constant(np.array(tap * unit), np.int32)
    if code is None:
        return own
    before = _tap(build, code, i, axis, tap)
    return before if tap == 0 else build.op("Add", [before, own])

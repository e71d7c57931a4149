"""Max unpooling from the codes of the first maxima, without indices.

::

    code   -> Reshape n c h 1 w 1 -> Equal (codes of the s x s pixels) -> Where (value or 0)
    values -> Reshape n c h 1 w 1 ------------------------------------------^  -> Reshape n c hs ws

A stride's pixels stand in axes of their own, so that one Equal and one Where write them all, and
the interleaving is a Reshape. Pixel ``q`` of the padded image is the tap ``t`` of window ``w``
where ``q = w·s + t·dilation``: with ``t·dilation = delay·s + phase``, of the window ``delay``
before its own.

1. Windows side by side have the delay 0 only.
2. Overlapping windows: one Equal and Where per delay, on shifted values. Of several values for
   one pixel the last window's stays, as in ONNX Runtime and PyTorch: a smaller delay is a later
   window, so it is written over a greater one.
3. Two taps of a window have one code only if one of them lies outside the image: its pixel is
   cut off.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeup.export.passes.first_maximum import slice_axes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder
    from edgeup.export.passes.index_paths import Scatter
    from edgeup.export.passes.pool_windows import Windows

_NO_TAP, _NO_WINDOW = -2, -1  # equal to no code, nor to each other


def unpool(
    build: Builder,
    values: ir.Value,
    code: ir.Value,
    windows: Windows,
    dtype: np.dtype[Any],
) -> ir.Value:
    """``values``, n c and the windows' counts, to the shape that was pooled."""
    axes = windows.axes
    delays = [(axis.kernel - 1) * axis.dilation // axis.stride for axis in axes]
    grid = [axis.count + delay for axis, delay in zip(axes, delays, strict=True)]
    zero = build.constant(np.array(0), dtype)
    nothing = build.constant(np.array(_NO_WINDOW), np.int32)
    values = _spread(build, values, windows, delays, zero)
    code = _spread(build, code, windows, delays, nothing)
    image = zero
    for delay in sorted(itertools.product(*(range(d + 1) for d in delays)), reverse=True):
        codes = _codes(windows, delay)
        if (codes == _NO_TAP).all():
            continue
        starts = [most - own for most, own in zip(delays, delay, strict=True)]
        moved = [_shifted(build, x, starts, grid, delays) for x in (code, values)]
        here = build.op("Equal", [moved[0], build.constant(codes)])
        image = build.op("Where", [here, moved[1], image])
    sizes = [size * axis.stride for size, axis in zip(grid, axes, strict=True)]
    image = build.op("Reshape", [image, build.constant([0, 0, *sizes], np.int64)])
    return _fit(build, image, [axis.begin for axis in axes], sizes, windows.lengths, zero)


def _spread(
    build: Builder, x: ir.Value, windows: Windows, delays: Sequence[int], fill: ir.Value
) -> ir.Value:
    """n c h w, with a margin as wide as the delays on both sides, as n c h 1 w 1."""
    if any(delays):
        pads = build.constant([0, 0, *delays, 0, 0, *delays], np.int64)
        x = build.op("Pad", [x, pads, fill])
    sizes = [size + 2 * delay for size, delay in zip(windows.counts, delays, strict=True)]
    shape = [0, 0, *itertools.chain.from_iterable((size, 1) for size in sizes)]
    return build.op("Reshape", [x, build.constant(shape, np.int64)])


def _shifted(
    build: Builder,
    x: ir.Value,
    starts: Sequence[int],
    grid: Sequence[int],
    delays: Sequence[int],
) -> ir.Value:
    axes = [i for i, delay in enumerate(delays) if delay]
    if not axes:
        return x
    ends = [starts[i] + grid[i] for i in axes]
    return slice_axes(build, x, [2 + 2 * i for i in axes], [starts[i] for i in axes], ends)


def _codes(windows: Windows, delay: Sequence[int]) -> npt.NDArray[np.int32]:
    """1 1 1 s 1 s: for each of a stride's pixels the code of the tap there, at this delay."""
    axes = windows.axes
    phases = np.full([axis.stride for axis in axes], _NO_TAP, np.int32)
    for taps in itertools.product(*(range(axis.kernel) for axis in axes)):
        steps = [tap * axis.dilation for tap, axis in zip(taps, axes, strict=True)]
        places = [divmod(step, axis.stride) for step, axis in zip(steps, axes, strict=True)]
        if all(place[0] == own for place, own in zip(places, delay, strict=True)):
            code = sum(step * pitch for step, pitch in zip(steps, windows.pitches, strict=True))
            phases[tuple(place[1] for place in places)] = code
    shape = itertools.chain.from_iterable((1, axis.stride) for axis in axes)
    return phases.reshape(1, 1, *shape)


def _fit(
    build: Builder,
    x: ir.Value,
    starts: Sequence[int],
    sizes: Sequence[int],
    wanted: Sequence[int],
    zero: ir.Value,
) -> ir.Value:
    """n c and these sizes: from ``starts`` on, cut or filled with zeros to the wanted sizes."""
    ends = [min(b + w, s) for b, w, s in zip(starts, wanted, sizes, strict=True)]
    cut = [i for i, end in enumerate(ends) if (starts[i], end) != (0, sizes[i])]
    if cut:
        x = slice_axes(
            build, x, [2 + i for i in cut], [starts[i] for i in cut], [ends[i] for i in cut]
        )
    missing = [w - (e - b) for b, w, e in zip(starts, wanted, ends, strict=True)]
    if not any(missing):
        return x
    pads = [0] * (4 + len(missing)) + missing
    return build.op("Pad", [x, build.constant(pads, np.int64), zero])


def lay_out(
    build: Builder, image: ir.Value, windows: Windows, planes: int, scatter: Scatter
) -> ir.Value:
    """The unpooled image as a scatter by index leaves it in a tensor of another shape.

    An index is ``plane·pitch + index within the plane``, and counts through the whole output.
    """
    shape, pitch = scatter.shape or (), scatter.pitch
    zero = build.constant(np.array(0), scatter.dtype)
    size, total = windows.plane, math.prod(shape)
    if windows.column_major:
        rank = len(windows.axes)
        image = build.op("Transpose", [image], {"perm": [0, 1, *range(rank + 1, 1, -1)]})
    if pitch != size:
        image = build.op("Reshape", [image, build.constant([1, planes, size], np.int64)])
        image = _fit(build, image, [0], [size], [pitch], zero)
    if planes * pitch != total:
        image = build.op("Reshape", [image, build.constant([1, 1, planes * pitch], np.int64)])
        image = _fit(build, image, [0], [planes * pitch], [total], zero)
    return build.op("Reshape", [image, build.constant(shape, np.int64)])

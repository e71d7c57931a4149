"""The windows of a MaxPool, axis by axis, as ONNX Runtime lays them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.export.passes.facts import attribute

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Axis:
    """Windows along one axis; tap t of window w is pixel ``w·stride - begin + t·dilation``.

    Attributes:
        length: pixels of the input.
        count: windows.
        begin: padding before the first pixel.
    """

    length: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    count: int

    @property
    def reach(self) -> int:
        """Pixels from a window's first tap to its last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def end(self) -> int:
        """Padding that the last window needs behind the last pixel."""
        return max(0, (self.count - 1) * self.stride + self.reach - self.length - self.begin)

    @property
    def padded(self) -> int:
        """The length with its padding."""
        return self.begin + self.length + self.end

    def pixels(self, window: int) -> list[int]:
        """The pixels of a window, padding left out."""
        first = window * self.stride - self.begin
        taps = (first + tap * self.dilation for tap in range(self.kernel))
        return [pixel for pixel in taps if 0 <= pixel < self.length]


@dataclass(frozen=True)
class Windows:
    """The windows of a MaxPool, and how its indices count pixels (``storage_order``)."""

    axes: tuple[Axis, ...]
    column_major: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        """The spatial shape of the input."""
        return tuple(axis.length for axis in self.axes)

    @property
    def counts(self) -> tuple[int, ...]:
        """The spatial shape of the output."""
        return tuple(axis.count for axis in self.axes)

    @property
    def plane(self) -> int:
        """Pixels of one channel."""
        return math.prod(self.lengths)

    @property
    def dilated(self) -> bool:
        """Whether TensorRT's pooling cannot take them."""
        return any(axis.dilation != 1 and axis.kernel != 1 for axis in self.axes)

    @property
    def pitches(self) -> tuple[int, ...]:
        """What a step along each axis adds to an index within the plane."""
        order = range(len(self.axes))
        faster = (order[:i] if self.column_major else order[i + 1 :] for i in order)
        return tuple(math.prod(self.lengths[j] for j in axes) for axes in faster)

    @property
    def last_index(self) -> int:
        """The greatest index within the plane that a maximum can have."""
        reached = [max(max(axis.pixels(w)) for w in range(axis.count)) for axis in self.axes]
        return sum(i * pitch for i, pitch in zip(reached, self.pitches, strict=True))


def windows_of(pool: ir.Node) -> Windows | str:
    """The windows, or why they cannot be known."""
    x, y = pool.inputs[0], pool.outputs[0]
    if x is None or x.shape is None:
        return "the rank of its input is unknown: give the shape with --shape"
    lengths = [dim for dim in x.shape[2:] if isinstance(dim, int)]
    if len(lengths) != len(x.shape) - 2:
        return f"its input's spatial shape {_listed(x.shape)} is not fixed: fix it with --shape"
    rank = len(lengths)
    kernel = attribute(pool, "kernel_shape", ())
    stride = attribute(pool, "strides", (1,) * rank)
    dilation = attribute(pool, "dilations", (1,) * rank)
    pads = attribute(pool, "pads", (0,) * 2 * rank)
    auto = attribute(pool, "auto_pad", "NOTSET")
    ceil = bool(attribute(pool, "ceil_mode", 0))
    if auto != "NOTSET" and (ceil or any(d != 1 for d in dilation)):
        return f"auto_pad {auto} with ceil_mode or dilations: ONNX and ONNX Runtime differ on it"
    axes = []
    for i, length in enumerate(lengths):
        reach = (kernel[i] - 1) * dilation[i] + 1
        begin, end = pads[i], pads[rank + i]
        if auto != "NOTSET":
            begin, end = _auto_padding(auto, length, kernel[i], stride[i])
        steps = (length + begin + end - reach) / stride[i]
        count = (math.ceil(steps) if ceil else math.floor(steps)) + 1
        if ceil and (count - 1) * stride[i] >= length + begin:
            count -= 1  # it would start behind the image
        axis = Axis(length, kernel[i], stride[i], dilation[i], begin, count)
        if count < 1 or not all(axis.pixels(w) for w in range(count)):
            return f"a window along axis {i + 2} (length {length}) lies wholly in the padding"
        axes.append(axis)
    windows = Windows(tuple(axes), bool(attribute(pool, "storage_order", 0)))
    return _checked(windows, y)


def _auto_padding(auto: str, length: int, kernel: int, stride: int) -> tuple[int, int]:
    if auto == "VALID":
        return 0, 0
    total = max(0, (-(-length // stride) - 1) * stride + kernel - length)
    less, more = total // 2, total - total // 2
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def _checked(windows: Windows, y: ir.Value) -> Windows | str:
    """The windows, unless the model says another size of the output.

    ONNX's shape inference keeps a last window of ``ceil_mode`` that starts behind the image.
    """
    said = None if y.shape is None else [dim for dim in y.shape[2:] if isinstance(dim, int)]
    if said is not None and len(said) == len(windows.axes) and tuple(said) != windows.counts:
        got, want = _listed(windows.counts), _listed(said)
        return f"ONNX Runtime gives {got} windows where the model says {want}"
    return windows


def _listed(dims: Iterable[object]) -> str:
    return "x".join(str(dim) for dim in dims)

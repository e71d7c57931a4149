"""Upsampling from its definitions, in NumPy float64: slow loops, and nothing of PyTorch.

Arrays are ``n c *spatial`` unless a docstring says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


# --- resize: one matrix (out x in) per axis -----------------------------------------------


def resize(x: Array, matrices: Sequence[Array]) -> Array:
    """Apply one matrix to each spatial axis."""
    for axis, matrix in enumerate(matrices, 2):
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return x


def nearest_matrix(
    size: int, out: int, scale: Fraction, exact: bool = False, shortcuts: bool = False
) -> Array:
    """``scale`` as a fraction: at a cell's edge rounding would choose the pixel.

    ``shortcuts`` are PyTorch's in 2-D: the factor that the sizes have, if that is 1 or 2.
    """
    matrix = np.zeros((out, size))
    half = Fraction(1, 2) if exact else Fraction(0)
    if shortcuts and not exact and out in (size, 2 * size):
        scale = Fraction(out, size)
    for o in range(out):
        matrix[o, min(math.floor((o + half) / scale), size - 1)] = 1
    return matrix


def _position(o: int, size: int, out: int, scale: float, align_corners: bool) -> float:
    if align_corners:
        return o * (size - 1) / (out - 1) if out > 1 else 0.0
    return (o + 0.5) / scale - 0.5


def linear_matrix(size: int, out: int, scale: float, align_corners: bool = False) -> Array:
    if out == size:  # PyTorch's shortcut
        return np.eye(size)
    matrix = np.zeros((out, size))
    for o in range(out):
        # Beyond the first and last centre the edge pixel's value holds.
        at = min(max(_position(o, size, out, scale, align_corners), 0.0), size - 1.0)
        low = math.floor(at)
        matrix[o, low] += 1 - (at - low)
        if at > low:
            matrix[o, low + 1] += at - low
    return matrix


def keys(t: float, a: float) -> float:
    """Keys' cubic convolution kernel."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * (t**3 - 5 * t**2 + 8 * t - 4)
    return 0.0


def cubic_matrix(size: int, out: int, scale: float, align_corners: bool = False) -> Array:
    matrix = np.zeros((out, size))
    for o in range(out):
        at = _position(o, size, out, scale, align_corners)
        for tap in range(math.floor(at) - 1, math.floor(at) + 3):
            matrix[o, min(max(tap, 0), size - 1)] += keys(at - tap, -0.75)
    return matrix


def antialiased_matrix(size: int, out: int, scale: float, mode: str) -> Array:
    """Pillow's: the filter is stretched when shrinking, cut at the border, and normalised."""
    radius, kernel = {
        "bilinear": (1.0, lambda t: max(0.0, 1 - abs(t))),
        "bicubic": (2.0, lambda t: keys(t, -0.5)),
    }[mode]
    stretch = max(1 / scale, 1.0)
    matrix = np.zeros((out, size))
    for o in range(out):
        centre = (o + 0.5) / scale
        for i in range(size):
            if abs(i + 0.5 - centre) <= radius * stretch:
                matrix[o, i] = kernel((i + 0.5 - centre) / stretch)
        matrix[o] /= matrix[o].sum()
    return matrix


def area_matrix(size: int, out: int) -> Array:
    matrix = np.zeros((out, size))
    for o in range(out):
        first, last = o * size // out, -(-(o + 1) * size // out)
        matrix[o, first:last] = 1 / (last - first)
    return matrix


def summarized(x: Array, factor: int, summary: Callable[[list[float]], float]) -> Array:
    """Insert pixels; each is ``summary`` of the known pixels around it that exist."""
    n, c, h, w = x.shape
    y = np.full((n, c, factor * h, factor * w), np.nan)
    for b, k, i, j in np.ndindex(*y.shape):
        (row, down), (column, across) = divmod(i, factor), divmod(j, factor)
        rows = [r for r in ((row, row + 1) if down else (row,)) if r < h]
        columns = [q for q in ((column, column + 1) if across else (column,)) if q < w]
        y[b, k, i, j] = summary([float(x[b, k, r, q]) for r in rows for q in columns])
    return y


# --- convolutions -------------------------------------------------------------------------


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of stride 1; ``pads`` default to the same size."""
    kernel = weight.shape[2:]
    pads = [(k // 2, k // 2) for k in kernel] if pads is None else pads
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    size = [s - k + 1 for s, k in zip(x.shape[2:], kernel, strict=True)]
    outputs, per_group = weight.shape[0], weight.shape[1]
    y = np.zeros((x.shape[0], outputs, *size))
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for tap in np.ndindex(*kernel):
            window = tuple(slice(t, t + s) for t, s in zip(tap, size, strict=True))
            for c in range(per_group):
                y[:, o] += weight[(o, c, *tap)] * x[(slice(None), first + c, *window)]
        if bias is not None:
            y[:, o] += bias[o]
    return y


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Each input pixel adds its value times the kernel to the output (weight ``c o/g *k``)."""
    kernel, sizes = weight.shape[2:], x.shape[2:]
    whole = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(sizes, stride, dilation, kernel, output_padding, strict=True)
    ]
    inputs, per_group = weight.shape[:2]
    y = np.zeros((x.shape[0], per_group * groups, *whole))
    for c in range(inputs):
        for o in range(per_group):
            target = c // (inputs // groups) * per_group + o
            for pixel in np.ndindex(*sizes):
                for tap in np.ndindex(*kernel):
                    at = tuple(
                        p * s + t * d
                        for p, s, t, d in zip(pixel, stride, tap, dilation, strict=True)
                    )
                    value = x[(slice(None), c, *pixel)] * weight[(c, o, *tap)]
                    y[(slice(None), target, *at)] += value
    cropped = tuple(slice(p, n - p) for p, n in zip(padding, whole, strict=True))
    y = y[(slice(None), slice(None), *cropped)]
    return y if bias is None else y + bias.reshape(1, -1, *(1,) * len(kernel))


def bilinear_kernel(size: int) -> Array:
    """FCN's surgery.py, pixel by pixel."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    return np.array(
        [
            [(1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor) for j in range(size)]
            for i in range(size)
        ]
    )


def zero_inserted(x: Array, stride: int, corner: Sequence[int]) -> Array:
    y = np.zeros((*x.shape[:2], *(stride * n for n in x.shape[2:])))
    y[(slice(None), slice(None), *(slice(c, None, stride) for c in corner))] = x
    return y


def batch_norm(x: Array, norm: dict[str, Array], eps: float) -> Array:
    def column(name: str) -> Array:
        return norm[name].reshape(1, -1, *(1,) * (x.ndim - 2))

    centred = (x - column("running_mean")) / np.sqrt(column("running_var") + eps)
    return centred * column("weight") + column("bias")


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(x))


def interleaved(a: Array, b: Array, c: Array, d: Array) -> Array:
    """FCRN's interleave: b on odd rows, c on odd columns, d on both."""
    n, k, h, w = a.shape
    y = np.full((n, k, 2 * h, 2 * w), np.nan)
    y[:, :, 0::2, 0::2], y[:, :, 1::2, 0::2] = a, b
    y[:, :, 0::2, 1::2], y[:, :, 1::2, 1::2] = c, d
    return y


def pixel_shuffled(x: Array, factor: int) -> Array:
    n, c, h, w = x.shape
    y = np.full((n, c // factor**2, h * factor, w * factor), np.nan)
    for k, a, b in np.ndindex(c // factor**2, factor, factor):
        y[:, k, a::factor, b::factor] = x[:, k * factor**2 + a * factor + b]
    return y


def pixel_unshuffled(x: Array, factor: int) -> Array:
    n, c, h, w = x.shape
    y = np.full((n, c * factor**2, h // factor, w // factor), np.nan)
    for k, a, b in np.ndindex(c, factor, factor):
        y[:, k * factor**2 + a * factor + b] = x[:, k, a::factor, b::factor]
    return y


# --- pooling and unpooling ----------------------------------------------------------------


def max_pool(
    x: Array, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> tuple[Array, NDArray[np.int64]]:
    """Maxima, and their places counted through the channel's own pixels; the first wins."""
    sizes = x.shape[2:]
    out = [
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(sizes, padding, kernel, stride, strict=True)
    ]
    values = np.full((*x.shape[:2], *out), -np.inf)
    indices = np.full(values.shape, -1, dtype=np.int64)
    for window in np.ndindex(*values.shape):
        n, c, *pixel = window
        for tap in np.ndindex(*kernel):
            at = tuple(
                o * s - p + t for o, s, p, t in zip(pixel, stride, padding, tap, strict=True)
            )
            inside = all(0 <= a < size for a, size in zip(at, sizes, strict=True))
            if inside and x[(n, c, *at)] > values[window]:
                values[window] = x[(n, c, *at)]
                indices[window] = np.ravel_multi_index(at, sizes)
    return values, indices


def unpooled(values: Array, indices: NDArray[np.int64], sizes: Sequence[int]) -> Array:
    """Each value to the place of its index among ``sizes``."""
    y = np.zeros((*values.shape[:2], *sizes))
    for window in np.ndindex(*values.shape):
        at = np.unravel_index(indices[window], tuple(sizes))
        y[(*window[:2], *at)] = values[window]
    return y


def switch_pool(x: Array, group: int, kernel: int) -> tuple[Array, NDArray[np.int64]]:
    """Largest magnitude of each ``group`` x kernel x kernel block, signed, and its place."""
    n, c, h, w = x.shape
    shape = (n, -(-c // group), -(-h // kernel), -(-w // kernel))
    values, switches = np.zeros(shape), np.full(shape, -1, dtype=np.int64)
    for b, k, i, j in np.ndindex(*shape):
        best = -1.0
        for channel in range(k * group, min(c, (k + 1) * group)):
            for row in range(i * kernel, min(h, (i + 1) * kernel)):
                for column in range(j * kernel, min(w, (j + 1) * kernel)):
                    if abs(x[b, channel, row, column]) > best:
                        best = abs(x[b, channel, row, column])
                        values[b, k, i, j] = x[b, channel, row, column]
                        switches[b, k, i, j] = (channel * h + row) * w + column
    return values, switches


def window_means(x: Array, factor: int) -> Array:
    n, c, *sizes = x.shape
    out = [size // factor for size in sizes]
    y = np.full((n, c, *out), np.nan)
    for pixel in np.ndindex(*out):
        window = tuple(slice(p * factor, (p + 1) * factor) for p in pixel)
        block = x[(slice(None), slice(None), *window)]
        y[(slice(None), slice(None), *pixel)] = block.reshape(n, c, -1).mean(axis=-1)
    return y

"""Convolution and transposed convolution, in ONNX's attributes and layouts.

A pass reads its nodes into these and writes nodes from them, field by field. ``pads`` are
``(begin of each axis..., end of each axis...)``. ``spatial`` is always the input's ``*d`` (the
h w of an ``n c h w`` tensor), and every count is for a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeup.polyphase import taps
from edgeup.polyphase.fields import (
    Ints,
    check_channels,
    complete,
    extents,
    halves,
    positive,
    spatial_axes,
)
from edgeup.spec import Array


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution of stride 1: ``y[o] = bias + sum over t of weight[t] x[o + d t - begin]``.

    Negative pads crop the input. Fields left empty are ONNX's defaults.

    Attributes:
        weight: ``co ci/g *k``.
        bias: ``co``, or None.
        pads: zeros around the input.
        dilations: distance of neighbouring taps, per axis.
        group: number of channel groups.

    Raises:
        EdgeupError: the fields do not fit together.
    """

    weight: Array
    bias: Array | None = None
    pads: Ints = ()
    dilations: Ints = ()
    group: int = 1

    def __post_init__(self) -> None:
        axes = spatial_axes(self.weight)
        complete(self, "pads", 2 * axes, 0)
        complete(self, "dilations", axes, 1, least=1)
        check_channels(self.weight.shape[0], self.group, self.bias, self.weight.shape[0])

    @property
    def reach(self) -> Ints:
        """How far the kernel reaches along each axis: ``d (k - 1) + 1``."""
        return extents(self.weight, self.dilations)

    @property
    def growth(self) -> Ints:
        """Output extent less input extent, per axis."""
        begins, ends = halves(self.pads)
        return tuple(b + e - x + 1 for b, e, x in zip(begins, ends, self.reach, strict=True))

    def output_spatial(self, spatial: Sequence[int]) -> Ints:
        """Extents of the output.

        Raises:
            EdgeupError: the input is too small to give any output.
        """
        return positive([n + g for n, g in zip(spatial, self.growth, strict=True)], spatial)

    def macs(self, spatial: Sequence[int]) -> int:
        """Multiply-accumulates."""
        return math.prod(self.output_spatial(spatial)) * int(self.weight.size)

    def elements(self, spatial: Sequence[int]) -> int:
        """Tensor elements read and written, weights included."""
        outputs, per_group = self.weight.shape[:2]
        read: int = per_group * self.group * math.prod(spatial)
        written: int = outputs * math.prod(self.output_spatial(spatial))
        return read + written + int(self.weight.size)

    def tighten(self) -> Conv:
        """The same operator with the fewest taps: zero ones at the ends go, regular gaps dilate.

        Pads of the result are never negative: what a negative pad would crop is skipped by zero
        taps instead, since ONNX's Conv has no negative pads. A kernel of zeros keeps one tap.
        """
        weight = taps.spread(self.weight, self.dilations)
        begins, ends = halves(self.pads)
        drop_begin, drop_end = [], []
        for axis, (begin, end) in enumerate(zip(begins, ends, strict=True), taps.FIRST_SPATIAL):
            last = weight.shape[axis] - 1
            used = taps.occupied(weight, axis) or [min(max(0, begin), last)]
            drop_begin.append(min(used[0], begin))
            drop_end.append(min(last - used[-1], end))
        fitted = taps.fit(weight, [-d for d in drop_begin], [-d for d in drop_end])
        condensed, dilations = taps.condense(fitted)
        pads = [p - d for p, d in zip(self.pads, drop_begin + drop_end, strict=True)]
        return Conv(np.ascontiguousarray(condensed), self.bias, tuple(pads), dilations, self.group)


@dataclass(frozen=True, eq=False)
class ConvTranspose:
    """A transposed convolution: input ``i`` adds ``weight[t] x[i]`` to ``y[s i + d t - begin]``.

    Output extent: ``s (n - 1) + output_padding + d (k - 1) + 1 - begin - end``. Fields left
    empty are ONNX's defaults; ``auto_pad`` and ``output_shape`` have to be resolved to pads first.

    Attributes:
        weight: ``ci co/g *k``.
        bias: ``co``, or None.
        strides: upsampling factor per axis.
        pads: what is cropped from the full output.
        dilations: distance of neighbouring taps, per axis.
        output_padding: what is added to the output's end, per axis.
        group: number of channel groups.

    Raises:
        EdgeupError: the fields do not fit together.
    """

    weight: Array
    bias: Array | None = None
    strides: Ints = ()
    pads: Ints = ()
    dilations: Ints = ()
    output_padding: Ints = ()
    group: int = 1

    def __post_init__(self) -> None:
        axes = spatial_axes(self.weight)
        complete(self, "strides", axes, 1, least=1)
        complete(self, "pads", 2 * axes, 0)
        complete(self, "dilations", axes, 1, least=1)
        complete(self, "output_padding", axes, 0, least=0)
        check_channels(
            self.weight.shape[0], self.group, self.bias, self.weight.shape[1] * self.group
        )

    @property
    def extra(self) -> Ints:
        """Output extent less ``stride * input extent``, per axis."""
        begins, ends = halves(self.pads)
        reach = extents(self.weight, self.dilations)
        numbers = zip(self.strides, self.output_padding, reach, begins, ends, strict=True)
        return tuple(p + x - b - e - s for s, p, x, b, e in numbers)

    def output_spatial(self, spatial: Sequence[int]) -> Ints:
        """Extents of the output.

        Raises:
            EdgeupError: the input is too small to give any output.
        """
        numbers = zip(spatial, self.strides, self.extra, strict=True)
        return positive([s * n + x for n, s, x in numbers], spatial)

    def macs(self, spatial: Sequence[int]) -> int:
        """Multiply-accumulates: every tap at every input position, what pads crop included."""
        return math.prod(spatial) * int(self.weight.size)

    def elements(self, spatial: Sequence[int]) -> int:
        """Tensor elements read and written, weights included."""
        inputs, per_group = self.weight.shape[:2]
        read: int = inputs * math.prod(spatial)
        written: int = per_group * self.group * math.prod(self.output_spatial(spatial))
        return read + written + int(self.weight.size)

"""`PolyphaseFilter`: the one operator behind every form of upsampling convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.polyphase import reference, taps
from edgeup.polyphase.blocks import (
    best_start,
    blocks_from_grid,
    grid_from_convs,
    periodic_bias,
    roll_phases,
)
from edgeup.polyphase.conv import Conv, ConvTranspose
from edgeup.polyphase.fields import Ints, check_numbers, halves, positive
from edgeup.polyphase.interleaved import Interleave, InterleavedConvs
from edgeup.spec import Array


@dataclass(frozen=True)
class Refusal:
    """Why a filter cannot be written in the form that was asked for."""

    reason: str


@dataclass(frozen=True, eq=False)
class PolyphaseFilter:
    """A linear operator on infinite signals, and the window of its output that is kept.

    Along each axis, tap ``m`` adds ``weight[m] x[i]`` to output ``stride i + offset + m``, with
    ``x`` zero beyond its borders; outputs ``0`` to ``stride n + extra - 1`` are kept, and output
    ``q`` gets ``bias[q mod stride]``. Zero padding commutes with zero insertion and with nearest
    resize by whole factors, so pads, crops and output padding of every form only place the
    window, and borders are exact without a case of their own.

    Numbers keep the kernel's dtype. Sums of taps (nearest) and folded scales are made in float64
    and rounded once; everything else only moves taps.

    Attributes:
        weight: ``co ci/g *k``, the taps as they fall on the output's grid.
        bias: ``co *s``, or None.
        strides: upsampling factor ``s`` per axis.
        offsets: place of the first tap per axis, relative to ``stride i``.
        extra: output extent less ``stride * input extent``, per axis.
        groups: number of channel groups.
    """

    weight: Array
    bias: Array | None
    strides: Ints
    offsets: Ints
    extra: Ints
    groups: int = 1

    @classmethod
    def from_conv_transpose(cls, form: ConvTranspose) -> PolyphaseFilter:
        """The operator of a transposed convolution, which scatters taps as the filter does."""
        return cls(
            taps.spread(taps.swap_channels(form.weight, form.group), form.dilations),
            _all_phases(form.bias, form.strides),
            form.strides,
            tuple(-b for b in halves(form.pads)[0]),
            form.extra,
            form.group,
        )

    @classmethod
    def from_zero_insertion_conv(
        cls, conv: Conv, factors: Sequence[int], corner: Sequence[int] = ()
    ) -> PolyphaseFilter:
        """Zero-insertion unpooling (input ``i`` at ``factor i + corner``), then a convolution.

        The unpooled map has ``factor * n`` elements along each axis. Where a graph's has fewer
        at its end, lessen the convolution's end pads by the difference: they may be negative.

        Raises:
            EdgeupError: the factors do not fit the convolution's axes, or the corner the factors.
        """
        check_numbers("factors", factors, len(conv.reach), least=1)
        places = tuple(corner) or (0,) * len(factors)
        if len(places) != len(factors) or any(
            c not in range(f) for c, f in zip(places, factors, strict=True)
        ):
            raise EdgeupError(f"corner {list(places)} is not in a cell of {list(factors)}")
        weight = taps.spread(conv.weight, conv.dilations)
        return cls._from_upsampled(conv, factors, places, weight)

    @classmethod
    def from_nearest_conv(cls, conv: Conv, factors: Sequence[int]) -> PolyphaseFilter:
        """Nearest resize by whole factors (``y[q] = x[q // factor]``), then a convolution.

        Nearest resize is zero insertion followed by a box of ones, so the kernel is the
        convolution's, summed over that box.

        Raises:
            EdgeupError: the factors do not fit the convolution's axes.
        """
        check_numbers("factors", factors, len(conv.reach), least=1)
        weight = taps.box_sum(taps.spread(conv.weight, conv.dilations), factors)
        return cls._from_upsampled(conv, factors, (0,) * len(factors), weight)

    @classmethod
    def _from_upsampled(
        cls, conv: Conv, factors: Sequence[int], places: Sequence[int], weight: Array
    ) -> PolyphaseFilter:
        begins = halves(conv.pads)[0]
        # A convolution gathers: input u reaches output u + begin - t, so the last tap is first.
        offsets = [p + b - r + 1 for p, b, r in zip(places, begins, conv.reach, strict=True)]
        return cls(
            taps.flip(weight),
            _all_phases(conv.bias, factors),
            tuple(factors),
            tuple(offsets),
            conv.growth,
            conv.group,
        )

    @classmethod
    def from_interleaved_convs(cls, form: InterleavedConvs) -> PolyphaseFilter:
        """The operator of a sub-pixel convolution, or of phase convolutions."""
        grid = grid_from_convs(form)
        strides = form.interleave.strides
        sizes = zip(strides, form.convs[0].growth, form.interleave.extra, strict=True)
        extra = tuple(s * g + x for s, g, x in sizes)
        return cls(grid.weight, periodic_bias(form), strides, grid.offsets, extra, grid.groups)

    def to_conv_transpose(self) -> ConvTranspose | Refusal:
        """One transposed convolution; refused where the bias differs between phases.

        Zero taps are added at an end whose pad would be negative. Pads are equal at both ends,
        with the difference as output padding, where that can be written (PyTorch has no other
        way); output padding never exceeds the end pad, so that TensorRT makes one layer of it.
        Dilation is used at stride 1 only: TensorRT for RTX 1.7 does not build both together.
        """
        bias = self.bias
        if bias is not None:
            phases = bias.reshape(len(bias), -1)
            bias = phases[:, 0].copy()
            if not (phases == bias[:, None]).all():
                return Refusal(
                    "the bias differs between the phases of a channel; "
                    "a transposed convolution has one per channel"
                )
        tight = self.tighten()
        kernel = tight.weight.shape[taps.FIRST_SPATIAL :]
        begins = [-o for o in tight.offsets]
        sizes = zip(kernel, begins, self.strides, self.extra, strict=True)
        ends = [k - b - s - x for k, b, s, x in sizes]
        weight = taps.fit(tight.weight, [max(0, -b) for b in begins], [max(0, -e) for e in ends])
        pads = [(max(0, b), max(0, e)) for b, e in zip(begins, ends, strict=True)]
        padding = [
            b - e if b - e in range(s) else 0 for (b, e), s in zip(pads, self.strides, strict=True)
        ]
        dilations: Ints = ()
        if set(self.strides) == {1}:
            weight, dilations = taps.condense(weight)
        return ConvTranspose(
            taps.swap_channels(weight, self.groups),
            bias,
            self.strides,
            (*(b for b, _ in pads), *(e + p for (_, e), p in zip(pads, padding, strict=True))),
            dilations,
            tuple(padding),
            self.groups,
        )

    def to_subpixel_conv(self, *, tight: bool = False) -> InterleavedConvs:
        """One convolution over the union of the phases' taps, then interleave.

        Channels are in CRD order, in which the groups of a grouped convolution stay together.
        Where the output is not a whole number of blocks it is cropped.

        Args:
            tight: also begin inside a block, and crop both ends, where this saves taps: a 4x4
                kernel of stride 2 and pads 1 then has 2x2 taps instead of 3x3.
        """
        own = self.tighten()
        kernel = own.weight.shape[taps.FIRST_SPATIAL :]
        axes = zip(own.offsets, kernel, own.strides, own.extra, strict=True)
        starts = [best_start(o, k, s, x, tight) for o, k, s, x in axes]
        phases, pads, crops = blocks_from_grid(
            own.weight, own.offsets, own.strides, own.extra, starts
        )
        channels, *rest = phases.shape[len(self.strides) :]
        by_phase = phases.reshape(-1, channels, *rest)
        weight = by_phase.swapaxes(0, 1).reshape(len(by_phase) * channels, *rest)
        bias = None if self.bias is None else roll_phases(self.bias, starts).reshape(-1)
        conv = Conv(weight, bias, pads, group=self.groups).tighten()
        return InterleavedConvs((conv,), Interleave(self.strides, "CRD", crops))

    def to_phase_convs(self) -> InterleavedConvs:
        """One convolution per phase with that phase's taps only, Concat, interleave.

        A phase that no tap reaches is a 1-tap kernel of zeros: its output is the bias.
        """
        own = self.tighten()
        phases, pads, crops = blocks_from_grid(
            own.weight, own.offsets, own.strides, own.extra, [0] * len(self.strides)
        )
        convs = []
        for phase in np.ndindex(*self.strides):
            bias = None if self.bias is None else self.bias[taps.at(phase)].copy()
            convs.append(Conv(phases[phase], bias, pads, group=self.groups).tighten())
        return InterleavedConvs(tuple(convs), Interleave(self.strides, "DCR", crops))

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return int(self.weight.shape[1]) * self.groups

    def tighten(self) -> PolyphaseFilter:
        """The same operator without zero taps at the kernel's ends; zeros alone keep one tap."""
        before, after, offsets = [], [], []
        for axis, offset in enumerate(self.offsets, taps.FIRST_SPATIAL):
            used = taps.occupied(self.weight, axis) or [0]
            before.append(-used[0])
            after.append(used[-1] + 1 - self.weight.shape[axis])
            offsets.append(offset + used[0])
        weight = taps.fit(self.weight, before, after)
        if not weight.any():  # then any place is as good as another: filters of zeros are equal
            offsets = [0] * len(offsets)
        return replace(self, weight=weight, offsets=tuple(offsets))

    def decimate(self, steps: Sequence[int]) -> PolyphaseFilter | Refusal:
        """Keep every ``step``-th output, as a convolution of that stride after upsampling does.

        Refused where a step does not divide the factor: a phase of the output would then have
        another kernel in each block.
        """
        check_numbers("strides", steps, len(self.strides), least=1)
        if any(s % t for s, t in zip(self.strides, steps, strict=True)):
            return Refusal(
                f"a convolution of stride {list(steps)} after upsampling by {list(self.strides)}: "
                f"the stride has to divide the factor on every axis"
            )
        # Output q was output t q, so taps at multiples of t stay; the first is ceil(offset / t).
        firsts = [-(-o // t) for o, t in zip(self.offsets, steps, strict=True)]
        skip = [t * f - o for f, o, t in zip(firsts, self.offsets, steps, strict=True)]
        # A kernel of `skip` taps or fewer has none that stays: one zero tap stands for it.
        longer = taps.fit(self.weight, [0] * len(skip), skip)
        return PolyphaseFilter(
            longer[taps.at(slice(b, None, t) for b, t in zip(skip, steps, strict=True))],
            None if self.bias is None else self.bias[taps.at(slice(None, None, t) for t in steps)],
            tuple(s // t for s, t in zip(self.strides, steps, strict=True)),
            tuple(firsts),
            tuple(-(-x // t) for x, t in zip(self.extra, steps, strict=True)),
            self.groups,
        )

    def output_spatial(self, spatial: Sequence[int]) -> Ints:
        """Extents of the output.

        Raises:
            EdgeupError: the input is too small to give any output.
        """
        numbers = zip(spatial, self.strides, self.extra, strict=True)
        return positive([s * n + x for n, s, x in numbers], spatial)

    def apply(self, x: Array) -> Array:
        """The output for ``x`` (``n ci *d``), straight from the definition: a slow reference.

        Raises:
            EdgeupError: the input is too small to give any output, or has other channels.
        """
        batch, channels, *spatial = x.shape
        if channels != self.in_channels:
            raise EdgeupError(f"input of {channels} channels: wanted {self.in_channels}")
        output = self.output_spatial(spatial)
        inputs = x.reshape(batch, self.groups, -1, *spatial)
        weight = self.weight.reshape(self.groups, -1, *self.weight.shape[1:])
        result = reference.scatter(inputs, weight, self.strides, self.offsets, output)
        return result if self.bias is None else result + reference.tile(self.bias, output)

    def __eq__(self, other: object) -> bool:
        """Whether two filters are the same operator in the same groups, to the bit."""
        if not isinstance(other, PolyphaseFilter):
            return NotImplemented
        a, b = self.tighten(), other.tighten()
        return (
            (a.strides, a.offsets, a.extra, a.groups) == (b.strides, b.offsets, b.extra, b.groups)
            and np.array_equal(a.weight, b.weight)
            and np.array_equal(a._bias_or_zeros(), b._bias_or_zeros())
        )

    def _bias_or_zeros(self) -> Array:
        return np.zeros((len(self.weight), *self.strides)) if self.bias is None else self.bias


def _all_phases(bias: Array | None, strides: Sequence[int]) -> Array | None:
    if bias is None:
        return None
    column = bias.reshape(-1, *[1] * len(strides))
    return np.tile(column, (1, *strides))

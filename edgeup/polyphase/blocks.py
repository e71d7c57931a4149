"""Between the output's grid and blocks of phases: what interleaving does, and its inverse.

Along an axis of stride s, a kernel on the output's grid whose first tap is at ``offset`` splits
into one kernel per phase on the input's grid: output ``q`` lies in block ``(q + start) // s`` at
phase ``(q + start) % s``, where ``start`` is the phase at which the output begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeup.polyphase import taps
from edgeup.polyphase.conv import Conv
from edgeup.polyphase.fields import Ints, halves
from edgeup.polyphase.interleaved import Interleave, InterleavedConvs
from edgeup.spec import Array


class Blocks(NamedTuple):
    """Phase kernels ``*s co ci/g *t`` as convolutions, with their pads and the final crops."""

    phases: Array
    pads: Ints
    crops: Ints


class Grid(NamedTuple):
    """A kernel ``co ci/g *k`` on the output's grid, its offsets and its number of groups."""

    weight: Array
    offsets: Ints
    groups: int


def blocks_from_grid(
    weight: Array,
    offsets: Sequence[int],
    strides: Sequence[int],
    extra: Sequence[int],
    starts: Sequence[int],
) -> Blocks:
    """Split a kernel into its phases.

    Args:
        weight: ``co ci/g *k`` on the output's grid.
        offsets: place of its first tap, per axis.
        strides: block extent per axis.
        extra: output extent less ``stride * input extent``, per axis.
        starts: phase at which the output begins, per axis.
    """
    before, after, pad_begins, pad_ends, crop_ends = [], [], [], [], []
    kernel = weight.shape[taps.FIRST_SPATIAL :]
    for offset, k, s, x, start in zip(offsets, kernel, strides, extra, starts, strict=True):
        first, last = offset + start, offset + start + k - 1
        growth = -(-(x + start) // s)  # blocks beyond the input's extent
        before.append(first % s)
        after.append(s - 1 - last % s)
        # Input i reaches blocks i + first // s ... i + last // s, so a convolution, whose taps
        # go the other way, begins last // s before; its growth fixes the end pad.
        pad_begins.append(last // s)
        pad_ends.append(growth - first // s)
        crop_ends.append(s * growth - x - start)
    phases = taps.split_phases(taps.fit(weight, before, after), strides)
    own_taps = tuple(range(-len(strides), 0))
    return Blocks(np.flip(phases, own_taps), (*pad_begins, *pad_ends), (*starts, *crop_ends))


def best_start(offset: int, kernel: int, stride: int, extra: int, tight: bool) -> int:
    """The phase at which the output should begin, for the fewest taps per phase.

    What has to be cropped anyway, ``-extra mod stride``, may be cropped at either end; ``tight``
    allows one more block, cropped at both.
    """

    def reach(start: int) -> int:
        return (offset + start + kernel - 1) // stride - (offset + start) // stride

    return min(range(stride if tight else -extra % stride + 1), key=reach)


def grid_from_convs(form: InterleavedConvs) -> Grid:
    """Put the taps of interleaved convolutions on the output's grid.

    Groups are kept where each output channel reads one group in all its phases; where the
    interleave mixes groups (a grouped convolution in DCR order), the kernel is written dense.
    """
    strides = form.interleave.strides
    lasts = [halves(conv.pads)[0] for conv in form.convs]
    firsts = [
        [b - r + 1 for b, r in zip(last, conv.reach, strict=True)]
        for last, conv in zip(lasts, form.convs, strict=True)
    ]
    low = [min(axis) for axis in zip(*firsts, strict=True)]
    high = [max(axis) for axis in zip(*lasts, strict=True)]
    rows = [
        taps.fit(
            taps.flip(taps.spread(conv.weight, conv.dilations)),
            [f - lo for f, lo in zip(first, low, strict=True)],
            [hi - la for hi, la in zip(high, last, strict=True)],
        )
        for conv, first, last in zip(form.convs, firsts, lasts, strict=True)
    ]
    phases, groups = _keep_groups(form, _by_phase(form.interleave, np.concatenate(rows)))
    crop_begins = halves(form.interleave.crops)[0]
    offsets = tuple(s * lo - c for s, lo, c in zip(strides, low, crop_begins, strict=True))
    return Grid(taps.merge_phases(phases, strides), offsets, groups)


def periodic_bias(form: InterleavedConvs) -> Array | None:
    """The bias ``co *s`` of interleaved convolutions by output position modulo the stride."""
    if all(conv.bias is None for conv in form.convs):
        return None
    biases = [_bias_or_zeros(conv) for conv in form.convs]
    by_phase = np.moveaxis(_by_phase(form.interleave, np.concatenate(biases)), -1, 0)
    return roll_phases(by_phase, [-c for c in halves(form.interleave.crops)[0]])


def roll_phases(bias: Array, shifts: Sequence[int]) -> Array:
    """A periodic bias ``co *s``, moved by ``shifts`` along its axes."""
    return np.roll(bias, tuple(shifts), tuple(range(1, bias.ndim)))


def _bias_or_zeros(conv: Conv) -> Array:
    return np.zeros(len(conv.weight), conv.weight.dtype) if conv.bias is None else conv.bias


def _by_phase(interleave: Interleave, channels: Array) -> Array:
    """An array whose first axis is the channels to interleave, as ``*s co ...``."""
    strides, rest = interleave.strides, channels.shape[1:]
    if interleave.mode == "DCR":
        return channels.reshape(*strides, -1, *rest)
    return np.moveaxis(channels.reshape(-1, *strides, *rest), 0, len(strides))


def _keep_groups(form: InterleavedConvs, phases: Array) -> tuple[Array, int]:
    groups = form.convs[0].group
    owners = [np.repeat(np.arange(groups), len(conv.weight) // groups) for conv in form.convs]
    owner = _by_phase(form.interleave, np.concatenate(owners))
    channels = owner.shape[-1]
    if channels % groups == 0:
        wanted = np.repeat(np.arange(groups), channels // groups)
        if (owner == wanted).all():
            return phases, groups
    return taps.dense_from_grouped(phases, owner, groups), 1

"""Every form into every form, on random parameters, against PyTorch in float64.

Numbers are small integers, so that every sum is exact in float64 and every equality here is held
at zero tolerance; one property repeats it with real numbers, at the level of rounding.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, event, given, settings

from edgeup.polyphase import (
    Conv,
    ConvTranspose,
    Interleave,
    InterleavedConvs,
    PolyphaseFilter,
    Refusal,
    split_box,
)

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
# Largest kernel, stride, dilation and input extent by number of axes: what keeps 3-D quick.
LIMITS = {1: (7, 4, 4, 6), 2: (7, 4, 4, 5), 3: (4, 3, 2, 3)}


# --- PyTorch's side of each form ----------------------------------------------------------------


def torch_pad(x, begins, ends):
    """`F.pad` in ONNX's order; negative numbers crop."""
    pairs = [(b, e) for b, e in zip(begins, ends, strict=True)]
    return F.pad(x, [n for pair in reversed(pairs) for n in pair])


def halves(both):
    return both[: len(both) // 2], both[len(both) // 2 :]


def tensor(array):
    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))


def run_conv(x, conv):
    x = torch_pad(x, *halves(conv.pads))
    weight, bias = tensor(conv.weight), tensor(conv.bias)
    return CONV[x.ndim - 2](x, weight, bias, dilation=conv.dilations, groups=conv.group)


def run_conv_transpose(x, form):
    """Asymmetric pads, which PyTorch lacks, as a crop of the full output."""
    begins, ends = halves(form.pads)
    full = CONV_TRANSPOSE[x.ndim - 2](
        x, tensor(form.weight), None, form.strides, 0, 0, form.group, form.dilations
    )
    kept = torch_pad(
        full, [-b for b in begins], [p - e for p, e in zip(form.output_padding, ends, strict=True)]
    )
    if form.bias is None:
        return kept
    return kept + tensor(form.bias).reshape(-1, *[1] * (x.ndim - 2))


def run_interleaved(x, form):
    """Each phase written to its own places; no reshape, so that it shares nothing with ours."""
    strides, mode = form.interleave.strides, form.interleave.mode
    maps = torch.cat([run_conv(x, conv) for conv in form.convs], dim=1)
    count = math.prod(strides)
    channels = maps.shape[1] // count
    spatial = [s * n for s, n in zip(strides, maps.shape[2:], strict=True)]
    out = torch.full((len(x), channels, *spatial), math.nan, dtype=x.dtype)
    for number, phase in enumerate(np.ndindex(*strides)):
        own = (
            maps[:, number * channels :][:, :channels] if mode == "DCR" else maps[:, number::count]
        )
        out[(..., *(slice(p, None, s) for p, s in zip(phase, strides, strict=True)))] = own
    begins, ends = halves(form.interleave.crops)
    return torch_pad(out, [-b for b in begins], [-e for e in ends])


def run_zero_insertion(x, factors, corner):
    spatial = [s * n for s, n in zip(factors, x.shape[2:], strict=True)]
    out = torch.zeros((*x.shape[:2], *spatial), dtype=x.dtype)
    out[(..., *(slice(c, None, s) for c, s in zip(corner, factors, strict=True)))] = x
    return out


# --- random forms -------------------------------------------------------------------------------


class Case(NamedTuple):
    filter: PolyphaseFilter
    x: np.ndarray
    expected: np.ndarray


class Draw:
    """Draws numbers per axis, and arrays of nonzero integers (or of reals)."""

    def __init__(self, draw, real: bool) -> None:
        self.draw = draw
        self.real = real
        self.axes = draw(st.sampled_from([1, 2, 2, 2, 3]))
        self.kernel, self.stride, self.dilation, self.extent = LIMITS[self.axes]
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.zeros = draw(st.sampled_from([0.0, 0.0, 0.5, 0.9]))

    def per_axis(self, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.draw(st.integers(low, high)) for _ in range(self.axes))

    def values(self, *shape: int) -> np.ndarray:
        if self.real:
            return self.rng.standard_normal(shape)
        return self.rng.integers(1, 5, shape) * self.rng.choice([-1.0, 1.0], shape)

    def weight(self, *shape: int) -> np.ndarray:
        """Some kernels have many zero taps, so that there is something to tighten."""
        return self.values(*shape) * (self.rng.random(shape) >= self.zeros)

    def bias(self, channels: int) -> np.ndarray | None:
        return self.values(channels) if self.draw(st.booleans()) else None

    def channels(self) -> tuple[int, int, int]:
        """Groups, inputs per group, outputs per group; depthwise among them."""
        return self.draw(st.sampled_from([(1, 2, 3), (1, 1, 2), (2, 2, 1), (2, 1, 3), (3, 1, 1)]))

    def conv(self, outputs_times: int = 1) -> Conv:
        group, inputs, outputs = self.channels()
        kernel = self.per_axis(1, self.kernel)
        dilations = self.per_axis(1, self.dilation)
        pads = self.per_axis(-2, self.kernel + 2) + self.per_axis(-2, self.kernel + 2)
        total = group * outputs * outputs_times
        return Conv(self.weight(total, inputs, *kernel), self.bias(total), pads, dilations, group)

    def input(self, channels: int, factors, pads, extra) -> np.ndarray:
        """An input with at least one output, and at least what negative pads crop."""
        begins, ends = halves(pads)
        crops = [max(0, -b) + max(0, -e) for b, e in zip(begins, ends, strict=True)]
        least = [
            max(1, -(-(1 - x) // s), c // s + 1)
            for s, c, x in zip(factors, crops, extra, strict=True)
        ]
        spare = self.per_axis(0, self.extent - 1)
        return self.values(2, channels, *(n + m for n, m in zip(least, spare, strict=True)))


@st.composite
def conv_transposes(draw, real=False):
    d = Draw(draw, real)
    group, inputs, outputs = d.channels()
    strides, dilations = d.per_axis(1, d.stride), d.per_axis(1, d.dilation)
    kernel = d.per_axis(1, d.kernel)
    pads = d.per_axis(0, d.kernel + 2) + d.per_axis(0, d.kernel + 2)
    padding = d.per_axis(0, d.stride)
    weight = d.weight(group * inputs, outputs, *kernel)
    form = ConvTranspose(weight, d.bias(group * outputs), strides, pads, dilations, padding, group)
    x = d.input(group * inputs, strides, pads, form.extra)
    # What PyTorch's full output does not hold cannot be cropped from it.
    full = dataclasses.replace(form, pads=(), output_padding=()).output_spatial(x.shape[2:])
    assume(all(max(b, e) < n for b, e, n in zip(*halves(pads), full, strict=True)))
    expected = run_conv_transpose(torch.from_numpy(x), form).numpy()
    return Case(PolyphaseFilter.from_conv_transpose(form), x, expected)


@st.composite
def zero_insertions(draw, real=False):
    d = Draw(draw, real)
    conv, factors = d.conv(), d.per_axis(1, d.stride)
    corner = tuple(draw(st.integers(0, f - 1)) for f in factors)
    x = d.input(conv.weight.shape[1] * conv.group, factors, conv.pads, conv.growth)
    unpooled = run_zero_insertion(torch.from_numpy(x), factors, corner)
    filter_ = PolyphaseFilter.from_zero_insertion_conv(conv, factors, corner)
    return Case(filter_, x, run_conv(unpooled, conv).numpy())


@st.composite
def nearest_convs(draw, real=False):
    d = Draw(draw, real)
    conv, factors = d.conv(), d.per_axis(1, d.stride)
    x = d.input(conv.weight.shape[1] * conv.group, factors, conv.pads, conv.growth)
    resized = F.interpolate(torch.from_numpy(x), scale_factor=factors, mode="nearest")
    filter_ = PolyphaseFilter.from_nearest_conv(conv, factors)
    return Case(filter_, x, run_conv(resized, conv).numpy())


@st.composite
def subpixel_convs(draw, real=False):
    d = Draw(draw, real)
    strides = d.per_axis(1, d.stride)
    conv = d.conv(math.prod(strides))
    crops = tuple(draw(st.integers(0, s)) for s in (*strides, *strides))
    interleave = Interleave(strides, draw(st.sampled_from(["DCR", "CRD"])), crops)
    form = InterleavedConvs((conv,), interleave)
    return interleaved_case(d, form)


@st.composite
def phase_convs(draw, real=False):
    d = Draw(draw, real)
    strides, growth = d.per_axis(1, min(d.stride, 3)), d.per_axis(-2, 3)
    group, inputs, outputs = d.channels()
    convs = []
    for _ in range(math.prod(strides)):
        kernel, dilations = d.per_axis(1, 3), d.per_axis(1, 2)
        reach = [e * (k - 1) for k, e in zip(kernel, dilations, strict=True)]
        begins = tuple(draw(st.integers(-1, r + 1)) for r in reach)
        ends = tuple(g + r - b for g, r, b in zip(growth, reach, begins, strict=True))
        weight = d.weight(group * outputs, inputs, *kernel)
        bias = d.bias(group * outputs)
        convs.append(Conv(weight, bias, begins + ends, dilations, group))
    crops = tuple(draw(st.integers(0, s)) for s in (*strides, *strides))
    return interleaved_case(d, InterleavedConvs(tuple(convs), Interleave(strides, "DCR", crops)))


def interleaved_case(d, form):
    first, strides = form.convs[0], form.interleave.strides
    outputs = [
        g - math.ceil((b + e) / s)
        for g, s, b, e in zip(first.growth, strides, *halves(form.interleave.crops), strict=True)
    ]
    tightest = tuple(min(pads) for pads in zip(*(c.pads for c in form.convs), strict=True))
    x = d.input(first.weight.shape[1] * first.group, (1,) * len(strides), tightest, outputs)
    expected = run_interleaved(torch.from_numpy(x), form).numpy()
    return Case(PolyphaseFilter.from_interleaved_convs(form), x, expected)


SOURCES = {
    "conv_transpose": conv_transposes,
    "zero_insertion_conv": zero_insertions,
    "nearest_conv": nearest_convs,
    "subpixel_conv": subpixel_convs,
    "phase_convs": phase_convs,
}


def written_forms(filter_):
    """Each form of a filter with its runner; a refused one is left out, for its own test."""
    forms: list[tuple[str, object, Callable]] = [
        ("subpixel", filter_.to_subpixel_conv(), run_interleaved),
        ("tight subpixel", filter_.to_subpixel_conv(tight=True), run_interleaved),
        ("phases", filter_.to_phase_convs(), run_interleaved),
    ]
    transposed = filter_.to_conv_transpose()
    if not isinstance(transposed, Refusal):
        forms.append(("transposed", transposed, run_conv_transpose))
    return forms


def check_plain(name, form):
    """What ONNX, PyTorch and TensorRT need: no negative pad, and output padding below the end's."""
    if name == "transposed":
        assert min(form.pads) >= 0
        ends = halves(form.pads)[1]
        assert all(p <= e for p, e in zip(form.output_padding, ends, strict=True))
        assert all(p < s for p, s in zip(form.output_padding, form.strides, strict=True))
        assert set(form.strides) == {1} or set(form.dilations) == {1}
        return
    for conv in form.convs:
        assert min(conv.pads) >= 0
        assert conv.weight.flags.c_contiguous
    assert min(form.interleave.crops) >= 0


@pytest.mark.parametrize("source", SOURCES)
def test_every_form_computes_exactly_the_same(source):
    varied = []

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(SOURCES[source]())
    def holds(case):
        filter_, x, expected = case
        spatial = x.shape[2:]
        varied.append(bool(np.ptp(expected) > 0))
        np.testing.assert_array_equal(filter_.apply(x), expected)
        for name, form, run in written_forms(filter_):
            event(name)
            check_plain(name, form)
            assert form.output_spatial(spatial) == expected.shape[2:]
            np.testing.assert_array_equal(run(torch.from_numpy(x), form).numpy(), expected, name)
            back = (
                PolyphaseFilter.from_conv_transpose(form)
                if name == "transposed"
                else PolyphaseFilter.from_interleaved_convs(form)
            )
            assert back == filter_, name

    holds()
    assert sum(varied) > 0.8 * len(varied), "the expected outputs hardly vary"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(source(real=True) for source in SOURCES.values()))
def test_real_numbers_agree_to_rounding(case):
    filter_, x, expected = case
    bias = None if filter_.bias is None else abs(filter_.bias)
    size = dataclasses.replace(filter_, weight=abs(filter_.weight), bias=bias).apply(abs(x))
    # float64 rounds by 1.1e-16; the sums here have a few hundred terms.
    bound = 1e-13 * size
    assert (abs(filter_.apply(x) - expected) <= bound).all()
    for name, form, run in written_forms(filter_):
        error = abs(run(torch.from_numpy(x), form).numpy() - expected)
        assert (error <= bound).all(), f"{name}: {error.max()}"


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_strided_convolution_after_upsampling_is_a_decimated_filter(data):
    filter_, x, expected = data.draw(st.one_of(nearest_convs(), zero_insertions()))
    steps = tuple(data.draw(st.integers(1, 4)) for _ in filter_.strides)
    decimated = filter_.decimate(steps)
    if any(s % t for s, t in zip(filter_.strides, steps, strict=True)):
        assert isinstance(decimated, Refusal)
        assert "has to divide the factor on every axis" in decimated.reason
        return
    assert isinstance(decimated, PolyphaseFilter)
    kept = expected[(..., *(slice(None, None, t) for t in steps))]
    np.testing.assert_array_equal(decimated.apply(x), kept)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_pytorch_takes_a_transposed_form_that_came_from_pytorch(data):
    """Symmetric pads and output padding come back as they were written."""
    d = Draw(data.draw, real=False)
    strides, kernel = d.per_axis(2, 4), d.per_axis(2, 5)
    pads = tuple(data.draw(st.integers(0, (k - 1) // 2)) for k in kernel)
    padding = tuple(
        data.draw(st.integers(0, min(s - 1, p))) for s, p in zip(strides, pads, strict=True)
    )
    weight = d.values(2, 3, *kernel)
    form = ConvTranspose(weight, None, strides, pads + pads, output_padding=padding)
    back = PolyphaseFilter.from_conv_transpose(form).to_conv_transpose()
    assert isinstance(back, ConvTranspose)
    assert (back.strides, back.pads, back.output_padding) == (strides, pads + pads, padding)
    np.testing.assert_array_equal(back.weight, weight)
    x = d.values(1, 2, *d.per_axis(1, 3))
    assume(min(s * n + e for s, n, e in zip(strides, x.shape[2:], form.extra, strict=True)) > 0)
    expected = CONV_TRANSPOSE[d.axes](tensor(x), tensor(weight), None, strides, pads, padding)
    np.testing.assert_array_equal(run_conv_transpose(tensor(x), back), expected)


@given(data=st.data(), axes=st.sampled_from([1, 2, 2, 3]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nearest_and_conv_is_a_filter_of_fewer_taps_and_a_box(data, axes):
    def each(low, high):
        return tuple(data.draw(st.integers(low, high)) for _ in range(axes))

    factors, kernel, group = each(1, 3), each(1, 4), data.draw(st.sampled_from([1, 2]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    weight = random.integers(-3, 4, (4, 4 // group, *kernel)).astype(np.float64)
    bias = random.integers(-3, 4, 4).astype(np.float64) if data.draw(st.booleans()) else None
    conv = Conv(weight, bias, each(-1, 3) + each(-1, 3), each(1, 2), group)
    extents = each(3, 5)
    grown = zip(factors, extents, conv.growth, strict=True)
    assume(all(f * n + g > 0 for f, n, g in grown))
    inner, box = split_box(conv, factors)
    assert inner.bias is None
    assert inner.weight.shape[2:] == conv.reach
    assert min(box.pads) >= 0
    x = torch.from_numpy(random.integers(-4, 5, (2, 4, *extents)).astype(np.float64))
    resized = x
    for axis, factor in enumerate(factors, 2):
        resized = resized.repeat_interleave(factor, axis)
    wanted = run_conv(resized, conv)
    got = run_conv(torch.from_numpy(inner.apply(x.numpy())), box)
    assert got.shape == wanted.shape
    assert torch.equal(got, wanted)
    if wanted.numel() > 4:
        event("varies" if float(wanted.max() - wanted.min()) else "constant")

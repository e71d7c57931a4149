"""Known networks, tap counts and refusals: what the forms cost, and what they say no to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.polyphase import (
    Conv,
    ConvTranspose,
    Interleave,
    InterleavedConvs,
    PolyphaseFilter,
    Refusal,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def integers(rng, *shape):
    return rng.integers(1, 9, shape) * rng.choice([-1.0, 1.0], shape)


def kernels(form):
    return [conv.weight.shape[2:] for conv in form.convs]


# --- FCRN's fast up-convolution (Laina et al. 2016) ---------------------------------------------


def fast_up_convolution(rng, short_pad, biases=(None,) * 4):
    """Convolutions A (3x3), C (3x2), B (2x3), D (2x2): phases (0,0), (0,1), (1,0), (1,1)."""
    pad = {3: (1, 1), 2: short_pad}
    convs = []
    for (height, width), bias in zip([(3, 3), (3, 2), (2, 3), (2, 2)], biases, strict=True):
        (top, bottom), (left, right) = pad[height], pad[width]
        weight = integers(rng, 3, 2, height, width)
        convs.append(Conv(weight, bias, pads=(top, left, bottom, right)))
    return InterleavedConvs(tuple(convs), Interleave((2, 2), "DCR"))


def test_textbook_pads_are_zero_insertion_and_5x5(rng):
    form = fast_up_convolution(rng, short_pad=(0, 1))
    filter_ = PolyphaseFilter.from_interleaved_convs(form)
    a, c, b, d = (conv.weight for conv in form.convs)
    kernel = np.zeros((3, 2, 5, 5))
    kernel[..., ::2, ::2], kernel[..., ::2, 1::2] = a, c
    kernel[..., 1::2, ::2], kernel[..., 1::2, 1::2] = b, d
    as_written = Conv(kernel, pads=(2, 2, 2, 2))
    assert filter_ == PolyphaseFilter.from_zero_insertion_conv(as_written, (2, 2))

    transposed = filter_.to_conv_transpose()
    assert isinstance(transposed, ConvTranspose)
    assert transposed.weight.shape == (2, 3, 5, 5)
    assert (transposed.pads, transposed.output_padding) == ((2, 2, 2, 2), (1, 1))
    np.testing.assert_array_equal(transposed.weight, kernel[..., ::-1, ::-1].swapaxes(0, 1))
    # 25 taps at 5x6 inputs, instead of 25 at 10x12 outputs.
    assert transposed.macs((5, 6)) == as_written.macs((10, 12)) // 4 == 2 * 3 * 25 * 30


def test_published_pads_are_a_6x6_transposed_convolution_with_an_empty_row(rng):
    form = fast_up_convolution(rng, short_pad=(1, 0))
    filter_ = PolyphaseFilter.from_interleaved_convs(form)
    transposed = filter_.to_conv_transpose()
    assert isinstance(transposed, ConvTranspose)
    assert transposed.weight.shape == (2, 3, 6, 6)
    assert (transposed.pads, transposed.output_padding) == ((2, 2, 2, 2), (0, 0))
    assert not transposed.weight[..., 1, :].any()
    assert not transposed.weight[..., :, 1].any()
    a, c, b, d = (conv.weight.swapaxes(0, 1) for conv in form.convs)
    np.testing.assert_array_equal(transposed.weight[..., 4::-2, 4::-2], a)
    np.testing.assert_array_equal(transposed.weight[..., 4::-2, 5:1:-2], c)
    np.testing.assert_array_equal(transposed.weight[..., 5:1:-2, 4::-2], b)
    np.testing.assert_array_equal(transposed.weight[..., 5:1:-2, 5:1:-2], d)
    textbook = fast_up_convolution(np.random.default_rng(0), short_pad=(0, 1))
    np.testing.assert_array_equal(textbook.convs[3].weight, form.convs[3].weight)
    assert filter_ != PolyphaseFilter.from_interleaved_convs(textbook)


@pytest.mark.parametrize("short_pad", [(0, 1), (1, 0)])
def test_phase_convs_come_back_as_they_were(rng, short_pad):
    biases = [integers(rng, 3) for _ in range(4)]
    form = fast_up_convolution(rng, short_pad, biases)
    back = PolyphaseFilter.from_interleaved_convs(form).to_phase_convs()
    assert back.interleave == form.interleave
    for got, wanted in zip(back.convs, form.convs, strict=True):
        np.testing.assert_array_equal(got.weight, wanted.weight)
        np.testing.assert_array_equal(got.bias, wanted.bias)
        assert (got.pads, got.dilations) == (wanted.pads, wanted.dilations)


def test_a_bias_per_phase_is_refused_by_the_transposed_form_alone(rng):
    biases = [np.array([1.0, 2.0, 3.0 + phase]) for phase in range(4)]
    filter_ = PolyphaseFilter.from_interleaved_convs(fast_up_convolution(rng, (0, 1), biases))
    refusal = filter_.to_conv_transpose()
    assert isinstance(refusal, Refusal)
    assert "bias differs between the phases of a channel" in refusal.reason
    (conv,) = filter_.to_subpixel_conv().convs
    np.testing.assert_array_equal(conv.bias, [1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5, 6])


# --- taps and MACs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "of_phase", "of_union", "fewer"),
    [(1, (1, 1), (1, 1), 1.0), (3, (2, 2), (3, 3), 9 / 4), (5, (3, 3), (3, 3), 25 / 9)],
)
def test_nearest_2x_makes_phases_of_fewer_taps(rng, kernel, of_phase, of_union, fewer):
    as_written = Conv(integers(rng, 4, 3, kernel, kernel), pads=(kernel // 2,) * 4)
    filter_ = PolyphaseFilter.from_nearest_conv(as_written, (2, 2))
    phases = filter_.to_phase_convs()
    assert kernels(phases) == [of_phase] * 4
    assert as_written.macs((28, 28)) == phases.macs((14, 14)) * fewer
    assert kernels(filter_.to_subpixel_conv()) == [of_union]


def test_zero_insertion_5x5_has_25_taps_in_four_phases(rng):
    as_written = Conv(integers(rng, 4, 3, 5, 5), pads=(2, 2, 2, 2))
    filter_ = PolyphaseFilter.from_zero_insertion_conv(as_written, (2, 2))
    phases = filter_.to_phase_convs()
    assert kernels(phases) == [(3, 3), (3, 2), (2, 3), (2, 2)]
    assert sum(conv.weight[0, 0].size for conv in phases.convs) == 25
    assert as_written.macs((28, 28)) == 4 * phases.macs((14, 14))
    subpixel = filter_.to_subpixel_conv()
    assert kernels(subpixel) == [(3, 3)]
    assert subpixel.macs((14, 14)) == 4 * 4 * 3 * 9 * 14 * 14


@pytest.mark.parametrize(
    ("tight", "kernel", "pads", "crops"),
    [(False, (3, 3), (1, 1, 1, 1), (0,) * 4), (True, (2, 2), (1, 1, 1, 1), (1,) * 4)],
)
def test_a_tight_subpixel_conv_trades_taps_for_a_crop(rng, tight, kernel, pads, crops):
    deconvolution = ConvTranspose(integers(rng, 3, 4, 4, 4), strides=(2, 2), pads=(1, 1, 1, 1))
    filter_ = PolyphaseFilter.from_conv_transpose(deconvolution)
    form = filter_.to_subpixel_conv(tight=tight)
    assert kernels(form) == [kernel]
    assert (form.convs[0].pads, form.interleave.crops) == (pads, crops)
    assert form.output_spatial((7, 5)) == (14, 10)


def test_a_dilated_kernel_is_tight_again_in_its_phases(rng):
    conv = Conv(integers(rng, 2, 2, 3, 3), pads=(2, 2, 2, 2), dilations=(2, 2))
    filter_ = PolyphaseFilter.from_nearest_conv(conv, (2, 2))
    (subpixel,) = filter_.to_subpixel_conv().convs
    assert (subpixel.weight.shape[2:], subpixel.dilations) == ((3, 3), (1, 1))
    wide = Conv(conv.weight, pads=(4, 4, 4, 4), dilations=(4, 4))
    (subpixel,) = PolyphaseFilter.from_nearest_conv(wide, (2, 2)).to_subpixel_conv().convs
    assert (subpixel.weight.shape[2:], subpixel.dilations) == ((3, 3), (2, 2))


def test_strided_and_dilated_transposed_convolution_is_written_without_dilation(rng):
    """TensorRT for RTX 1.7: "Strided & Dilated Deconv are currently not supported"."""
    both = ConvTranspose(integers(rng, 2, 3, 3, 3), strides=(2, 2), dilations=(2, 2))
    filter_ = PolyphaseFilter.from_conv_transpose(both)
    written = filter_.to_conv_transpose()
    assert isinstance(written, ConvTranspose)
    assert (written.weight.shape, written.dilations) == ((2, 3, 5, 5), (1, 1))
    # Only one phase has taps: the other three are their bias, zero here.
    phases = filter_.to_phase_convs()
    assert kernels(phases) == [(3, 3), (1, 1), (1, 1), (1, 1)]
    assert not any(conv.weight.any() for conv in phases.convs[1:])
    stride_1 = dataclasses.replace(both, strides=(1, 1))
    written = PolyphaseFilter.from_conv_transpose(stride_1).to_conv_transpose()
    assert isinstance(written, ConvTranspose)
    assert (written.weight.shape, written.dilations) == ((2, 3, 3, 3), (2, 2))


def test_groups_survive_every_form(rng):
    depthwise = Conv(integers(rng, 6, 1, 5, 5), integers(rng, 6), pads=(2,) * 4, group=6)
    filter_ = PolyphaseFilter.from_nearest_conv(depthwise, (2, 2))
    transposed = filter_.to_conv_transpose()
    assert isinstance(transposed, ConvTranspose)
    assert (transposed.weight.shape, transposed.group) == ((6, 1, 6, 6), 6)
    (subpixel,) = filter_.to_subpixel_conv().convs
    assert (subpixel.weight.shape, subpixel.group) == ((24, 1, 3, 3), 6)
    assert [conv.group for conv in filter_.to_phase_convs().convs] == [6] * 4
    assert filter_.to_phase_convs().macs((10, 10)) == 4 * 6 * 9 * 100


def test_an_interleave_that_mixes_groups_makes_the_kernel_dense(rng):
    """Depthwise convolution, then DepthToSpace: each output channel reads four inputs."""
    conv = Conv(integers(rng, 8, 1, 3, 3), pads=(1,) * 4, group=8)
    mixed = InterleavedConvs((conv,), Interleave((2, 2), "CRD"))
    filter_ = PolyphaseFilter.from_interleaved_convs(mixed)
    assert (filter_.groups, filter_.weight.shape[:2]) == (1, (2, 8))
    assert filter_.to_subpixel_conv().macs((4, 4)) == 8 * mixed.macs((4, 4))


@pytest.mark.parametrize(
    ("strides", "blocksize"), [((2, 2), 2), ((3, 3), 3), ((2, 3), None), ((2,), None)]
)
def test_depth_to_space_is_for_two_equal_axes(strides, blocksize):
    assert Interleave(strides, "DCR").blocksize == blocksize
    assert Interleave((2, 2, 2), "CRD").blocksize is None


def test_elements_count_each_node_once(rng):
    weight = integers(rng, 4, 3, 3, 3)
    conv = Conv(weight, pads=(1,) * 4)
    assert conv.elements((5, 6)) == 3 * 30 + 4 * 30 + weight.size
    deconvolution = ConvTranspose(weight, strides=(2, 2))
    assert deconvolution.elements((5, 6)) == 4 * 30 + 3 * 11 * 13 + weight.size
    subpixel = InterleavedConvs((conv,), Interleave((2, 2), "CRD"))
    assert subpixel.elements((5, 6)) == conv.elements((5, 6)) + 2 * 120
    cropped = InterleavedConvs((conv,), Interleave((2, 2), "CRD", (1, 1, 1, 1)))
    assert cropped.elements((5, 6)) == subpixel.elements((5, 6)) + 2 * 8 * 10
    phases = InterleavedConvs((conv,) * 4, Interleave((2, 2), "DCR"))
    assert phases.elements((5, 6)) == 4 * conv.elements((5, 6)) + 2 * 2 * 480


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept_and_sums_are_rounded_once(dtype):
    # Summed in their own precision from the left, the small ones would be lost.
    small = np.finfo(dtype).eps / 2
    weight = np.array([[[1.0, small, small]]], dtype)
    filter_ = PolyphaseFilter.from_nearest_conv(Conv(weight, np.ones(1, dtype)), (3,))
    transposed = filter_.to_conv_transpose()
    assert isinstance(transposed, ConvTranspose)
    assert transposed.weight.dtype == transposed.bias.dtype == dtype
    if dtype is not np.float64:
        assert transposed.weight.max() == dtype(1 + 2 * small) > 1
    for form in (filter_.to_subpixel_conv(), filter_.to_phase_convs()):
        assert {conv.weight.dtype for conv in form.convs} == {np.dtype(dtype)}


def test_equality_is_of_operators_not_of_arrays(rng):
    weight = integers(rng, 2, 3, 3)
    plain = PolyphaseFilter(weight, None, (2,), (-1,), (0,))
    padded = np.pad(weight, [(0, 0), (0, 0), (2, 1)])
    assert plain == PolyphaseFilter(padded, np.zeros((2, 2)), (2,), (-3,), (0,))
    assert plain != PolyphaseFilter(weight, None, (2,), (0,), (0,))
    assert plain != PolyphaseFilter(weight, None, (2,), (-1,), (1,))
    assert plain != PolyphaseFilter(weight, np.eye(2), (2,), (-1,), (0,))
    assert plain != PolyphaseFilter(weight * 2, None, (2,), (-1,), (0,))
    assert plain != "a filter"


def test_tighten_drops_zero_taps_at_the_ends_and_keeps_one_of_zeros():
    weight = np.zeros((1, 1, 6))
    weight[..., 2], weight[..., 4] = 3, 5
    tight = PolyphaseFilter(weight, None, (2,), (-1,), (0,)).tighten()
    assert (tight.weight.shape[2:], tight.offsets) == ((3,), (1,))
    nothing = PolyphaseFilter(np.zeros((1, 1, 6)), None, (2,), (-1,), (0,)).tighten()
    assert (nothing.weight.shape[2:], nothing.offsets) == ((1,), (0,))


@pytest.mark.parametrize(
    ("weight", "pads", "taps", "left", "dilation"),
    [
        ([0, 0, 5, 0], (3, 1), [5], (1, 0), 1),
        ([2, 0, 0, 3], (1, 2), [2, 3], (1, 2), 3),
        ([0, 0, 0], (2, 0), [0], (0, 0), 1),  # zeros alone: the tap that needs no pad
        ([5], (-2, 0), [0, 5], (0, 0), 2),  # what was cropped is skipped by a zero tap
        ([0, 5], (0, 0), [0, 5], (0, 0), 1),  # without a pad to lessen, a zero tap stays
    ],
)
def test_a_tight_convolution_has_the_fewest_taps_that_pads_allow(
    weight, pads, taps, left, dilation
):
    conv = Conv(np.array([[weight]], float), pads=pads)
    tight = conv.tighten()
    np.testing.assert_array_equal(tight.weight[0, 0], taps)
    assert (tight.pads, tight.dilations, tight.growth) == (left, (dilation,), conv.growth)


# --- what is refused ----------------------------------------------------------------------------

W = np.ones((4, 2, 3, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(np.ones((4, 2))), "two channel axes"),
        (lambda: Conv(np.ones((4, 2, 0))), "none of them empty"),
        (lambda: Conv(W.astype(np.int8)), "kernel of int8: wanted floating point"),
        (lambda: Conv(W, pads=(1, 1)), r"pads \[1, 1\]: wanted 4 numbers"),
        (lambda: Conv(W, dilations=(0, 1)), r"dilations \[0, 1\]: wanted 2 numbers of at least 1"),
        (lambda: Conv(W, group=3), "group 3 does not divide the kernel's 4 channels"),
        (lambda: Conv(W, np.ones(3)), r"bias of shape \(3,\): wanted \(4,\)"),
        (lambda: ConvTranspose(W, np.ones(4)), r"bias of shape \(4,\): wanted \(2,\)"),
        (lambda: ConvTranspose(W, strides=(0, 2)), "strides"),
        (lambda: ConvTranspose(W, output_padding=(-1, 0)), "output_padding"),
        (lambda: Interleave((2, 2), "DCR", (0, 0, -1, 0)), "crops"),
        (lambda: Conv(W).macs((2, 9)), r"input \(2, 9\) is too small.*\(0, 7\)"),
        (lambda: ConvTranspose(W, pads=(2,) * 4).output_spatial((1, 5)), "too small"),
        (lambda: InterleavedConvs((), Interleave((2, 2), "DCR")), "no convolution"),
        (
            lambda: InterleavedConvs((Conv(W), Conv(W, pads=(1,) * 4)), Interleave((1, 2), "DCR")),
            "convolutions to interleave differ",
        ),
        (lambda: InterleavedConvs((Conv(W),), Interleave((3, 3), "CRD")), "a multiple of 9"),
        (lambda: InterleavedConvs((Conv(W),), Interleave((2,), "CRD")), "differ"),
        (lambda: PolyphaseFilter.from_nearest_conv(Conv(W), (2,)), "factors"),
        (lambda: PolyphaseFilter.from_nearest_conv(Conv(W), (0, 2)), "factors"),
        (lambda: PolyphaseFilter.from_zero_insertion_conv(Conv(W), (2, 2), (0, 2)), "corner"),
        (lambda: PolyphaseFilter.from_zero_insertion_conv(Conv(W), (2, 2), (0,)), "corner"),
        (lambda: from_conv().apply(np.ones((1, 3, 4, 4))), "input of 3 channels: wanted 2"),
        (lambda: from_conv().apply(np.ones((1, 2, 1, 1))), "too small"),
        (lambda: from_conv().decimate((2,)), "strides"),
    ],
)
def test_fields_that_do_not_fit_are_one_clear_line(make, message):
    with pytest.raises(EdgeupError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def from_conv():
    return PolyphaseFilter.from_nearest_conv(Conv(W), (2, 2))

"""Tolerances with their reasons: how far two backends may differ in one precision."""

from __future__ import annotations

from edgeup.spec import Tolerance

# Measured, ONNX Runtime 1.32 against torch 2.13 on one x86 core, over all kinds of input: a
# MobileNet with a five-stage depthwise decoder (38 convolutions, 96 and 224 pixels), a residual
# network with transposed convolutions and bilinear resizes (25), a super-resolution network with
# sub-pixel convolution (11); random weights, with and without batch statistics of their own
# inputs. With rtol 0 the worst element of any case needed 1.6e-5 of the peak, with rtol 1e-4
# 1.0e-5; typical were 1e-6 to 6e-6. What must fail, in the residual network: weights rounded to
# fp16 needed 4e-4, a batch norm's epsilon of 1e-3 for 1e-5 6e-4, aligned corners or nearest in
# the last bilinear resize 3e-2 and more, a flipped kernel or another padding 6e-1.
FP32_TOLERANCE = Tolerance(
    rtol=1e-4,
    atol_of_peak=5e-5,
    reason=(
        "fp32 on both sides, sums in another order: networks of 11 to 38 convolutions needed up "
        "to 1e-5 of the peak; five times that leaves room for deeper ones, and the smallest wrong "
        "graph tried needed 4e-4"
    ),
)

EXACT = Tolerance(rtol=0.0, atol_of_peak=0.0, reason="integers and booleans are compared exactly")

# Measured on the rounding twin (edgeup.export.precision.twin) of seven networks of 10 to 164
# nodes with random weights, against float32, on four kinds of input. Worst element, as a share of
# the peak: fp16 8e-4 to 6e-3, bf16 6e-3 to 4e-2 (its steps are 8 times larger). SegNet stands
# apart: rounding moves its pooling's indices, by 0.28 of the peak in the worst element and 1e-2
# in RMS, and its float32 graph moves as far when its input is rounded. A wrong graph that is
# subtler than this tolerance (a batch norm's epsilon: 6e-4) must be found before the conversion.
FP16_TOLERANCE = Tolerance(
    rtol=0.0,
    atol_of_peak=2e-2,
    reason=(
        "weights and results rounded to fp16: networks of 10 to 164 nodes needed up to 6e-3 of "
        "the peak, three times that leaves room for deeper ones; the float32 graph was compared "
        "at its own tolerance before"
    ),
)
BF16_TOLERANCE = Tolerance(
    rtol=0.0,
    atol_of_peak=1e-1,
    reason=(
        "weights and results rounded to bf16, 8 bits of significand: networks of 10 to 164 nodes "
        "needed up to 4e-2 of the peak, 2.5 times that leaves room for deeper ones; the float32 "
        "graph was compared at its own tolerance before"
    ),
)


def tolerance_of(precision: str) -> Tolerance:
    """How far a model in that precision ("fp32", "fp16", "bf16") may be from float32."""
    return {"fp32": FP32_TOLERANCE, "fp16": FP16_TOLERANCE, "bf16": BF16_TOLERANCE}[precision]

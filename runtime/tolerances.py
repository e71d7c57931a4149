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

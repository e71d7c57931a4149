"""Nearest resize and convolution as a smaller filter, summed over a box.

Nearest resize by ``s`` is zero insertion followed by a box of ``s`` ones, and a convolution
commutes with the box: ``y[q] = z[q] + z[q-1] + ... + z[q-s+1]``, where ``z`` is the convolution of
the zero-inserted map. A kernel of ``k`` taps per axis stays one of ``k``, where summing the kernel
over the box (`PolyphaseFilter.from_nearest_conv`) makes ``k + s - 1`` of them: 4 for 9 with a 2x2
kernel at factor 2, 9 for 16 with 3x3. The price is the sum of ``s`` numbers per axis over the
whole map, channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeup.polyphase.conv import Conv
from edgeup.polyphase.fields import check_numbers, halves
from edgeup.polyphase.filter import PolyphaseFilter


def split_box(conv: Conv, factors: Sequence[int]) -> tuple[PolyphaseFilter, Conv]:
    """The filter from the small map to ``z``, and the box as a depthwise convolution with bias.

    ``z`` holds what can be other than zero and is needed; the box pads with the zeros around it.
    Along an axis of ``n`` inputs, ``z`` lives on ``begin - reach + 1`` to ``s (n - 1) + begin``,
    and outputs 0 to ``s n + growth - 1`` need it from ``1 - s`` on.

    Raises:
        EdgeupError: the factors do not fit the convolution's axes.
    """
    check_numbers("factors", factors, len(conv.reach), least=1)
    begins, ends, before, after = [], [], [], []
    for begin, reach, growth, factor in zip(
        halves(conv.pads)[0], conv.reach, conv.growth, factors, strict=True
    ):
        first = max(1 - factor, begin - reach + 1)
        last = min(growth - 1, begin - factor)  # both less s n
        begins.append(begin - first)
        ends.append(last - begin + reach)
        before.append(first + factor - 1)
        after.append(growth - 1 - last)
    inner = replace(conv, bias=None, pads=(*begins, *ends))
    channels = conv.weight.shape[0]
    ones = np.ones((channels, 1, *factors), conv.weight.dtype)
    box = Conv(ones, conv.bias, (*before, *after), group=channels)
    return PolyphaseFilter.from_zero_insertion_conv(inner, factors), box

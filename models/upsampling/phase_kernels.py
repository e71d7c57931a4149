"""One kernel or four: exact conversions between up-convolution and its fast form."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from edgeup.errors import EdgeupError

Padding: TypeAlias = Literal["textbook", "published"]
"""How a fast up-convolution pads its 2-tap axes; see `FastUpConv`."""


class PhaseKernels(NamedTuple):
    """The weights of the four convolutions: ``o c 3 3``, ``o c 2 3``, ``o c 3 2``, ``o c 2 2``."""

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor


def split_kernel(kernel: Tensor) -> PhaseKernels:
    """The four kernels, for textbook padding, of an up-convolution's kernel ``o c 5 5``.

    Every weight is moved, none is changed: `join_kernels` gives the same kernel back.

    Raises:
        EdgeupError: the kernel is not 5x5.
    """
    if kernel.dim() != 4 or kernel.shape[2:] != (5, 5):
        raise EdgeupError(f"the kernel has shape {tuple(kernel.shape)}; wanted o c 5 5")
    even, odd = slice(0, None, 2), slice(1, None, 2)
    return PhaseKernels(
        kernel[:, :, even, even],
        kernel[:, :, odd, even],
        kernel[:, :, even, odd],
        kernel[:, :, odd, odd],
    )


def join_kernels(kernels: PhaseKernels) -> Tensor:
    """The up-convolution's kernel ``o c 5 5`` of four kernels for textbook padding."""
    outputs, inputs = kernels.a.shape[:2]
    kernel = kernels.a.new_empty(outputs, inputs, 5, 5)
    for part, weights in zip(split_kernel(kernel), kernels, strict=True):
        part.copy_(weights)
    return kernel


def transposed_kernel(kernels: PhaseKernels, padding: Padding) -> Tensor:
    """The weight ``c o k k`` of the transposed convolution that equals four convolutions.

    Stride 2 and padding 2; textbook: k = 5, output padding 1; published: k = 6, output padding 0.
    Even outputs ``2i`` meet ``x[i - 1 + r]`` at tap ``4 - 2r``. Odd ones meet ``x[i + r]`` at tap
    ``3 - 2r`` (textbook), or ``x[i - 1 + r]`` at tap ``5 - 2r`` (published).
    """
    size, odd = {"textbook": (5, [3, 1]), "published": (6, [5, 3])}[padding]
    even = [4, 2, 0]
    outputs, inputs = kernels.a.shape[:2]
    weight = kernels.a.new_zeros(inputs, outputs, size, size)
    for part, rows, columns in zip(
        kernels, (even, odd, even, odd), (even, even, odd, odd), strict=True
    ):
        weight[:, :, torch.tensor(rows)[:, None], torch.tensor(columns)] = part.transpose(0, 1)
    return weight

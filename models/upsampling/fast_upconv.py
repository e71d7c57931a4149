"""Fast up-convolution: four small convolutions and an interleave.

On a zero-inserted map three quarters of a 5x5 kernel's products are with zeros. Output pixels
of each of the four parities meet the same taps, so each parity is a convolution of its own:

    a  3x3  even rows, even columns      c  3x2  even rows, odd columns
    b  2x3  odd rows, even columns       d  2x2  odd rows, odd columns
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError, unknown
from edgeup.models.upsampling.interleave import interleave
from edgeup.models.upsampling.phase_kernels import (
    Padding,
    PhaseKernels,
    join_kernels,
    split_kernel,
)
from edgeup.models.upsampling.upconv import UpConv
from edgeup.models.upsampling.zero_insertion import ZeroInsertion

# Zeros (before, after) a 2-tap axis. 3-tap axes have one on either side.
_TWO_TAP_PADS: Final[Mapping[str, tuple[int, int]]] = {"textbook": (0, 1), "published": (1, 0)}
_SIZES: Final = {"a": (3, 3), "b": (2, 3), "c": (3, 2), "d": (2, 2)}


class FastUpConv(nn.Module):
    """Fast up-convolution: ``n c h w`` to ``n o 2h 2w`` by four convolutions and an interleave.

    Laina et al., 3DV 2016 (arXiv:1606.00373), with two ways of padding the 2-tap axes:

    - ``"textbook"`` (0 before, 1 after) equals `UpConv` with a 5x5 kernel, and the transposed
      convolution 5x5, stride 2, padding 2, output padding 1. For weights trained as unpooling and
      5x5 (FastDepth's and sparse-to-dense's UpConv and UpProj), and for ports that pad as
      TensorFlow's SAME (semodepth).
    - ``"published"`` (1 before, 0 after) is what the authors' code does, and what **their FCRN
      weights need** (iro-cp/FCRN-DepthPrediction, network.py): odd rows and columns look one
      input pixel further up and left. It equals the transposed convolution 6x6, stride 2,
      padding 2, and no `UpConv`.

    One batch norm follows the interleave, then ReLU. FCRN: ``bias=True, eps=1e-4``.

    Args:
        in_channels: c.
        out_channels: o.
        padding: see above; there is no default, since the wrong one still runs.
        bias: whether the four convolutions have one each.
        norm: whether batch norm follows.
        relu: whether ReLU ends the block.
        eps: batch norm's.

    Raises:
        EdgeupError: an unknown padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        padding: Padding,
        bias: bool = False,
        norm: bool = True,
        relu: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if padding not in _TWO_TAP_PADS:
            raise unknown("padding", str(padding), _TWO_TAP_PADS)
        self.padding: Padding = padding
        self.conv_a, self.conv_b, self.conv_c, self.conv_d = (
            nn.Conv2d(in_channels, out_channels, size, bias=bias) for size in _SIZES.values()
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=eps) if norm else nn.Identity()
        self.relu = nn.ReLU() if relu else nn.Identity()

    @property
    def convs(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        """The four convolutions, a to d."""
        return self.conv_a, self.conv_b, self.conv_c, self.conv_d

    def forward(self, x: Tensor) -> Tensor:
        """Double height and width."""
        a, b, c, d = (conv(F.pad(x, _pads(conv, self.padding))) for conv in self.convs)
        y: Tensor = self.relu(self.norm(interleave((a, c, b, d), 2)))
        return y

    @classmethod
    def from_upconv(cls, block: nn.Sequential) -> FastUpConv:
        """The fast form, in textbook padding, of an up-convolution; weights are copied.

        Args:
            block: zero insertion, 5x5 convolution, then batch norm, ReLU, both or neither
                (`UpConv`, `edgeup.models.blocks.up_conv`).

        Raises:
            EdgeupError: another sequence, kernel or corner.
        """
        layers = list(block)
        unpool = layers[0] if layers else None
        if not isinstance(unpool, ZeroInsertion) or (unpool.stride, unpool.corner) != (2, (0, 0)):
            raise EdgeupError(
                f"the block starts with {unpool}; an up-convolution starts with zero insertion "
                "of stride 2 to the top left"
            )
        return cls.from_conv(*layers[1:])

    @classmethod
    def from_conv(cls, *layers: nn.Module) -> FastUpConv:
        """As `from_upconv`, from the layers that follow the zero insertion."""
        conv, norm, relu = _conv_norm_relu(layers)
        fast = cls(
            conv.in_channels,
            conv.out_channels,
            padding="textbook",
            bias=conv.bias is not None,
            norm=norm is not None,
            relu=relu,
        ).to(conv.weight)
        with torch.no_grad():
            for phase, kernel in zip(fast.convs, split_kernel(conv.weight), strict=True):
                phase.weight.copy_(kernel)
                if phase.bias is not None and conv.bias is not None:
                    phase.bias.copy_(conv.bias)
        if norm is not None:
            fast.norm = copy.deepcopy(norm)
        return fast.train(conv.training)

    def to_upconv(self) -> UpConv:
        """The same block as unpooling and one 5x5 convolution; weights are copied.

        Raises:
            EdgeupError: published padding, or four biases that are not equal: neither is any
                up-convolution.
        """
        if self.padding != "textbook":
            raise EdgeupError(
                "a fast up-convolution with published padding is no 5x5 up-convolution: "
                "use transposed_kernel, which gives a 6x6 transposed convolution"
            )
        biases = [conv.bias for conv in self.convs]
        bias = biases[0]
        if bias is not None and not all(b is not None and torch.equal(b, bias) for b in biases):
            raise EdgeupError(
                "the four convolutions have different biases, an up-convolution has one: "
                "keep the four, or add the differences as a 2x2-periodic bias"
            )
        norm = isinstance(self.norm, nn.BatchNorm2d)
        up = UpConv(
            self.conv_a.in_channels,
            self.conv_a.out_channels,
            bias=bias is not None,
            norm=norm,
            relu=isinstance(self.relu, nn.ReLU),
        ).to(self.conv_a.weight)
        conv, _, _ = _conv_norm_relu(list(up)[1:])
        with torch.no_grad():
            conv.weight.copy_(join_kernels(self.kernels()))
            if conv.bias is not None and bias is not None:
                conv.bias.copy_(bias)
        if norm:
            up[2] = copy.deepcopy(self.norm)
        return up.train(self.training)

    def kernels(self) -> PhaseKernels:
        """The four convolutions' weights."""
        return PhaseKernels(*(conv.weight for conv in self.convs))


def _pads(conv: nn.Conv2d, padding: Padding) -> list[int]:
    """`F.pad`'s order: left, right, top, bottom."""
    rows, columns = ((1, 1) if k == 3 else _TWO_TAP_PADS[padding] for k in conv.kernel_size)
    return [*columns, *rows]


def _conv_norm_relu(
    layers: Sequence[nn.Module],
) -> tuple[nn.Conv2d, nn.BatchNorm2d | None, bool]:
    conv, rest = (layers[0] if layers else None), layers[1:]
    norm = next((layer for layer in rest[:1] if isinstance(layer, nn.BatchNorm2d)), None)
    after = rest[1:] if norm is not None else rest
    relu = len(after) == 1 and isinstance(after[0], nn.ReLU)
    if not isinstance(conv, nn.Conv2d) or len(after) != relu:
        raise EdgeupError(
            f"got {', '.join(type(layer).__name__ for layer in layers) or 'no layers'}; "
            "wanted Conv2d, then BatchNorm2d, ReLU, both or neither"
        )
    if (conv.stride, conv.padding, conv.dilation, conv.groups) != ((1, 1), (2, 2), (1, 1), 1):
        raise EdgeupError(
            f"got {conv}; an up-convolution's has stride 1, padding 2, no dilation, no groups"
        )
    return conv, norm, relu

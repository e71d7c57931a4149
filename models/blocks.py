"""FastDepth's building blocks: convolution, batch norm, ReLU.

Child names (``0`` convolution, ``1`` batch norm) are those of FastDepth's checkpoints. ReLU is
never in place: an exported graph would not differ, and a traced intermediate stays what it was.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from edgeup.models.upsampling.zero_insertion import ZeroInsertion


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Convolution of odd ``kernel`` that keeps the size."""
    return _normalised(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    )


def depthwise(channels: int, kernel: int) -> nn.Sequential:
    """Depthwise convolution of odd ``kernel`` that keeps the size."""
    return _normalised(
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    )


def pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 convolution."""
    return conv(in_channels, out_channels, 1)


def conv_transpose(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Transposed convolution of odd ``kernel`` that doubles the size."""
    return _normalised(_double(in_channels, out_channels, kernel, 1))


def depthwise_transpose(channels: int, kernel: int) -> nn.Sequential:
    """Depthwise transposed convolution of odd ``kernel`` that doubles the size."""
    return _normalised(_double(channels, channels, kernel, channels))


def up_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Up-convolution (Laina et al. 2016): zero-insertion unpooling, then a 5x5 convolution."""
    return nn.Sequential(ZeroInsertion(), *conv(in_channels, out_channels, 5))


class UpProjection(nn.Module):
    """Up-projection (Laina et al. 2016): a residual block around one zero-insertion unpooling.

    ``n ci h w`` to ``n co 2h 2w``: ReLU(3x3(5x5(u)) + 5x5(u)), each convolution with batch
    norm, and a ReLU between the two of the first branch.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.unpool = ZeroInsertion()
        self.branch1 = conv(in_channels, out_channels, 5) + _linear(
            conv(out_channels, out_channels, 3)
        )
        self.branch2 = _linear(conv(in_channels, out_channels, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Double height and width."""
        x = self.unpool(x)
        return F.relu(self.branch1(x) + self.branch2(x))


def _double(in_channels: int, out_channels: int, kernel: int, groups: int) -> nn.ConvTranspose2d:
    # (n - 1)*2 - 2*((k-1)/2) + k + 1 = 2n for odd k.
    return nn.ConvTranspose2d(
        in_channels,
        out_channels,
        kernel,
        stride=2,
        padding=kernel // 2,
        output_padding=1,
        groups=groups,
        bias=False,
    )


def _linear(block: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*list(block)[:-1])  # without its ReLU


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())

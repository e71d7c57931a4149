"""ResNet (He et al. 2015, arXiv:1512.03385) as an encoder; parameters named as torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

STEM_CHANNELS: Final = 64


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ``n ci h w`` to ``n width h/stride w/stride``."""

    expansion: Final = 1

    def __init__(
        self, in_channels: int, width: int, stride: int, shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: torch.Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut; ``n ci h w`` to ``n 4*width h/stride w/stride``.

    Args:
        in_channels: ci.
        width: channels between the 1x1 convolutions.
        stride: of the block.
        shortcut: what the input passes to meet the sum, None for nothing.
        stride_in_first_1x1: where the stride is: in the first 1x1 (He et al.'s Caffe models,
            FCRN), or in the 3x3 (torchvision).
    """

    expansion: Final = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        shortcut: nn.Module | None,
        stride_in_first_1x1: bool,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_first_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, second)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: torch.Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


@dataclass(frozen=True)
class _Layout:
    blocks: tuple[int, int, int, int]
    bottleneck: bool


_LAYOUTS: Final[Mapping[int, _Layout]] = {
    18: _Layout((2, 2, 2, 2), False),
    34: _Layout((3, 4, 6, 3), False),
    50: _Layout((3, 4, 6, 3), True),
    101: _Layout((3, 4, 23, 3), True),
    152: _Layout((3, 8, 36, 3), True),
}


class ResNetTrunk(nn.Module):
    """ResNet without pooling and classifier.

    Args:
        depth: 18, 34, 50, 101 or 152.
        stride_in_first_1x1: see `Bottleneck`; basic blocks have no 1x1 and do not care.
    """

    def __init__(self, depth: int, stride_in_first_1x1: bool = False) -> None:
        super().__init__()
        layout = _LAYOUTS[depth]
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        expansion = Bottleneck.expansion if layout.bottleneck else BasicBlock.expansion
        channels = STEM_CHANNELS
        for stage, blocks in enumerate(layout.blocks):
            width = STEM_CHANNELS * 2**stage
            stride = 1 if stage == 0 else 2
            layer = nn.Sequential()
            for step in [stride] + [1] * (blocks - 1):
                shortcut = _shortcut(channels, width * expansion, step)
                layer.append(
                    Bottleneck(channels, width, step, shortcut, stride_in_first_1x1)
                    if layout.bottleneck
                    else BasicBlock(channels, width, step, shortcut)
                )
                channels = width * expansion
            self.add_module(f"layer{stage + 1}", layer)
        self.out_channels = channels

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps at 1/2 (after the stem's ReLU), 1/4, 1/8, 1/16 and 1/32 of ``n 3 h w``."""
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)

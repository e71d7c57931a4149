"""FCRN (Laina, Rupprecht, Belagiannis, Tombari and Navab, 3DV 2016, arXiv:1606.00373).

``n 3 h w`` to depth ``n 1 16*ceil(h/32) 16*ceil(w/32)`` in metres, never negative: 228x304 gives
128x160. The input is RGB in 0..255 without mean or deviation. ResNet-50, a 1x1 convolution to half
its channels, four upsampling blocks that halve them again, a 3x3 convolution and ReLU. As in the
authors' TensorFlow code (iro-cp/FCRN-DepthPrediction), whose weights fit the defaults; other
encoders and the decoders deconv2 and deconv3 are those of fangchangma/sparse-to-dense.pytorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from edgeup.models.blocks import UpProjection
from edgeup.models.resnet import STEM_CHANNELS, ResNetTrunk
from edgeup.models.upsampling.fast_upconv import FastUpConv
from edgeup.models.upsampling.phase_kernels import Padding
from edgeup.models.upsampling.upconv import UpConv
from edgeup.models.upsampling.upproj import FastUpProj
from edgeup.models.vgg import scaled

EPSILON: Final = 1e-4
"""Of every batch norm (network.py)."""


@dataclass(frozen=True)
class FcrnConfig:
    """How an FCRN is built.

    Attributes:
        encoder: ``resnet50``, or another depth.
        decoder: a key of the table of blocks below.
        padding: of the fast decoders; see `FastUpConv`.
        stride: ``first-1x1``, as in He et al.'s Caffe models, or ``3x3``, as in torchvision.
        pool: ``tensorflow``: SAME, which on even sizes pads at the far side alone; ``pytorch``:
            one pixel on either side, so that windows stand one pixel before.
        width: factor on the decoder's channels.
    """

    encoder: str = "resnet50"
    decoder: str = "fast-upproj"
    padding: Padding = "published"
    stride: str = "first-1x1"
    pool: str = "tensorflow"
    width: float = 1.0


def build(
    *, encoder: str, decoder: str, padding: Padding, stride: str, pool: str, width: float
) -> nn.Module:
    """FCRN by its settings; see `FcrnConfig`."""
    return Fcrn(FcrnConfig(encoder, decoder, padding, stride, pool, width))


class Fcrn(nn.Module):
    """FCRN; the published one by default."""

    def __init__(self, config: FcrnConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ResNetTrunk(
            int(config.encoder.removeprefix("resnet")), config.stride == "first-1x1"
        )
        self.encoder.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, padding=3)  # with bias
        if config.pool == "tensorflow":
            self.encoder.maxpool = SameMaxPool()
        channels = scaled(self.encoder.out_channels // 2, config.width)
        self.reduce = nn.Sequential(
            nn.Conv2d(self.encoder.out_channels, channels, 1), nn.BatchNorm2d(channels)
        )
        self.decoder = nn.Sequential()
        for _ in range(4):
            half = max(1, channels // 2)
            self.decoder.append(_BLOCKS[config.decoder](channels, half, config.padding))
            channels = half
        self.predict = nn.Conv2d(channels, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = EPSILON

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Depth of a picture."""
        x = self.reduce(self.encoder.features(x)[-1])
        return F.relu(self.predict(self.decoder(x)))


class SameMaxPool(nn.MaxPool2d):
    """3x3 max pooling of stride 2 with TensorFlow's SAME padding.

    ``n c h w`` to ``n c ceil(h/2) ceil(w/2)``. SAME pads an odd side by one at both ends, an even
    one by one at the far end, which here is a last window that is partial.
    """

    def __init__(self) -> None:
        super().__init__(3, 2, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool ``x``."""
        padding = x.shape[2] % 2, x.shape[3] % 2
        return F.max_pool2d(x, self.kernel_size, self.stride, padding, ceil_mode=True)


def _transposed(kernel: int) -> Callable[[int, int, Padding], nn.Module]:
    def block(in_channels: int, out_channels: int, _: Padding) -> nn.Module:
        # (n - 1)*2 - 2*((k-1)//2) + k + k%2 = 2n for any k.
        conv = nn.ConvTranspose2d(
            in_channels, out_channels, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=False
        )
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())

    return block


_BLOCKS: Final[Mapping[str, Callable[[int, int, Padding], nn.Module]]] = {
    "fast-upproj": lambda ci, co, padding: FastUpProj(ci, co, padding=padding, bias=True),
    "fast-upconv": lambda ci, co, padding: FastUpConv(ci, co, padding=padding, bias=True),
    # A bias before batch norm changes nothing that training could not; sparse-to-dense has none.
    "upproj": lambda ci, co, _: UpProjection(ci, co),
    "upconv": lambda ci, co, _: UpConv(ci, co),
    "deconv2": _transposed(2),
    "deconv3": _transposed(3),
}

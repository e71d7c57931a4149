"""FastDepth's NNConv and BLConv: convolve at the low resolution, then resize."""

from __future__ import annotations

from torch import nn

from edgeup.models import blocks
from edgeup.models.upsampling.axes import odd_kernel, whole_factor
from edgeup.models.upsampling.interpolation import Interpolation


class NNConv(nn.Sequential):
    """Convolution, batch norm, ReLU, then nearest resize: ``n c h w`` to ``n o s·h s·w``.

    FastDepth (Wofk et al., ICRA 2019, arXiv:1903.03273): 5x5, twofold. ``depthwise`` is its
    ``dw`` form: a depthwise k x k and a 1x1 convolution, each with batch norm and ReLU.

    Args:
        in_channels: c.
        out_channels: o.
        kernel: odd.
        depthwise: see above.
        factor: s, an integer.

    Raises:
        EdgeupError: an even kernel, or a factor below 2.
    """

    mode = "nearest"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 5,
        depthwise: bool = False,
        factor: int = 2,
    ) -> None:
        kernel = odd_kernel(kernel)
        conv = (
            nn.Sequential(
                blocks.depthwise(in_channels, kernel), blocks.pointwise(in_channels, out_channels)
            )
            if depthwise
            else blocks.conv(in_channels, out_channels, kernel)
        )
        super().__init__(conv, Interpolation(self.mode, scale_factor=whole_factor(factor)))


class BLConv(NNConv):
    """As `NNConv`, with half-pixel bilinear resize (``align_corners=False``)."""

    mode = "bilinear"

"""Fast up-projection; the plain one is `edgeup.models.blocks.UpProjection`."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.models.blocks import UpProjection
from edgeup.models.upsampling.fast_upconv import FastUpConv
from edgeup.models.upsampling.phase_kernels import Padding


class FastUpProj(nn.Module):
    """Fast up-projection: ``n c h w`` to ``n o 2h 2w``, without the zero-inserted map.

    ReLU(norm(3x3(up1(x))) + up2(x)) with two fast up-convolutions, both with batch norm, the
    first alone with ReLU. Laina et al., 3DV 2016 (arXiv:1606.00373), as in the authors' code.
    Textbook padding equals `UpProjection`; the authors' FCRN weights need ``"published"``, with
    ``bias=True, eps=1e-4`` (see `FastUpConv`).

    Args:
        in_channels: c.
        out_channels: o.
        padding: of the fast up-convolutions' 2-tap axes; no default, the wrong one still runs.
        bias: whether the convolutions have one.
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
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.up1 = FastUpConv(in_channels, out_channels, padding=padding, bias=bias, eps=eps)
        self.tail = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(out_channels, eps=eps),
        )
        self.up2 = FastUpConv(
            in_channels, out_channels, padding=padding, bias=bias, relu=False, eps=eps
        )

    def forward(self, x: Tensor) -> Tensor:
        """Double height and width."""
        return F.relu(self.tail(self.up1(x)) + self.up2(x))

    @classmethod
    def from_upproj(cls, block: UpProjection) -> FastUpProj:
        """The fast form, in textbook padding, of an up-projection; weights are copied.

        Raises:
            EdgeupError: the block's first convolutions are not 5x5.
        """
        *first, conv, norm = block.branch1
        up1, up2 = FastUpConv.from_conv(*first), FastUpConv.from_conv(*block.branch2)
        fast = cls(up1.conv_a.in_channels, up1.conv_a.out_channels, padding="textbook")
        fast.up1, fast.up2 = up1, up2
        fast.tail = copy.deepcopy(nn.Sequential(conv, norm))
        return fast.train(block.training)

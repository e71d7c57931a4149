"""Average downsampling."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.axes import whole_factor

_POOL: Final = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


class AverageDownsample(nn.Module):
    """Downsample by an integer factor: each output pixel is the mean of an s x s window.

    ``n c h w`` to ``n c floor(h/s) floor(w/s)``; also 1 and 3 spatial axes. Windows lie side by
    side; rows and columns at the far side that do not fill a window are left out. With s dividing
    the size this is the left inverse of nearest resize, and equals ``area`` interpolation.

    Raises:
        EdgeupError: ``factor`` is not an integer of at least 2.
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        self.factor = whole_factor(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample ``x``.

        Raises:
            EdgeupError: ``x`` has no, or more than three, spatial axes.
        """
        pool = _POOL.get(x.dim())
        if pool is None:
            raise EdgeupError(
                f"the input has {x.dim() - 2} spatial axes, shape {tuple(x.shape)}; "
                "average downsampling takes 1, 2 or 3"
            )
        return pool(x, self.factor)

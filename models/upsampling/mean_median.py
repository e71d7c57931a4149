"""Mean and median interpolation: inserted pixels summarize their known neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeup.models.upsampling.axes import whole_factor
from edgeup.models.upsampling.interleave import interleave


class MeanInterpolation(nn.Module):
    """Upsample by an integer factor; inserted pixels are the mean of their known neighbours.

    ``n c h w`` to ``n c s·h s·w``. The known pixels stay, at ``(s·i, s·j)``. They are the corners
    of cells, s pixels wide. An inserted pixel on the line between two known pixels has these two
    as neighbours; one inside a cell has the cell's four corners. Border rule: neighbours beyond
    the last row or column do not exist, and the mean is over those that do (so the last column
    repeats the last known column, and the corner the last pixel). All inserted pixels of one
    cell's inside are equal: for s > 2 this is no linear interpolation.

    In ONNX: Slice, Concat, Add, Div, and DepthToSpace.

    Raises:
        EdgeupError: ``factor`` is not an integer of at least 2.
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        self.factor = whole_factor(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample ``x``."""
        # Repeating the last row and column is the same as leaving missing neighbours out.
        right, below = _shift(x, 3), _shift(x, 2)
        on_row, on_column = (x + right) / 2, (x + below) / 2
        inside = self.inside(x, right, below, _shift(right, 2))
        rest = self.factor - 1
        return interleave(
            [x] + [on_row] * rest + ([on_column] + [inside] * rest) * rest, self.factor
        )

    def inside(self, x: Tensor, right: Tensor, below: Tensor, diagonal: Tensor) -> Tensor:
        """What fills a cell's inside, from its four corners: their mean."""
        return (x + right + below + diagonal) / 4


class MedianInterpolation(MeanInterpolation):
    """As `MeanInterpolation`, with the median, the mean of the middle two of an even count.

    Cells, neighbours and border rule are those of `MeanInterpolation`; of two neighbours the
    median is the mean, so only the insides of cells differ. A border cell's inside has two
    neighbours, hence again their mean.

    The middle two of four are ``max(min(a, b), min(c, d))`` and ``min(max(a, b), max(c, d))``:
    no sort, and, unlike ``(sum - min - max) / 2``, no cancellation beside a large outlier.
    In ONNX: Slice, Concat, Min, Max, Add, Div, and DepthToSpace.
    """

    def inside(self, x: Tensor, right: Tensor, below: Tensor, diagonal: Tensor) -> Tensor:
        """What fills a cell's inside: the mean of the middle two of its corners."""
        low = torch.maximum(torch.minimum(x, right), torch.minimum(below, diagonal))
        high = torch.minimum(torch.maximum(x, right), torch.maximum(below, diagonal))
        return (low + high) / 2


def _shift(x: Tensor, axis: int) -> Tensor:
    """Each pixel's next neighbour along ``axis``; the last one is its own."""
    last = x.narrow(axis, x.shape[axis] - 1, 1)
    return torch.cat((x.narrow(axis, 1, x.shape[axis] - 1), last), dim=axis)

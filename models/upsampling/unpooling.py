"""Unpooling: with the maxima's indices, with 3-D switches, and by spreading averages.

Zero-insertion unpooling, which needs no indices, is `edgeup.models.upsampling.zero_insertion`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError
from edgeup.models.upsampling.axes import Axes, per_axis, spatial_rank

_POOL: Final[Mapping[int, Callable[..., nn.Module]]] = {
    1: nn.MaxPool1d,
    2: nn.MaxPool2d,
    3: nn.MaxPool3d,
}
_UNPOOL: Final[Mapping[int, Callable[..., nn.Module]]] = {
    1: nn.MaxUnpool1d,
    2: nn.MaxUnpool2d,
    3: nn.MaxUnpool3d,
}


class _Windows:
    """A pooling's windows: kernel, stride (the kernel, unless given) and padding per axis."""

    def __init__(self, kernel_size: Axes, stride: Axes | None, padding: Axes, rank: int) -> None:
        self.rank = spatial_rank(rank)
        self.kernel = per_axis("kernel_size", kernel_size, rank, 1)
        self.stride = self.kernel if stride is None else per_axis("stride", stride, rank, 1)
        self.padding = per_axis("padding", padding, rank, 0)
        for pad, window in zip(self.padding, self.kernel, strict=True):
            if 2 * pad > window:
                raise EdgeupError(
                    f"padding {pad} is more than half the kernel {window}: "
                    "a window could lie wholly outside; make it smaller"
                )


class MaxPoolWithIndices(nn.Module):
    """Max pooling that also returns where each maximum was.

    ``n c h w`` to values and indices, both ``n c h' w'``. An index counts the pixels of its own
    channel in row-major order (``row·w + column``), as PyTorch has it; ONNX's MaxPool counts
    through the whole tensor. Of equal values the first wins. SegNet (Badrinarayanan et al.,
    arXiv:1511.00561) and DeconvNet (Noh et al., arXiv:1505.04366): 2x2 windows, stride 2.

    Args:
        kernel_size: the window, one number or one per axis.
        stride: the step between windows; the kernel when None.
        padding: how far windows reach over the border (never a maximum there).
        ceil_mode: keep a last partial window, as Caffe does.
        rank: the number of spatial axes, 1 to 3.

    Raises:
        EdgeupError: a padding above half the kernel.
    """

    def __init__(
        self,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        ceil_mode: bool = False,
        rank: int = 2,
    ) -> None:
        super().__init__()
        windows = _Windows(kernel_size, stride, padding, rank)
        self.pool = _POOL[windows.rank](
            windows.kernel,
            windows.stride,
            windows.padding,
            return_indices=True,
            ceil_mode=ceil_mode,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima and their indices."""
        values, indices = self.pool(x)
        return values, indices


class MaxUnpool(nn.Module):
    """Max unpooling: each value goes back to where its maximum was, zeros elsewhere.

    Values and indices ``n c h w`` to ``n c h' w'``; ``h' = (h - 1)·stride - 2·padding + kernel``
    unless an output size is given, which is needed where the pooling dropped or padded a rest
    (SegNet's 45 to 23 to 45 rows). Where windows overlap, one index can occur twice; the values
    then must be equal, or which one stays is undefined. Papers: see `MaxPoolWithIndices`.

    Raises:
        EdgeupError: see `MaxPoolWithIndices`.
    """

    def __init__(
        self,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        rank: int = 2,
    ) -> None:
        super().__init__()
        windows = _Windows(kernel_size, stride, padding, rank)
        self.unpool = _UNPOOL[windows.rank](windows.kernel, windows.stride, windows.padding)

    def forward(
        self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Put ``x`` where ``indices`` say; ``output_size`` is ``h' w'``, or a whole shape."""
        y: Tensor = self.unpool(x, indices, None if output_size is None else list(output_size))
        return y


class AverageUnpool(nn.Module):
    """Average unpooling: each value is spread over its own k x k window.

    ``n c h w`` to ``n c k·h k·w``, windows side by side. ``divide=False`` copies the value to the
    whole window, so that average pooling gives the value back (its right inverse; the same as
    nearest resize by k). ``divide=True`` divides by the window's area, so that sums are kept: the
    adjoint of average pooling, through which its gradients flow. There is no paper to cite for a
    single definition: libraries have both.

    Raises:
        EdgeupError: a window that is not a positive integer.
    """

    def __init__(self, kernel_size: Axes, divide: bool = False, rank: int = 2) -> None:
        super().__init__()
        self.kernel = per_axis("kernel_size", kernel_size, spatial_rank(rank), 1)
        self.divide = divide

    def forward(self, x: Tensor) -> Tensor:
        """Spread ``x``."""
        shares = x / math.prod(self.kernel) if self.divide else x
        return F.interpolate(shares, scale_factor=[float(k) for k in self.kernel], mode="nearest")


class SwitchPool(nn.Module):
    """Pooling over space and over groups of adjacent channels, with switches.

    ``n c h w`` to values and switches, both ``n c/g h/k w/k`` (rounded up): windows of g adjacent
    channels by k x k pixels, side by side, each give the value of largest magnitude, sign kept,
    and its switch: its place in ``c·h·w`` of the input, in row-major order. A last partial window
    is kept. Of equal magnitudes the first wins.

    Zeiler, Taylor and Fergus, "Adaptive deconvolutional networks for mid and high level feature
    learning", ICCV 2011. Largest magnitude, adjacent groups and rounding up were read in Zeiler's
    own PoolingToolbox (max_pool3d.m, 2010). NOT VERIFIED: the paper's text, its window sizes, and
    ties, which that code treats through the larger signed value.

    Raises:
        EdgeupError: a group or window that is not a positive integer.
    """

    def __init__(self, group: int, kernel_size: Axes) -> None:
        super().__init__()
        self.window = (*per_axis("group", group, 1, 1), *per_axis("kernel_size", kernel_size, 2, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The values and their switches."""
        _, switches = F.max_pool3d_with_indices(
            x.abs().unsqueeze(1), self.window, self.window, ceil_mode=True
        )
        switches = switches.squeeze(1)
        values = x.flatten(1).gather(1, switches.flatten(1)).view_as(switches)
        return values, switches


class SwitchUnpool(nn.Module):
    """Unpooling by `SwitchPool`'s switches: values to their places, zeros elsewhere.

    Values and switches ``n c h w`` to ``n g·c k·h k·w``, or to the given output size (channels,
    rows, columns) where the pooling's last windows were partial. Paper, and what is NOT VERIFIED
    of it: see `SwitchPool`.

    Raises:
        EdgeupError: a group or window that is not a positive integer.
    """

    def __init__(self, group: int, kernel_size: Axes) -> None:
        super().__init__()
        self.window = (*per_axis("group", group, 1, 1), *per_axis("kernel_size", kernel_size, 2, 1))

    def forward(
        self, x: Tensor, switches: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Put ``x`` where ``switches`` say; ``output_size`` is ``c h w``."""
        y = F.max_unpool3d(
            x.unsqueeze(1),
            switches.unsqueeze(1),
            self.window,
            self.window,
            output_size=None if output_size is None else list(output_size),
        )
        return y.squeeze(1)

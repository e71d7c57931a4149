"""Interpolation: everything that `torch.nn.functional.interpolate` does, checked early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from edgeup.errors import EdgeupError, unknown
from edgeup.models.upsampling.axes import Axes, per_axis

Factors: TypeAlias = "float | Sequence[float]"

MODES: Final = (
    "nearest",
    "nearest-exact",
    "linear",
    "bilinear",
    "bicubic",
    "trilinear",
    "area",
)
_RANKS: Final = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_ANTIALIASED: Final = ("bilinear", "bicubic")


class Interpolation(nn.Module):
    """Resize the spatial axes of ``n c w``, ``n c h w`` or ``n c d h w``, up or down.

    An output pixel's centre ``o`` reads the input at ``(o + 0.5) / s - 0.5`` (half-pixel), or,
    with ``align_corners``, at ``o · (in - 1) / (out - 1)``; ``nearest`` takes ``floor(o / s)``,
    ``nearest-exact`` ``floor((o + 0.5) / s)``; ``area`` is the mean over the cell that the
    output pixel covers (adaptive average pooling). ``s`` is the scale factor as given, or
    ``out / in`` with ``size`` or ``recompute_scale_factor``: that differs when the factor times
    the size is not whole. ``out = floor(in · s)``. Where a fractional ``s``
    leaves an axis as long as it was, the linear modes and 2-D ``nearest`` copy it, and where it
    doubles the axis, 2-D ``nearest`` takes ``floor(o / 2)``: PyTorch's shortcuts on a CPU (found by
    test in 2.13), which other runtimes need not share. Bicubic is Keys' cubic with a = -0.75
    (IEEE TASSP 1981); ``antialias`` widens the filter by ``1 / s`` when shrinking, with a = -0.5
    for bicubic, as Pillow. (PyTorch 2.13 on a CPU antialiases wrongly where the output is one
    pixel wide and the height changes: every row comes out as the first.)

    Args:
        mode: one of `MODES`. ``linear``, ``bilinear`` (``bicubic``) and ``trilinear`` are bound to
            1, 2 and 3 spatial axes.
        size: the output size, one number for all axes or one per axis. Or:
        scale_factor: the multiplier, fractional if you like, likewise.
        align_corners: for the linear and cubic modes alone; None means False there.
        recompute_scale_factor: derive the factor anew from the whole output size.
        antialias: for ``bilinear`` and ``bicubic`` alone.

    Raises:
        EdgeupError: arguments that do not go together, each with what to change.
    """

    def __init__(
        self,
        mode: str = "nearest",
        *,
        size: Axes | None = None,
        scale_factor: Factors | None = None,
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise unknown("interpolation mode", mode, MODES)
        if align_corners is not None and mode not in _RANKS:
            raise EdgeupError(
                f"align_corners has no meaning for mode {mode!r}; leave it out, "
                f"or use one of {', '.join(_RANKS)}"
            )
        if antialias and mode not in _ANTIALIASED:
            raise EdgeupError(
                f"antialias has no meaning for mode {mode!r}; leave it out, "
                f"or use one of {', '.join(_ANTIALIASED)}"
            )
        if (size is None) == (scale_factor is None):
            got = "both size and scale_factor" if size is not None else "neither"
            raise EdgeupError(f"got {got}; give either size or scale_factor")
        if recompute_scale_factor and size is not None:
            raise EdgeupError("recompute_scale_factor needs scale_factor, but size was given")
        self.mode = mode
        self.size = None if size is None else _sizes(size, mode)
        self.scale_factor = None if scale_factor is None else _factors(scale_factor, mode)
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.antialias = antialias

    def forward(self, x: Tensor) -> Tensor:
        """Resize ``x``.

        Raises:
            EdgeupError: ``x`` has other spatial axes than the mode, size or factors.
        """
        rank = x.dim() - 2
        wanted = _rank(self.mode, self.size if self.size is not None else self.scale_factor)
        if rank not in ((1, 2, 3) if wanted is None else (wanted,)):
            raise EdgeupError(
                f"the input has {rank} spatial axes, shape {tuple(x.shape)}; "
                f"{self.mode} interpolation as configured takes {wanted or '1, 2 or 3'}"
            )
        # The published signature says `int` and `list[float]`; tuples are documented too.
        options: dict[str, Any] = {"size": self.size, "scale_factor": self.scale_factor}
        return F.interpolate(
            x,
            mode=self.mode,
            align_corners=self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
            antialias=self.antialias,
            **options,
        )

    def extra_repr(self) -> str:
        """Mode and size or factor, as `nn.Module` prints them."""
        goal = f"size={self.size}" if self.size is not None else f"scale={self.scale_factor}"
        return f"{self.mode}, {goal}, align_corners={self.align_corners}"


def _rank(mode: str, goal: object) -> int | None:
    """The number of spatial axes that the arguments imply, if they do."""
    return _RANKS.get(mode) or (len(goal) if isinstance(goal, Sequence) else None)


def _sizes(size: Axes, mode: str) -> int | tuple[int, ...]:
    rank = _rank(mode, size)
    if rank is None:
        return per_axis("size", size, 1, 1)[0]
    _check_count("size", size, rank)
    return per_axis("size", size, rank, 1)


def _factors(factor: Factors, mode: str) -> float | tuple[float, ...]:
    rank = _rank(mode, factor)
    if rank is not None:
        _check_count("scale_factor", factor, rank)
    values = tuple(factor) if isinstance(factor, Sequence) else (factor,) * (rank or 1)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise EdgeupError(f"scale_factor is {factor!r}; it takes numbers")
        if not (math.isfinite(value) and value > 0):
            raise EdgeupError(f"scale_factor is {factor!r}; it takes finite numbers above 0")
    floats = tuple(float(value) for value in values)
    return floats[0] if rank is None else floats


def _check_count(what: str, value: object, rank: int) -> None:
    count = len(value) if isinstance(value, Sequence) else rank
    if not 1 <= rank <= 3 or count != rank:
        wanted = rank if 1 <= rank <= 3 else "up to 3"
        raise EdgeupError(f"{what} has {count} values, {value!r}; give one, or {wanted}")

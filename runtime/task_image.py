"""Pictures: peak signal-to-noise ratio and structural similarity."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError
from edgeup.spec import Array

METRICS = ("psnr", "ssim")
BEST_IS_LARGEST = frozenset(METRICS)

_SIGMA, _RADIUS = 1.5, 5  # Wang et al. 2004: a window of 11 x 11
_K1, _K2 = 0.01, 0.03

_Planes = npt.NDArray[np.float64]


def image_metrics(
    reference: Array, candidate: Array, data_range: float | None = None
) -> dict[str, float]:
    """Likeness of one output in one case.

    ``psnr`` in dB, infinite where both are equal. ``ssim`` is the mean over all planes and all
    places of an 11 x 11 Gaussian window that lies inside the picture (Wang et al. 2004, Image
    quality assessment); NaN where the picture is smaller. Both are -inf where the candidate
    alone holds NaN or infinity.

    Args:
        reference: ``n c h w``, or any planes ``... h w``.
        candidate: of the same shape.
        data_range: white less black; by default the reference's own largest less its least.

    Raises:
        EdgeupError: the output has no height and width.
    """
    if reference.ndim < 2 or reference.dtype.kind not in "fiu":
        raise EdgeupError("wanted planes of numbers (... h w)")
    shape = (-1, *reference.shape[-2:])
    r, c = (array.astype(np.float64).reshape(shape) for array in (reference, candidate))
    span = float(r.max() - r.min()) if data_range is None else data_range
    if not (np.isfinite(r).all() and span > 0):
        return dict.fromkeys(METRICS, math.nan)
    if not np.isfinite(c).all():
        return dict.fromkeys(METRICS, -math.inf)
    error = float(np.square(c - r).mean())
    return {
        "psnr": 10 * math.log10(span**2 / error) if error else math.inf,
        "ssim": _ssim(r, c, span) if min(shape[1:]) > 2 * _RADIUS else math.nan,
    }


def _ssim(r: _Planes, c: _Planes, span: float) -> float:
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    total = 0.0
    for a, b in zip(r, c, strict=True):  # plane by plane: five maps each
        mean_a, mean_b = _smooth(a), _smooth(b)
        variance_a = _smooth(a * a) - mean_a**2
        variance_b = _smooth(b * b) - mean_b**2
        covariance = _smooth(a * b) - mean_a * mean_b
        likeness = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
            (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
        )
        total += float(likeness.mean())
    return total / len(r)


def _smooth(plane: _Planes) -> _Planes:
    """Gaussian means at the places where the whole window lies inside."""
    window = np.exp(-0.5 * np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA))
    window /= window.sum()
    for axis in (0, 1):
        length = plane.shape[axis] - 2 * _RADIUS
        parts = (
            weight * plane.take(range(at, at + length), axis) for at, weight in enumerate(window)
        )
        plane = sum(parts, start=np.zeros(()))
    return plane

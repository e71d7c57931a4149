"""Depth: the errors by which monocular depth networks are compared (Eigen et al. 2014).

Pixels count where the reference is finite and above 0: sensors write 0 where they measured
nothing. A candidate that is not above 0 there counts with its error, and is outside any delta;
one that is NaN or infinite there has an infinite error.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError
from edgeup.spec import Array

METRICS = ("abs_rel", "rmse", "delta_1.25", "edge_error")
BEST_IS_LARGEST = frozenset({"delta_1.25"})
EDGE_PERCENTILE = 95.0


def depth_metrics(reference: Array, candidate: Array) -> dict[str, float]:
    """Errors of one output in one case.

    ``abs_rel`` is the mean of ``|c - r| / r``, ``rmse`` in the output's unit, ``delta_1.25`` the
    share of pixels with ``max(c / r, r / c) < 1.25``. ``edge_error`` is the mean of ``|c - r|``
    where depth is steepest: over the 5 % of the pixels with the largest gradient of the
    reference (central differences). Blurred and shifted edges show there first.

    Args:
        reference: ``... h w``.
        candidate: of the same shape.

    Raises:
        EdgeupError: the output is no map of floating numbers.
    """
    if reference.ndim < 2 or reference.dtype.kind != "f":
        raise EdgeupError("wanted a map of floating numbers (... h w)")
    r, c = reference.astype(np.float64), candidate.astype(np.float64)
    valid = np.isfinite(r) & (r > 0)
    if not valid.any():
        return dict.fromkeys(METRICS, math.nan)
    c = np.where(np.isfinite(c), c, np.inf)
    error = np.abs(np.where(valid, c - np.where(valid, r, 0.0), 0.0))
    far, near = r[valid], c[valid]
    positive = np.maximum(near, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        ratio = np.maximum(positive / far, far / positive)
    edges = _edges(r, valid)
    return {
        "abs_rel": float((error[valid] / far).mean()),
        "rmse": float(np.sqrt(np.square(error[valid]).mean())),
        "delta_1.25": float((ratio < 1.25).mean()),
        "edge_error": float(error[edges].mean()) if edges.any() else math.nan,
    }


def _edges(depth: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The steepest valid pixels, among those whose four neighbours are valid; none in a plane."""
    if min(depth.shape[-2:]) < 3:
        return np.zeros_like(valid)
    inside = np.zeros_like(valid)
    core = valid[..., 1:-1, 1:-1]
    for neighbour in (
        *(valid[..., :-2, 1:-1], valid[..., 2:, 1:-1]),
        *(valid[..., 1:-1, :-2], valid[..., 1:-1, 2:]),
    ):
        core = core & neighbour
    inside[..., 1:-1, 1:-1] = core
    if not inside.any():
        return inside
    filled = np.where(valid, depth, 0.0)
    steepness = np.hypot(np.gradient(filled, axis=-2), np.gradient(filled, axis=-1))
    limit = max(float(np.percentile(steepness[inside], EDGE_PERCENTILE)), np.finfo(np.float64).tiny)
    edges: npt.NDArray[np.bool_] = inside & (steepness >= limit)
    return edges

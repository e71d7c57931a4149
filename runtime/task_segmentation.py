"""Segmentation: how far two maps of classes agree."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError
from edgeup.spec import Array

METRICS = ("argmax_disagreement", "mean_iou", "boundary_iou")
BEST_IS_LARGEST = frozenset({"mean_iou", "boundary_iou"})
BOUNDARY_SHARE = 0.02
"""Width of a boundary as a share of the picture's diagonal (Cheng et al. 2021)."""

IGNORED = 255
"""In a map of classes, by custom: no class (Pascal VOC, Cityscapes)."""


def segmentation_metrics(reference: Array, candidate: Array) -> dict[str, float]:
    """Agreement of one output in one case.

    ``argmax_disagreement`` is the share of pixels with another class. Both IoUs are means over
    the classes that occur on either side. ``boundary_iou`` compares only the pixels of each mask
    that lie within 2 % of the diagonal from its contour, the picture's border included (Cheng
    et al. 2021, Boundary IoU, arXiv:2103.16562). Pixels whose class in the reference is 255
    count nowhere.

    Args:
        reference: scores ``n c h w`` with c > 1, whose largest is the class, or classes as
            integers, ``n h w`` or ``n 1 h w``.
        candidate: likewise; one side may hold scores and the other classes.

    Raises:
        EdgeupError: neither scores nor classes, or maps of different size.
    """
    r, c = classes_of(reference), classes_of(candidate)
    if r.shape != c.shape:
        raise EdgeupError(
            f"the maps differ in size: {'x'.join(map(str, c.shape))} and "
            f"{'x'.join(map(str, r.shape))}"
        )
    counted = r != IGNORED
    if not counted.any():
        return dict.fromkeys(METRICS, math.nan)
    width = max(1, round(BOUNDARY_SHARE * math.hypot(*r.shape[1:])))
    ious, boundaries = [], []
    for number in np.union1d(r[counted], c[counted]):
        in_r, in_c = (r == number) & counted, (c == number) & counted
        ious.append(_iou(in_r, in_c))
        boundaries.append(_iou(_boundary(in_r, width), _boundary(in_c, width)))
    return {
        "argmax_disagreement": float((r != c)[counted].mean()),
        "mean_iou": float(np.mean(ious)),
        "boundary_iou": float(np.mean(boundaries)),
    }


def classes_of(output: Array) -> npt.NDArray[np.int64]:
    """``n h w`` of class numbers; see `segmentation_metrics`. -1 where a score is NaN."""
    if output.ndim == 4 and output.dtype.kind == "f" and output.shape[1] > 1:
        classes: npt.NDArray[np.int64] = output.argmax(axis=1)
        classes[np.isnan(output).any(axis=1)] = -1
        return classes
    if output.dtype.kind in "iub" and (
        output.ndim == 3 or (output.ndim == 4 and output.shape[1] == 1)
    ):
        return output.reshape(output.shape[0], *output.shape[-2:]).astype(np.int64)
    raise EdgeupError(
        "wanted scores (n c h w, c > 1) or classes as integers (n h w or n 1 h w), got "
        f"{'x'.join(map(str, output.shape)) or 'a scalar'} {output.dtype.name}"
    )


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _boundary(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The mask without what is left after ``width`` erosions by 3x3."""
    eroded = mask
    for axis in (1, 2):  # a square window of 2 * width + 1, one axis after the other
        pads = [(0, 0)] * 3
        pads[axis] = (width + 1, width)
        counts = np.pad(eroded, pads).cumsum(axis=axis, dtype=np.int64)
        size = eroded.shape[axis]
        upper = counts.take(range(2 * width + 1, 2 * width + 1 + size), axis)
        eroded = upper - counts.take(range(size), axis) == 2 * width + 1
    boundary: npt.NDArray[np.bool_] = mask & ~eroded
    return boundary

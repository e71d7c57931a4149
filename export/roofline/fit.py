"""Efficiencies from measured layers, and how well they tell the time of layers not seen.

The time of a layer is linear in four unknowns, ``launch``, ``1 / e_dense``, ``1 / e_depthwise`` and
``1 / e_memory``: least squares of the relative error finds them without a start value, and no
share of a peak exceeds 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeup.export.roofline.measured import Measured
from edgeup.export.roofline.speed import Efficiency, Gpu, layer_time

Array = npt.NDArray[Any]

CHANNEL_BLOCK = 32
"""A warp. Not fitted, but taken with all four models in sight: without it (1), one of the six
splits, fitted on the pruned model alone, is 27 % off instead of 22 %, and the residual of that fit
does not tell which is right (0.180 both)."""

TWINS = (
    ("mobilenet-nnconv5",),
    ("mobilenet-nnconv5dw", "mobilenet-nnconv5dw-skipadd"),
    ("mobilenet-nnconv5dw-skipadd-pruned",),
)
"""The measured models; those that share nearly all layers stand together."""


def fit(layers: Sequence[Measured], gpu: Gpu, block: int = CHANNEL_BLOCK) -> Efficiency:
    """Efficiencies from layers that were measured on the GPU; each workload counts once."""
    ideal = Efficiency(dense=1, depthwise=1, memory=1, launch_us=1, channel_block=block)
    times = [layer_time(layer.work, gpu, ideal) for layer in layers]
    depthwise = np.array([layer.work.kind == "depthwise" for layer in layers])
    compute = np.array([time.compute_us for time in times])
    columns = np.array(
        [
            np.ones(len(layers)),
            np.where(depthwise, 0, compute),
            np.where(depthwise, compute, 0),
            [time.memory_us for time in times],
        ]
    ).T
    us = np.array([layer.us for layer in layers])
    least = np.array([0, 1, 1, 1])  # a share of the peak is at most 1
    beyond = _non_negative(columns / us[:, None], 1 - columns @ least / us)
    launch, *inverse = (float(value) for value in beyond + least)
    dense, deep, memory = (1 / value for value in inverse)
    return Efficiency(dense, deep, memory, launch, block)


def _non_negative(columns: Array, wanted: Array) -> Array:
    """Least squares without negative coefficients: those that would be are left out, one by one."""
    used = list(range(columns.shape[1]))
    found = np.zeros(columns.shape[1])
    while used:
        solution = np.linalg.lstsq(columns[:, used], wanted, rcond=None)[0]
        if (solution >= 0).all():
            found[used] = solution
            break
        del used[int(solution.argmin())]
    return found


@dataclass(frozen=True)
class Score:
    """How estimates of one model compare with its measured layers.

    Attributes:
        model: its name.
        total: estimated over measured time of all its layers.
        median: the same ratio per workload, the median.
        rank: Spearman's correlation of the workloads' times.
    """

    model: str
    total: float
    median: float
    rank: float


@dataclass(frozen=True)
class Split:
    """A fit on some models, and its scores on the others."""

    fitted_on: tuple[str, ...]
    efficiency: Efficiency
    scores: tuple[Score, ...]


def splits(
    models: Mapping[str, Sequence[Measured]], gpu: Gpu, block: int = CHANNEL_BLOCK
) -> Iterator[Split]:
    """Every way to fit on some models and test on the others, with twins on one side."""
    for count in range(1, len(TWINS)):
        for chosen in combinations(TWINS, count):
            names = [name for group in chosen for name in group]
            efficiency = fit([layer for name in names for layer in models[name]], gpu, block)
            held_out = (name for name in models if name not in names)
            scores = tuple(score(name, models[name], gpu, efficiency) for name in held_out)
            yield Split(tuple(names), efficiency, scores)


def score(model: str, layers: Sequence[Measured], gpu: Gpu, efficiency: Efficiency) -> Score:
    """How the estimates of a model's layers compare with the measurements."""
    us = np.array([layer.us for layer in layers])
    estimates = np.array([layer_time(one.work, gpu, efficiency).estimate_us for one in layers])
    count = np.array([layer.layers for layer in layers])
    return Score(
        model,
        total=float(estimates @ count / (us @ count)),
        median=float(np.median(estimates / us)),
        rank=rank_correlation(estimates, us),
    )


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's: the correlation of ranks, equal values sharing the mean of theirs."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Array) -> Array:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Array = (last - (count - 1) / 2)[place]
    return ranks

"""What outputs are for, and the metrics that tell how well they serve."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from edgeup.errors import EdgeupError, unknown
from edgeup.runtime import task_depth, task_image, task_segmentation
from edgeup.spec import Array


@dataclass(frozen=True)
class Task:
    """A kind of output.

    ``compute`` takes a reference and a candidate of one case, and raises EdgeupError with the
    reason where an output is of another kind.
    """

    name: str
    compute: Callable[[Array, Array], dict[str, float]]
    metrics: tuple[str, ...]
    best_is_largest: frozenset[str]

    def worst(self, cases: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Each metric's worst value of any case; NaN where it is defined in none."""
        worst = {}
        for metric in self.metrics:
            values = [case[metric] for case in cases if not math.isnan(case[metric])]
            pick = min if metric in self.best_is_largest else max
            worst[metric] = pick(values, default=math.nan)
        return worst

    def mean(self, cases: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Each metric's mean over the cases in which it is defined."""
        means = {}
        for metric in self.metrics:
            values = [case[metric] for case in cases if not math.isnan(case[metric])]
            means[metric] = sum(values) / len(values) if values else math.nan
        return means


_TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            "depth",
            task_depth.depth_metrics,
            task_depth.METRICS,
            task_depth.BEST_IS_LARGEST,
        ),
        Task(
            "segmentation",
            task_segmentation.segmentation_metrics,
            task_segmentation.METRICS,
            task_segmentation.BEST_IS_LARGEST,
        ),
        Task(
            "image",
            task_image.image_metrics,
            task_image.METRICS,
            task_image.BEST_IS_LARGEST,
        ),
    )
}


TASKS = tuple(_TASKS)


def find_task(name: str, data_range: float | None = None) -> Task:
    """The task of that name.

    Args:
        name: depth, segmentation or image.
        data_range: of pictures: white less black.

    Raises:
        EdgeupError: no such task, or a range that it does not take.
    """
    if name not in _TASKS:
        raise unknown("task", name, _TASKS)
    task = _TASKS[name]
    if data_range is None:
        return task
    if name != "image":
        raise EdgeupError(f"--data-range is for --task image; {name} has none, leave it out")
    if not (math.isfinite(data_range) and data_range > 0):
        raise EdgeupError(f"--data-range {data_range}: wanted a number above 0, such as 1 or 255")
    return replace(task, compute=partial(task_image.image_metrics, data_range=data_range))

"""Which nodes lose most when they round: a best-first search over halves of the graph.

Errors of rounding in different nodes are nearly independent, so a group's error is about the root
of the sum of its nodes' squares. Groups are measured alone, with all else in float32; the one
with the largest error is halved first. Nodes come out in order of their own error, and the first
of n costs about 2 log2(n) runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A node and the error that its rounding alone makes, as a share of the output's peak."""

    node: str
    error: float


def by_loss(nodes: Sequence[str], error_of: Callable[[Sequence[str]], float]) -> Iterator[Loss]:
    """The nodes, the one that loses most first.

    Args:
        nodes: in the order of the graph, so that a half is a stretch of it.
        error_of: measures the error when these nodes round and no others do; infinite where
            the output is not finite.
    """
    if not nodes:
        return
    heap = [(-error_of(nodes), 0, len(nodes))]
    while heap:
        negative, start, stop = heapq.heappop(heap)
        if stop - start == 1:
            yield Loss(nodes[start], -negative)
            continue
        middle = (start + stop) // 2
        for low, high in ((start, middle), (middle, stop)):
            heapq.heappush(heap, (-error_of(nodes[low:high]), low, high))


def fewest_exceptions(
    losses: Iterator[Loss], passes: Callable[[Sequence[str]], bool], budget: Callable[[], bool]
) -> tuple[tuple[Loss, ...], bool]:
    """Keep the worst nodes in float32, one after the other, until the rest passes.

    Args:
        losses: the worst first.
        passes: whether the model passes with these nodes in float32.
        budget: whether another run may be made.

    Returns:
        The exceptions, and whether the model passes with them.
    """
    taken: list[Loss] = []
    for loss in losses:
        taken.append(loss)
        if passes([one.node for one in taken]):
            return tuple(taken), True
        if not budget():
            break
    return tuple(taken), False

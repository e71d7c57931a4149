"""Nodes that stay float32, listed by the names of the user's graph, in the graph that passes left.

::

    user's graph       conv -> scale                       listed: scale
    rewritten graph    scale~fold-scale/Conv_1             kept: that, which computes both
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeup.export.passes.contract import AS_WRITTEN
from edgeup.pipeline.precision.lower import LoweredModel, PrecisionRequest, lower_precision

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Site
    from edgeup.runtime.inputs import Case

_SHOWN = 3


def lower_rewritten(
    model: ir.Model,
    original: ir.Model,
    sites: Sequence[Site],
    request: PrecisionRequest,
    cases: Sequence[Case] | None,
    stage: Callable[[str], None] = lambda words: None,
) -> LoweredModel:
    """As `lower_precision`, with nodes to keep that may be named as in the original.

    Args:
        model: what the passes left.
        original: the user's graph; its nodes have names.
        sites: of the passes between the two, in order.
        request: what is asked for.
        cases: what it is measured on.
        stage: is told what begins.

    Raises:
        EdgeupError: see `lower_precision`; a node that is in neither graph.
    """
    kept, notices = kept_after(request.keep_fp32, original, sites, model)
    lowered = lower_precision(model, replace(request, keep_fp32=kept), cases, stage)
    return replace(lowered, notices=(*notices, *lowered.notices))


def kept_after(
    listed: frozenset[str], original: ir.Model, sites: Sequence[Site], model: ir.Model
) -> tuple[frozenset[str], tuple[str, ...]]:
    """What stays float32 after the passes, and what a user must know of it.

    A node that a site replaced is in all of the site's new nodes, since they compute together
    what the old ones did. A name that is in neither graph is passed on as it is.
    """
    before = frozenset(node.name or "" for node in original.graph)
    names = [node.name or "" for node in model.graph]
    found: set[str] = set()
    gone: list[str] = []
    for name in sorted(listed):
        stands_for_it = _standing_for(name, before, sites)
        standing = [other for other in names if stands_for_it(other)]
        if standing or name not in before:
            found.update(standing or [name])
        else:
            gone.append(name)
    return frozenset(found), tuple(_notice(gone))


def _standing_for(
    name: str, before: frozenset[str], sites: Sequence[Site]
) -> Callable[[str], bool]:
    # What says a node in another opset (`edgeup.export.opset_build`).
    moved = re.compile(rf"{re.escape(name)}_[A-Za-z]+_\d+")
    prefixes: list[str] = []

    def stands_for_it(other: str) -> bool:
        new = other not in before and (
            other.startswith(tuple(prefixes)) or moved.fullmatch(other) is not None
        )
        return new or other == name

    for site in sites:
        if site.form != AS_WRITTEN and any(map(stands_for_it, site.nodes)):
            prefixes.append(f"{site.nodes[-1]}~{site.rule}/")  # as `driver` names new nodes
    return stands_for_it


def _notice(gone: Sequence[str]) -> Iterator[str]:
    if gone:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        yield (
            f"--keep-fp32: nothing is left of {', '.join(gone[:_SHOWN])}{more} in the rewritten "
            f"graph, so nothing of it is kept"
        )
